#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "libprober/histogram.h"

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* RTTs of all magnitudes, from ns to a minute. */
static uint64_t any_rtt(uint64_t *seed)
{
    return (next(seed) << 6) >> (next(seed) % 37);
}

static void bins_cover_all_rtts_without_gap_or_overlap(void **state)
{
    (void)state;
    assert_int_equal(histogram_bin(0), 0);
    for (unsigned bin = 0; bin < HISTOGRAM_BINS; bin++) {
        if (bin > 0)
            assert_int_equal(histogram_bin_lower_ns(bin), histogram_bin_upper_ns(bin - 1));
        assert_int_equal(histogram_bin(histogram_bin_lower_ns(bin) + 1), bin);
        if (bin < HISTOGRAM_BINS - 1)
            assert_int_equal(histogram_bin(histogram_bin_upper_ns(bin)), bin);
    }
    assert_int_equal(histogram_bin(UINT64_C(13107200000)), HISTOGRAM_BINS - 2);
    assert_int_equal(histogram_bin(UINT64_C(13107200001)), HISTOGRAM_BINS - 1);
    assert_int_equal(histogram_bin(UINT64_MAX), HISTOGRAM_BINS - 1);
}

static void a_bin_is_at_most_a_thirty_second_of_its_values_wide(void **state)
{
    (void)state;
    for (unsigned bin = HISTOGRAM_SUB_BINS; bin < HISTOGRAM_BINS - 1; bin++) {
        uint64_t lower = histogram_bin_lower_ns(bin), upper = histogram_bin_upper_ns(bin);

        assert_true((upper - lower) * 32 <= lower + 32);
    }
}

static void the_originals_buckets_are_exact_sums_of_bins(void **state)
{
    struct histogram h = {{0}};
    uint64_t wanted[HISTOGRAM_BUCKETS + 1] = {0}, got[HISTOGRAM_BUCKETS + 1];
    uint64_t seed = 3;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t rtt = any_rtt(&seed);

        if (i % 4 == 0) /* many on and beside the bounds */
            rtt = (UINT64_C(50000) << (next(&seed) % 20)) + next(&seed) % 3 - 1;
        histogram_add_bins(&h, histogram_bin(rtt), 1);
        for (int k = 0; k < HISTOGRAM_BUCKETS; k++)
            wanted[k] += rtt <= UINT64_C(50000) << k;
        wanted[HISTOGRAM_BUCKETS]++;
    }
    histogram_buckets(&h, got);
    assert_memory_equal(got, wanted, sizeof(got));
    assert_int_equal(histogram_count(&h), 100000);
}

static void the_bounds_texts_are_the_bounds(void **state)
{
    (void)state;
    for (int k = 0; k < HISTOGRAM_BUCKETS; k++)
        assert_true(fabs(strtod(histogram_bucket_bounds[k], NULL) * 1e9 - ldexp(50000, k)) < 1e-3);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void quantiles_are_within_a_bin_of_the_true_ones(void **state)
{
    static const double quantiles[] = {0.01, 0.5, 0.9, 0.99};
    uint64_t seed = 11;
    uint64_t *rtts = calloc(5000, sizeof(*rtts));
    struct histogram h = {{0}};

    (void)state;
    for (int i = 0; i < 5000; i++) {
        rtts[i] = 80000000 + next(&seed) % 40000000;
        histogram_add_bins(&h, histogram_bin(rtts[i]), 1);
    }
    qsort(rtts, 5000, sizeof(*rtts), compare);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        double truth = (double)rtts[(size_t)(quantiles[i] * 5000) - 1];
        double value = histogram_quantile_ns(&h, quantiles[i], rtts[0], rtts[4999]);

        assert_true(fabs(value - truth) <= truth / 32);
    }
    free(rtts);
}

static void quantiles_stay_between_the_extremes(void **state)
{
    struct histogram h = {{0}};

    (void)state;
    assert_true(histogram_quantile_ns(&h, 0.5, 0, 0) == 0.0);
    histogram_add_bins(&h, histogram_bin(81000000), 1);
    assert_true(histogram_quantile_ns(&h, 0.5, 81000000, 81000000) == 81000000.0);
    assert_true(histogram_quantile_ns(&h, 0.0, 81000000, 81000000) == 81000000.0);
    histogram_add_bins(&h, HISTOGRAM_BINS - 1, 9);
    assert_true(histogram_quantile_ns(&h, 0.9, 81000000, UINT64_C(20000000000)) == 2e10);
    assert_true(histogram_quantile_ns(&h, 1.0, 81000000, UINT64_C(20000000000)) == 2e10);
}

static void pairs_are_ascending_and_sum_to_the_rtts(void **state)
{
    uint64_t seed = 5;

    (void)state;
    for (int round = 0; round < 300; round++) {
        size_t n = next(&seed) % 300, count;
        uint16_t bins[300];
        struct histogram_pair pairs[300];
        struct histogram from_bins = {{0}}, from_pairs = {{0}};

        for (size_t i = 0; i < n; i++) {
            bins[i] = (uint16_t)(next(&seed) % HISTOGRAM_BINS);
            histogram_add_bins(&from_bins, bins[i], 1);
        }
        count = histogram_pairs(bins, n, pairs);
        for (size_t i = 0; i < count; i++) {
            assert_true(i == 0 || pairs[i].bin > pairs[i - 1].bin);
            histogram_add_bins(&from_pairs, pairs[i].bin, pairs[i].count);
        }
        assert_memory_equal(&from_bins, &from_pairs, sizeof(from_bins));
    }
}

static void a_bin_of_very_many_rtts_takes_several_pairs(void **state)
{
    size_t n = 150000;
    uint16_t *bins = calloc(n, sizeof(*bins));
    struct histogram_pair *pairs = calloc(n, sizeof(*pairs));

    (void)state;
    assert_int_equal(histogram_pairs(bins, n, pairs), 3);
    assert_int_equal(pairs[0].count + pairs[1].count + pairs[2].count, n);
    free(bins);
    free(pairs);
}

static void merging_is_addition(void **state)
{
    struct histogram a = {{0}}, b = {{0}};

    (void)state;
    histogram_add_bins(&a, 3, 2);
    histogram_add_bins(&b, 3, 5);
    histogram_add_bins(&b, 608, 1);
    histogram_merge(&a, &b);
    assert_int_equal(a.bins[3], 7);
    assert_int_equal(a.bins[608], 1);
    assert_int_equal(histogram_count(&a), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_cover_all_rtts_without_gap_or_overlap),
        cmocka_unit_test(a_bin_is_at_most_a_thirty_second_of_its_values_wide),
        cmocka_unit_test(the_originals_buckets_are_exact_sums_of_bins),
        cmocka_unit_test(the_bounds_texts_are_the_bounds),
        cmocka_unit_test(quantiles_are_within_a_bin_of_the_true_ones),
        cmocka_unit_test(quantiles_stay_between_the_extremes),
        cmocka_unit_test(pairs_are_ascending_and_sum_to_the_rtts),
        cmocka_unit_test(a_bin_of_very_many_rtts_takes_several_pairs),
        cmocka_unit_test(merging_is_addition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
