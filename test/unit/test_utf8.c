#include "test/unit/unit.h"

#include <string.h>

#include "common/array.h"
#include "common/utf8.h"

static void characters_are_read_with_their_lengths(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t rune;
    } cases[] = {
        {"a", 1, 'a'},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t rune = 0;

        assert_int_equal(utf8_decode(cases[i].bytes, strlen(cases[i].bytes), &rune), cases[i].len);
        assert_int_equal(rune, cases[i].rune);
    }
}

static void what_is_not_utf8_is_refused(void **state)
{
    static const char *const cases[] = {
        "\x80",             /* a continuation alone */
        "\xc3",             /* cut short */
        "\xe2\x82",         /* cut short */
        "\xf0\x9f\x92",     /* cut short */
        "\xc0\x80",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xff",
        "\xc3\x28",
    };
    uint32_t rune;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(utf8_decode(cases[i], strlen(cases[i]), &rune), 0);
        assert_false(utf8_is_valid(cases[i], strlen(cases[i])));
    }
    assert_int_equal(utf8_decode("", 0, &rune), 0);
}

static void whole_texts_are_judged(void **state)
{
    (void)state;
    assert_true(utf8_is_valid("", 0));
    assert_true(utf8_is_valid("a\0b", 3));
    assert_true(utf8_is_valid("z\xc3\xbcrich", 7));
    assert_false(utf8_is_valid("z\xc3\xbcrich\xc3", 8));
}

static void expect_escaped(const char *bytes, size_t len, const char *text)
{
    struct strbuf out = STRBUF_INIT;

    strbuf_puts(&out, "");
    utf8_put_escaped(&out, bytes, len);
    assert_string_equal(out.bytes, text);
    strbuf_free(&out);
}

static void what_could_forge_a_line_is_escaped(void **state)
{
    (void)state;
    expect_escaped("cn-shanghai \xe4\xb8\x8a\xe6\xb5\xb7", 18,
                   "cn-shanghai \xe4\xb8\x8a\xe6\xb5\xb7");
    expect_escaped("a\nb\r\t\x1b[31m", 10, "a\\nb\\r\\t\\x1b[31m");
    expect_escaped("\0\x7f", 2, "\\x00\\x7f");
    expect_escaped("\xc2\x9b", 2, "\\u009b"); /* C1: a terminal's CSI */
    expect_escaped("a\xe2\x80\xae"
                   "b",
                   5, "a\\u202eb"); /* turns the text around */
    expect_escaped("\xff\xc3", 2, "\\xff\\xc3");
    expect_escaped("\xe2\x80\xa8", 3, "\\u2028");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_read_with_their_lengths),
        cmocka_unit_test(what_is_not_utf8_is_refused),
        cmocka_unit_test(whole_texts_are_judged),
        cmocka_unit_test(what_could_forge_a_line_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
