#include "test/unit/unit.h"

#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"

static void a_duration_is_integers_with_units_in_falling_order(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"15ms", 15 * CLOCK_NS_PER_MS},
        {"15s", 15 * CLOCK_NS_PER_S},
        {"1m", 60 * CLOCK_NS_PER_S},
        {"1m30s", 90 * CLOCK_NS_PER_S},
        {"1h", 3600 * CLOCK_NS_PER_S},
        {"1d", 86400 * CLOCK_NS_PER_S},
        {"1w", 7 * 86400 * CLOCK_NS_PER_S},
        {"1y", 365 * 86400 * CLOCK_NS_PER_S},
        {"1y2w3d4h5m6s7ms",
         ((365 + 14 + 3) * 86400 + 4 * 3600 + 5 * 60 + 6) * CLOCK_NS_PER_S + 7 * CLOCK_NS_PER_MS},
        {"007s", 7 * CLOCK_NS_PER_S},
        {"120m", 7200 * CLOCK_NS_PER_S},
        {"1.5s", 1500 * CLOCK_NS_PER_MS},
        {"0.5s", 500 * CLOCK_NS_PER_MS},
        {"1.50s", 1500 * CLOCK_NS_PER_MS},
        {"1m0.25s", 60250 * CLOCK_NS_PER_MS},
        {"1.000000001s", CLOCK_NS_PER_S + 1},
        {"250us", 250 * CLOCK_NS_PER_US},
        {"1.5us", 1500},
        {"7ns", 7},
        {"1.0ns", 1},
        {"9223372036854775807ns", INT64_MAX},
        {"9223372036.854775807s", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ns = 1;

        if (duration_parse(cases[i].text, &ns) != PROBER_OK || ns != cases[i].ns)
            fail_msg("'%s' became %llu", cases[i].text, (unsigned long long)ns);
    }
}

static void what_is_no_duration_is_refused(void **state)
{
    static const char *const cases[] = {
        "",           " 1s",
        "1s ",        "1",
        "15",         "-1s",
        "+1s",        "1S",
        "1sec",       "s",
        "1s1m",       "1s1s",
        "1ms1s",      "1.s",
        ".5s",        "1.5",
        "1.5m3s",     "1,5s",
        "0x1s",       "1e3s",
        "1 s",        "1sm",
        "1.5ns",      "00",
        "0.0",        "1.0000000001s",
        "1ss",        "1msms",
        "1us1ms",     "1.0000000000000000001s",
        "1s\n",       "\xc2\xb5s",
        "1\xc2\xb5s",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ns = 77;

        if (duration_parse(cases[i], &ns) != PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(ns, 77);
    }
}

static void a_duration_beyond_292_years_is_out_of_range(void **state)
{
    static const char *const cases[] = {"9223372036854775808ns", "293y", "99999999999999999999s",
                                        "292y300d", "18446744073709551616y"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ns = 77;

        if (duration_parse(cases[i], &ns) != PROBER_ERR_RANGE)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(ns, 77);
    }
}

static void a_duration_is_written_as_people_would(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {15 * CLOCK_NS_PER_MS, "15ms"},
        {1500 * CLOCK_NS_PER_US, "1.5ms"},
        {1500 * CLOCK_NS_PER_MS, "1.5s"},
        {15 * CLOCK_NS_PER_S, "15s"},
        {60 * CLOCK_NS_PER_S, "1m"},
        {90 * CLOCK_NS_PER_S, "1m30s"},
        {60 * CLOCK_NS_PER_S + 1, "1m0.000000001s"},
        {3600 * CLOCK_NS_PER_S, "1h"},
        {36 * 3600 * CLOCK_NS_PER_S, "1d12h"},
        {7 * 86400 * CLOCK_NS_PER_S, "1w"},
        {8 * 86400 * CLOCK_NS_PER_S, "8d"},
        {365 * 86400 * CLOCK_NS_PER_S, "1y"},
    };
    char text[DURATION_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(duration_format(cases[i].ns, text), cases[i].text);
}

static void any_duration_reads_back_as_itself(void **state)
{
    char text[DURATION_TEXT_MAX];
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t ns, back = 0;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        ns = (seed >> 1) >> (seed % 63);
        if (i % 3 == 0)
            ns -= ns % CLOCK_NS_PER_MS;
        if (duration_parse(duration_format(ns, text), &back) || back != ns)
            fail_msg("%llu became %s", (unsigned long long)ns, text);
    }
    assert_int_equal(duration_parse(duration_format(INT64_MAX, text), &seed), PROBER_OK);
    assert_true(seed == INT64_MAX);
    assert_true(strlen(duration_format(UINT64_MAX, text)) < DURATION_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_is_integers_with_units_in_falling_order),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(a_duration_beyond_292_years_is_out_of_range),
        cmocka_unit_test(a_duration_is_written_as_people_would),
        cmocka_unit_test(any_duration_reads_back_as_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
