#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "libprober/moments.h"

/* A small generator with a fixed seed, so that a failure repeats. */
static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void expect_near(double value, double wanted, double relative)
{
    if (fabs(value - wanted) > fabs(wanted) * relative + 1e-9)
        fail_msg("%.17g is not %.17g", value, wanted);
}

static void no_rtts_have_no_mean_and_no_spread(void **state)
{
    struct moments m = {0};

    (void)state;
    assert_true(moments_mean_ns(&m) == 0.0);
    assert_true(moments_stddev_ns(&m) == 0.0);
}

static void mean_deviation_and_extremes_are_those_of_the_definition(void **state)
{
    static const uint64_t rtts[] = {2000000, 4000000, 4000000, 4000000, 5000000, 5000000, 7000000, 9000000};
    struct moments m = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rtts); i++)
        moments_add(&m, rtts[i]);
    assert_int_equal(m.count, 8);
    assert_int_equal(m.min_ns, 2000000);
    assert_int_equal(m.max_ns, 9000000);
    expect_near(moments_mean_ns(&m), 5e6, 0);
    expect_near(moments_stddev_ns(&m), 2e6, 1e-15);
}

static void a_tiny_spread_around_a_large_mean_does_not_cancel(void **state)
{
    struct moments m = {0};

    (void)state;
    for (int i = 0; i < 1000000; i++)
        moments_add(&m, UINT64_C(250000000000) + (uint64_t)(i & 1) * 2);
    expect_near(moments_stddev_ns(&m), 1.0, 1e-12);
}

static void seconds_of_spread_do_not_overflow(void **state)
{
    struct moments m = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        moments_add(&m, i & 1 ? UINT64_C(12000000000) : 0);
    expect_near(moments_mean_ns(&m), 6e9, 1e-15);
    expect_near(moments_stddev_ns(&m), 6e9, 1e-15);
}

static void an_rtt_above_the_bound_counts_as_the_bound(void **state)
{
    struct moments m = {0};

    (void)state;
    moments_add(&m, UINT64_MAX);
    assert_int_equal(m.max_ns, MOMENTS_RTT_MAX_NS);
    assert_int_equal(m.sum_ns, MOMENTS_RTT_MAX_NS);
}

static void merging_in_any_order_gives_exactly_what_one_pass_gives(void **state)
{
    uint64_t seed = 7;

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct moments whole = {0}, parts[5] = {{0}}, forth = {0}, back = {0};

        for (uint64_t n = next(&seed) % 300; n > 0; n--) {
            uint64_t rtt = next(&seed) * next(&seed) % MOMENTS_RTT_MAX_NS;

            moments_add(&whole, rtt);
            moments_add(&parts[next(&seed) % 5], rtt);
        }
        for (size_t i = 0; i < 5; i++) {
            moments_merge(&forth, &parts[i]);
            moments_merge(&back, &parts[4 - i]);
        }
        assert_true(forth.count == whole.count && back.count == whole.count);
        assert_true(forth.sum_ns == whole.sum_ns && back.sum_ns == whole.sum_ns);
        assert_true(forth.square_ns2 == whole.square_ns2 && back.square_ns2 == whole.square_ns2);
        assert_true(forth.min_ns == whole.min_ns && back.min_ns == whole.min_ns);
        assert_true(forth.max_ns == whole.max_ns && back.max_ns == whole.max_ns);
        assert_true(moments_stddev_ns(&forth) == moments_stddev_ns(&back));
    }
}

static void jitter_follows_rfc_3550(void **state)
{
    static const uint64_t rtts[] = {16000, 17600, 16000, 32000};
    struct jitter j = {0};
    double wanted = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rtts); i++) {
        if (i > 0)
            wanted += (fabs((double)rtts[i] - (double)rtts[i - 1]) - wanted) / 16;
        jitter_add(&j, rtts[i]);
        assert_true(fabs((double)jitter_ns(&j) - wanted) <= 2.0);
    }
}

static void jitter_of_a_steady_path_fades(void **state)
{
    struct jitter j = {0};

    (void)state;
    jitter_add(&j, 1000000);
    assert_int_equal(jitter_ns(&j), 0);
    jitter_add(&j, 17000000);
    assert_int_equal(jitter_ns(&j), 1000000);
    for (int i = 0; i < 1000; i++)
        jitter_add(&j, 17000000);
    assert_int_equal(jitter_ns(&j), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_rtts_have_no_mean_and_no_spread),
        cmocka_unit_test(mean_deviation_and_extremes_are_those_of_the_definition),
        cmocka_unit_test(a_tiny_spread_around_a_large_mean_does_not_cancel),
        cmocka_unit_test(seconds_of_spread_do_not_overflow),
        cmocka_unit_test(an_rtt_above_the_bound_counts_as_the_bound),
        cmocka_unit_test(merging_in_any_order_gives_exactly_what_one_pass_gives),
        cmocka_unit_test(jitter_follows_rfc_3550),
        cmocka_unit_test(jitter_of_a_steady_path_fades),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
