#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/task_output.h"

static void assert_kept(const struct task_output *o, const char *expected)
{
    struct strbuf text = STRBUF_INIT;

    task_output_write(o, &text);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.bytes ? text.bytes : "", expected, text.len);
    strbuf_free(&text);
}

static void what_fits_is_kept_as_it_is(void **state)
{
    struct task_output o;

    (void)state;
    task_output_init(&o, 8);
    assert_kept(&o, "");
    task_output_add(&o, "ab", 2);
    assert_kept(&o, "ab");
    task_output_add(&o, "cdefgh", 6);
    assert_kept(&o, "abcdefgh");
    assert_int_equal(o.total, 8);
    assert_int_equal(task_output_left_out(&o), 0);
    task_output_free(&o);
}

static void of_more_the_middle_is_left_out(void **state)
{
    struct task_output o;

    (void)state;
    task_output_init(&o, 8);
    task_output_add(&o, "abcdefghi", 9);
    assert_kept(&o, "abcd\n[1 bytes are left out here]\nfghi");
    task_output_add(&o, "jk", 2);
    assert_kept(&o, "abcd\n[3 bytes are left out here]\nhijk");
    task_output_add(&o, "0123456789", 10);
    assert_kept(&o, "abcd\n[13 bytes are left out here]\n6789");
    assert_int_equal(task_output_left_out(&o), 13);
    task_output_free(&o);
}

static void bytes_that_are_no_text_stay(void **state)
{
    struct task_output o;
    struct strbuf text = STRBUF_INIT;
    char all[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    task_output_init(&o, 256);
    task_output_add(&o, all, sizeof(all));
    task_output_write(&o, &text);
    assert_int_equal(text.len, sizeof(all));
    assert_memory_equal(text.bytes, all, sizeof(all));
    strbuf_free(&text);
    task_output_free(&o);
}

/* However the bytes come in parts, the same is kept. */
static void parts_make_no_difference(void **state)
{
    char bytes[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 26);
    for (size_t len = 0; len <= sizeof(bytes); len += 7) {
        struct strbuf whole = STRBUF_INIT, parts = STRBUF_INIT;
        struct task_output a, b;

        task_output_init(&a, 50);
        task_output_init(&b, 50);
        task_output_add(&a, bytes, len);
        for (size_t at = 0, part = 1; at < len; at += part, part = part % 9 + 1)
            task_output_add(&b, bytes + at, part < len - at ? part : len - at);
        task_output_write(&a, &whole);
        task_output_write(&b, &parts);
        assert_int_equal(a.total, b.total);
        assert_int_equal(whole.len, parts.len);
        assert_memory_equal(whole.bytes ? whole.bytes : "", parts.bytes ? parts.bytes : "",
                            whole.len);
        strbuf_free(&whole);
        strbuf_free(&parts);
        task_output_free(&a);
        task_output_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_kept_as_it_is),
        cmocka_unit_test(of_more_the_middle_is_left_out),
        cmocka_unit_test(bytes_that_are_no_text_stay),
        cmocka_unit_test(parts_make_no_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
