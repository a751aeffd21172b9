/*
 * histogram - round-trip times in bins that are fine, mergeable, and sum to the original's buckets.
 *
 * Purpose    The first bins split 0..50 us into 32 equal parts; then each octave 50 us * 2^k to
 *            50 us * 2^(k+1), k = 0..17, has 32 equal parts; the last bin takes all above
 *            13.1072 s. A bin is (lower, upper]: so the original's 19 buckets (5e-05 * 2^k, "le")
 *            are exact sums of ours. Relative error of a quantile: under 1/32.
 *            Sparse form: (bin, count) pairs by ascending bin, for windows of few RTTs; dense
 *            form: an array of all bins, for merging many.
 * Threads    Values; pure functions.
 */
#ifndef LIBPROBER_HISTOGRAM_H
#define LIBPROBER_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BINS 32
#define HISTOGRAM_OCTAVES 18
#define HISTOGRAM_BINS (HISTOGRAM_SUB_BINS * (HISTOGRAM_OCTAVES + 1) + 1) /* 609 */
#define HISTOGRAM_BUCKETS 19 /* the original's, without +Inf */

/* The bin of an RTT: 0..HISTOGRAM_BINS-1. 0 ns belongs to bin 0. */
unsigned histogram_bin(uint64_t rtt_ns);
/* Bounds of a bin in ns (the exact ones end in halves of a ns; rounded down). The upper bound of
 * the last bin is UINT64_MAX. */
uint64_t histogram_bin_lower_ns(unsigned bin);
uint64_t histogram_bin_upper_ns(unsigned bin);

struct histogram {
    uint64_t bins[HISTOGRAM_BINS];
};

void histogram_add_bins(struct histogram *h, unsigned bin, uint64_t count);
void histogram_merge(struct histogram *h, const struct histogram *other);
uint64_t histogram_count(const struct histogram *h);
/* The q-quantile (0..1) in ns: the smallest value v with at least q of the RTTs <= v, linear inside
 * its bin, clamped to [min_ns, max_ns]. 0 when empty. */
double histogram_quantile_ns(const struct histogram *h, double q, uint64_t min_ns, uint64_t max_ns);
/* Counts of RTTs <= 5e-05 * 2^k seconds for k = 0..18, then of all: cumulative, as Prometheus
 * histograms are. */
void histogram_buckets(const struct histogram *h, uint64_t cumulative[HISTOGRAM_BUCKETS + 1]);
/* The bounds as Prometheus prints them: "5e-05", "0.0001", …, "13.1072". */
extern const char *const histogram_bucket_bounds[HISTOGRAM_BUCKETS];

struct histogram_pair {
    uint16_t bin;
    uint16_t count;
};

/* Turns the bins[n] of single RTTs (any order; sorted in place) into pairs by ascending bin in
 * pairs[n] and returns how many; a bin of more than 65535 RTTs takes several pairs. */
size_t histogram_pairs(uint16_t *bins, size_t n, struct histogram_pair *pairs);

#endif
