#include "test/unit/unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"

#define EXPECT_TEXT(b, text)                                                                       \
    do {                                                                                           \
        assert_true(strbuf_ok(b));                                                                 \
        assert_string_equal((b)->bytes, text);                                                     \
        assert_int_equal((b)->len, strlen(text));                                                  \
        strbuf_clear(b);                                                                           \
    } while (0)

static void appends_follow_one_another(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    strbuf_puts(&b, "ab");
    strbuf_putc(&b, 'c');
    strbuf_put(&b, "de", 2);
    strbuf_printf(&b, "%d-%s", 7, "x");
    EXPECT_TEXT(&b, "abcde7-x");
    strbuf_free(&b);
}

static void a_long_text_grows_the_buffer(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    for (int i = 0; i < 100000; i++)
        strbuf_putc(&b, (char)('a' + i % 26));
    assert_true(strbuf_ok(&b));
    assert_int_equal(b.len, 100000);
    assert_int_equal(b.bytes[99999], 'a' + 99999 % 26);
    assert_int_equal(b.bytes[100000], '\0');
    strbuf_free(&b);
}

static void bytes_may_be_nul(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    strbuf_put(&b, "a\0b", 3);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.bytes, "a\0b", 4);
    strbuf_free(&b);
}

static void taking_from_an_empty_buffer_gives_an_empty_string(void **state)
{
    struct strbuf b = STRBUF_INIT;
    size_t len = 9;
    char *text = strbuf_take(&b, &len);

    (void)state;
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
}

static void taking_empties_the_buffer(void **state)
{
    struct strbuf b = STRBUF_INIT;
    char *text;

    (void)state;
    strbuf_puts(&b, "first");
    text = strbuf_take(&b, NULL);
    assert_string_equal(text, "first");
    assert_int_equal(b.len, 0);
    strbuf_puts(&b, "second");
    EXPECT_TEXT(&b, "second");
    free(text);
    strbuf_free(&b);
}

static void a_failure_is_sticky_until_cleared(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    strbuf_puts(&b, "kept");
    strbuf_reserve(&b, SIZE_MAX - 10);
    assert_false(strbuf_ok(&b));
    strbuf_puts(&b, "refused");
    strbuf_printf(&b, "%d", 1);
    assert_false(strbuf_ok(&b));
    assert_int_equal(b.len, 4);
    strbuf_clear(&b);
    strbuf_puts(&b, "again");
    EXPECT_TEXT(&b, "again");
    strbuf_reserve(&b, SIZE_MAX - 10);
    assert_null(strbuf_take(&b, NULL));
    assert_true(strbuf_ok(&b));
}

static void integers_are_written_in_full(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    strbuf_put_u64(&b, 0);
    EXPECT_TEXT(&b, "0");
    strbuf_put_u64(&b, UINT64_MAX);
    EXPECT_TEXT(&b, "18446744073709551615");
    strbuf_put_i64(&b, INT64_MIN);
    EXPECT_TEXT(&b, "-9223372036854775808");
    strbuf_put_i64(&b, -1);
    EXPECT_TEXT(&b, "-1");
    strbuf_put_i64(&b, INT64_MAX);
    EXPECT_TEXT(&b, "9223372036854775807");
    strbuf_free(&b);
}

static void seconds_are_exact_and_end_with_the_last_digit_that_counts(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    strbuf_put_seconds(&b, 0);
    EXPECT_TEXT(&b, "0");
    strbuf_put_seconds(&b, UINT64_C(15000000000));
    EXPECT_TEXT(&b, "15");
    strbuf_put_seconds(&b, 12300000);
    EXPECT_TEXT(&b, "0.0123");
    strbuf_put_seconds(&b, 1);
    EXPECT_TEXT(&b, "0.000000001");
    strbuf_put_seconds(&b, UINT64_MAX);
    EXPECT_TEXT(&b, "18446744073.709551615");
    strbuf_free(&b);
}

static void doubles_are_as_short_as_can_be(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-15, "-15"},
        {0.1, "0.1"},
        {0.5, "0.5"},
        {-2.25, "-2.25"},
        {100, "100"},
        {99.9, "99.9"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {0.0001, "0.0001"},
        {0.00005, "5e-05"},
        {13.1072, "13.1072"},
        {1e-9, "1e-09"},
        {1.5e-10, "1.5e-10"},
        {1764087537.123, "1764087537.123"},
        {9007199254740991.0, "9007199254740991"},
        {9007199254740992.0, "9007199254740992"},
        {4503599627370495.5, "4503599627370495.5"},
        {1e22, "1e+22"},
        {1e300, "1e+300"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {NAN, "NaN"},
    };
    struct strbuf b = STRBUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        strbuf_put_double(&b, cases[i].value);
        EXPECT_TEXT(&b, cases[i].text);
    }
    strbuf_free(&b);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Counts the significant digits of a decimal. */
static int digits_of(const char *text)
{
    const char *end = text + strcspn(text, "e");
    int digits = 0, zeros = 0;

    for (; text < end; text++) {
        if (*text == '-' || *text == '.' || (*text == '0' && digits == 0 && zeros == 0))
            continue;
        if (*text == '0') {
            zeros++;
        } else {
            digits += zeros + 1;
            zeros = 0;
        }
    }
    return digits;
}

static void expect_round_trip(struct strbuf *b, double value)
{
    char shortest[40];

    strbuf_clear(b);
    strbuf_put_double(b, value);
    if (strtod(b->bytes, NULL) != value)
        fail_msg("%.17g became %s", value, b->bytes);
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(shortest, sizeof(shortest), "%.*g", precision, value);
        if (strtod(shortest, NULL) == value)
            break;
    }
    if (digits_of(b->bytes) > digits_of(shortest))
        fail_msg("%.17g became %s, though %s would do", value, b->bytes, shortest);
}

static void any_double_reads_back_as_itself(void **state)
{
    struct strbuf b = STRBUF_INIT;
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 40000; i++) {
        uint64_t bits = next_random(&seed);
        double any, small = ldexp((double)(bits >> 11), -53 - (int)(bits % 40));
        double decimals = (double)(bits % 1000000007) / pow(10, (double)(bits % 10));

        memcpy(&any, &bits, sizeof(any));
        if (isfinite(any))
            expect_round_trip(&b, any);
        expect_round_trip(&b, small);
        expect_round_trip(&b, decimals);
        expect_round_trip(&b, (double)(bits >> 12) + 0.5);
    }
    strbuf_free(&b);
}

static void powers_of_two_and_their_neighbours_read_back_as_themselves(void **state)
{
    struct strbuf b = STRBUF_INIT;

    (void)state;
    for (int e = -1074; e < 1024; e++) {
        double power = ldexp(1, e);

        expect_round_trip(&b, power);
        expect_round_trip(&b, nextafter(power, INFINITY));
        expect_round_trip(&b, nextafter(power, 0));
    }
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_follow_one_another),
        cmocka_unit_test(a_long_text_grows_the_buffer),
        cmocka_unit_test(bytes_may_be_nul),
        cmocka_unit_test(taking_from_an_empty_buffer_gives_an_empty_string),
        cmocka_unit_test(taking_empties_the_buffer),
        cmocka_unit_test(a_failure_is_sticky_until_cleared),
        cmocka_unit_test(integers_are_written_in_full),
        cmocka_unit_test(seconds_are_exact_and_end_with_the_last_digit_that_counts),
        cmocka_unit_test(doubles_are_as_short_as_can_be),
        cmocka_unit_test(any_double_reads_back_as_itself),
        cmocka_unit_test(powers_of_two_and_their_neighbours_read_back_as_themselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
