#include "test/unit/unit.h"

#include "common/array.h"
#include "common/number.h"

static void integers_are_decimal_hexadecimal_octal_or_binary(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"7", 7},
        {"-7", -7},
        {"+7", 7},
        {"0x1F", 31},
        {"0Xff", 255},
        {"0o17", 15},
        {"0b101", 5},
        {"-0x10", -16},
        {"0x007", 7},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-0", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t value = 99;

        if (number_parse_i64(cases[i].text, &value) || value != cases[i].value)
            fail_msg("%s became %lld", cases[i].text, (long long)value);
    }
}

static void what_is_no_integer_is_refused(void **state)
{
    static const char *const cases[] = {"",      "-",   "+",    "--1", "1.5", "1e3", "010",
                                        "00",    "0x",  "0o8",  "0b2", "0xg", " 1",  "1 ",
                                        "1_000", "abc", "0x-1", "1kB", "٣"};
    int64_t value = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (number_parse_i64(cases[i], &value) != PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", cases[i]);
    assert_int_equal(value, 99);
}

static void what_does_not_fit_64_bits_is_out_of_range(void **state)
{
    static const char *const cases[] = {"9223372036854775808", "-9223372036854775809",
                                        "0xffffffffffffffff", "99999999999999999999999999"};
    int64_t value = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(number_parse_i64(cases[i], &value), PROBER_ERR_RANGE);
    assert_int_equal(value, 99);
}

static void truth_is_spelled_as_go_does(void **state)
{
    static const char *const truths[] = {"1", "t", "T", "true", "True", "TRUE"},
                             *const lies[] = {"0", "f", "F", "false", "False", "FALSE"},
                             *const neither[] = {"", "yes", "on", "tRUE", "2", "true "};
    bool value;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(truths); i++) {
        value = false;
        assert_int_equal(number_parse_bool(truths[i], &value), PROBER_OK);
        assert_true(value);
        assert_int_equal(number_parse_bool(lies[i], &value), PROBER_OK);
        assert_false(value);
        assert_int_equal(number_parse_bool(neither[i], &value), PROBER_ERR_SYNTAX);
    }
}

static void sizes_are_powers_of_1024(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1500", 1500},
        {"1500B", 1500},
        {"64KiB", 65536},
        {"64KB", 65536},
        {"64K", 65536},
        {"10MB", 10485760},
        {"1GiB", 1073741824},
        {"2T", UINT64_C(2199023255552)},
        {"8388607TB", UINT64_C(9223370937343148032)},
    };
    static const char *const bad[] = {"",      "MB",  "-1",   "1.5MB", "10mb",  "10 MB",
                                      "10MBs", "1iB", "0x10", "010",   "1MiBB", "1PB"};
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bytes = 99;
        if (number_parse_size(cases[i].text, &bytes) || bytes != cases[i].bytes)
            fail_msg("%s became %llu", cases[i].text, (unsigned long long)bytes);
    }
    bytes = 99;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (number_parse_size(bad[i], &bytes) != PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", bad[i]);
    assert_int_equal(number_parse_size("8388608TB", &bytes), PROBER_ERR_RANGE);
    assert_int_equal(number_parse_size("99999999999999999999", &bytes), PROBER_ERR_RANGE);
    assert_int_equal(number_parse_size("99999999999999999999x", &bytes), PROBER_ERR_SYNTAX);
    assert_int_equal(bytes, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_decimal_hexadecimal_octal_or_binary),
        cmocka_unit_test(what_is_no_integer_is_refused),
        cmocka_unit_test(what_does_not_fit_64_bits_is_out_of_range),
        cmocka_unit_test(truth_is_spelled_as_go_does),
        cmocka_unit_test(sizes_are_powers_of_1024),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
