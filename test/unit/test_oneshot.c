#include "agentd/oneshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "unit.h"

struct settings {
    bool yes;
    int64_t number;
};

static const struct option table[] = {
    {"yes", OPTION_BOOL, offsetof(struct settings, yes), NULL, "A", NULL, "Yes.", 0, 0, NULL, 0},
    {"number", OPTION_INT, offsetof(struct settings, number), "7", "A", NULL, "Number.", 0, 99,
     NULL, 0},
};

static enum prober_error read_words(struct settings *s, struct oneshot_words *words,
                                    struct prober_failure *why, const char *line)
{
    static char copy[128];
    char *argv[16], *save = NULL;
    int argc = 0;

    memset(s, 0, sizeof(*s));
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    return oneshot_read_words(table, ARRAY_LEN(table), s, argc, argv, words, why);
}

static void flags_may_stand_anywhere_before_two_dashes(void **state)
{
    struct settings s;
    struct oneshot_words words;

    (void)state;
    assert_int_equal(read_words(&s, &words, NULL, "a -number 3 b --yes - -- -number"), PROBER_OK);
    assert_true(s.yes);
    assert_int_equal(s.number, 3);
    assert_int_equal(words.count, 4);
    assert_string_equal(words.items[0], "a");
    assert_string_equal(words.items[1], "b");
    assert_string_equal(words.items[2], "-");
    assert_string_equal(words.items[3], "-number");
    oneshot_words_free(&words);
}

static void a_wrong_flag_is_told(void **state)
{
    struct settings s;
    struct oneshot_words words;
    struct prober_failure why;

    (void)state;
    assert_int_equal(read_words(&s, &words, &why, "-number 100"), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "-number"));
    oneshot_words_free(&words);
}

static void a_signal_ends_a_sleep_and_is_remembered(void **state)
{
    sigset_t sleep_mask;
    const volatile sig_atomic_t *stop = oneshot_catch_signals(&sleep_mask);

    (void)state;
    assert_int_equal(*stop, 0);
    raise(SIGTERM);
    assert_int_equal(*stop, 0);
    oneshot_sleep(-1, UINT64_MAX, 0, &sleep_mask);
    assert_int_equal(*stop, 1);
}

static void a_time_that_is_over_is_no_sleep(void **state)
{
    sigset_t sleep_mask;

    (void)state;
    sigemptyset(&sleep_mask);
    oneshot_sleep(-1, 5, 7, &sleep_mask);
}

static void a_failed_write_is_remembered_and_the_last(void **state)
{
    struct strbuf out = STRBUF_INIT;
    int fd = open("/dev/full", O_WRONLY), write_errno = 0;

    (void)state;
    strbuf_puts(&out, "text");
    oneshot_flush(&out, fd, &write_errno);
    assert_int_equal(write_errno, ENOSPC);
    assert_int_equal(out.len, 0);
    strbuf_puts(&out, "text");
    oneshot_flush(&out, -1, &write_errno);
    assert_int_equal(write_errno, ENOSPC);
    strbuf_free(&out);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_may_stand_anywhere_before_two_dashes),
        cmocka_unit_test(a_wrong_flag_is_told),
        cmocka_unit_test(a_signal_ends_a_sleep_and_is_remembered),
        cmocka_unit_test(a_time_that_is_over_is_no_sleep),
        cmocka_unit_test(a_failed_write_is_remembered_and_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
