#include "agentd/probe_targets.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "unit.h"

static enum prober_error read_text(struct probe_targets *t, const char *bytes, size_t len,
                                   struct prober_failure *why)
{
    char *text = calloc(1, len + 1);

    assert_non_null(text);
    memcpy(text, bytes, len);
    return probe_targets_take_text(t, "list", text, len, why);
}

static void lines_are_targets_without_blanks_and_comments(void **state)
{
    static const char text[] =
        "# head\n192.0.2.1\n\n  host.test\t# the host\r\n2001:db8::1\r\n#x\nlast";
    static const char *const names[] = {"192.0.2.1", "host.test", "2001:db8::1", "last"};
    struct probe_targets t = {0};

    (void)state;
    assert_int_equal(read_text(&t, text, sizeof(text) - 1, NULL), PROBER_OK);
    assert_int_equal(t.count, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(t.list[i].name, names[i]);
    probe_targets_free(&t);
}

static void an_empty_text_has_no_targets(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# nothing", " \t "};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct probe_targets t = {0};

        assert_int_equal(read_text(&t, texts[i], strlen(texts[i]), NULL), PROBER_OK);
        assert_int_equal(t.count, 0);
        probe_targets_free(&t);
    }
}

static void two_words_in_a_line_are_refused_with_its_number(void **state)
{
    struct probe_targets t = {0};
    struct prober_failure why = {0};

    (void)state;
    assert_int_equal(read_text(&t, "a\nb c\n", 6, &why), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "list:2"));
    probe_targets_free(&t);
}

static void what_is_no_text_is_refused(void **state)
{
    struct probe_targets t = {0};
    struct prober_failure why = {0};

    (void)state;
    assert_int_equal(read_text(&t, "a\0b", 3, &why), PROBER_ERR_SYNTAX);
    probe_targets_free(&t);
}

static void a_target_that_is_too_long_is_refused(void **state)
{
    char name[PROBE_TARGET_TEXT_MAX + 2];
    struct probe_targets t = {0};

    (void)state;
    memset(name, 'a', sizeof(name));
    name[PROBE_TARGET_TEXT_MAX + 1] = 0;
    assert_int_equal(probe_targets_add(&t, name, NULL), PROBER_ERR_SYNTAX);
    name[PROBE_TARGET_TEXT_MAX] = 0;
    assert_int_equal(probe_targets_add(&t, name, NULL), PROBER_OK);
    probe_targets_free(&t);
}

static void too_many_targets_are_refused(void **state)
{
    size_t len = 2 * (PROBE_TARGETS_MAX + 1);
    char *text = malloc(len + 1);
    struct probe_targets t = {0};
    struct prober_failure why = {0};

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '\n' : 'a';
    text[len] = 0;
    assert_int_equal(probe_targets_take_text(&t, "list", text, len, &why), PROBER_ERR_RANGE);
    assert_int_equal(t.count, PROBE_TARGETS_MAX);
    probe_targets_free(&t);
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct probe_targets t = {0};
    struct prober_failure why = {0};

    (void)state;
    assert_int_equal(probe_targets_read(&t, "/nonexistent/list", &why), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nonexistent/list"));
    probe_targets_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_targets_without_blanks_and_comments),
        cmocka_unit_test(an_empty_text_has_no_targets),
        cmocka_unit_test(two_words_in_a_line_are_refused_with_its_number),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(a_target_that_is_too_long_is_refused),
        cmocka_unit_test(too_many_targets_are_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
