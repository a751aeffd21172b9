#include "libprober/histogram.h"

#include <stdlib.h>

#define FIRST_OCTAVE_NS 50000
/* A sub-bin of the octave that starts at 50 us << k is 1562.5 ns << k wide: in half-ns, 3125 << k. */
#define SUB_BIN_HALF_NS 3125

const char *const histogram_bucket_bounds[HISTOGRAM_BUCKETS] = {
    "5e-05",  "0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128", "0.0256",
    "0.0512", "0.1024", "0.2048", "0.4096", "0.8192", "1.6384", "3.2768", "6.5536", "13.1072",
};

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

unsigned histogram_bin(uint64_t rtt_ns)
{
    unsigned k;

    if (rtt_ns <= FIRST_OCTAVE_NS)
        return rtt_ns ? (unsigned)divide_up(2 * rtt_ns, SUB_BIN_HALF_NS) - 1 : 0;
    if (rtt_ns > (uint64_t)FIRST_OCTAVE_NS << HISTOGRAM_OCTAVES)
        return HISTOGRAM_BINS - 1;
    /* The octave (50 us << k, 50 us << (k + 1)]: the highest bit of the multiple of 50 us below. */
    k = 63u - (unsigned)__builtin_clzll((rtt_ns - 1) / FIRST_OCTAVE_NS);
    return HISTOGRAM_SUB_BINS * k +
           (unsigned)divide_up(2 * rtt_ns, (uint64_t)SUB_BIN_HALF_NS << k) - 1;
}

/* Upper bound in half-ns of the bin, which must not be the last. */
static uint64_t upper_half_ns(unsigned bin)
{
    unsigned k = bin < 2 * HISTOGRAM_SUB_BINS ? 0 : bin / HISTOGRAM_SUB_BINS - 1;

    return ((uint64_t)SUB_BIN_HALF_NS << k) * (bin - HISTOGRAM_SUB_BINS * k + 1);
}

uint64_t histogram_bin_lower_ns(unsigned bin)
{
    return bin == 0 ? 0 : upper_half_ns(bin - 1) / 2;
}

uint64_t histogram_bin_upper_ns(unsigned bin)
{
    return bin >= HISTOGRAM_BINS - 1 ? UINT64_MAX : upper_half_ns(bin) / 2;
}

void histogram_add_bins(struct histogram *h, unsigned bin, uint64_t count)
{
    h->bins[bin] += count;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
    for (unsigned i = 0; i < HISTOGRAM_BINS; i++)
        h->bins[i] += other->bins[i];
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < HISTOGRAM_BINS; i++)
        count += h->bins[i];
    return count;
}

static double clamp(double value, uint64_t min_ns, uint64_t max_ns)
{
    if (value < (double)min_ns)
        return (double)min_ns;
    return value > (double)max_ns ? (double)max_ns : value;
}

double histogram_quantile_ns(const struct histogram *h, double q, uint64_t min_ns, uint64_t max_ns)
{
    uint64_t count = histogram_count(h);
    double rank = q * (double)count, below = 0;
    unsigned bin = 0;

    if (count == 0)
        return 0.0;
    if (q >= 1.0)
        return (double)max_ns;
    while (bin < HISTOGRAM_BINS - 1 && (h->bins[bin] == 0 || below + (double)h->bins[bin] < rank))
        below += (double)h->bins[bin++];
    if (bin == HISTOGRAM_BINS - 1)
        return (double)max_ns;
    return clamp(((double)(bin == 0 ? 0 : upper_half_ns(bin - 1)) +
                  (double)(upper_half_ns(bin) - (bin == 0 ? 0 : upper_half_ns(bin - 1))) *
                      ((rank - below) / (double)h->bins[bin])) /
                     2.0,
                 min_ns, max_ns);
}

void histogram_buckets(const struct histogram *h, uint64_t cumulative[HISTOGRAM_BUCKETS + 1])
{
    uint64_t sum = 0;

    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        for (unsigned i = 0; i < HISTOGRAM_SUB_BINS; i++)
            sum += h->bins[bucket * HISTOGRAM_SUB_BINS + i];
        cumulative[bucket] = sum;
    }
    cumulative[HISTOGRAM_BUCKETS] = sum + h->bins[HISTOGRAM_BINS - 1];
}

static int compare_bins(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* Windows hold few RTTs, mostly in order already: insertion sort beats qsort there. */
static void sort_bins(uint16_t *bins, size_t n)
{
    if (n > 128) {
        qsort(bins, n, sizeof(*bins), compare_bins);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint16_t bin = bins[i];
        size_t j = i;

        for (; j > 0 && bins[j - 1] > bin; j--)
            bins[j] = bins[j - 1];
        bins[j] = bin;
    }
}

size_t histogram_pairs(uint16_t *bins, size_t n, struct histogram_pair *pairs)
{
    size_t count = 0;

    sort_bins(bins, n);
    for (size_t i = 0; i < n; i++) {
        if (count > 0 && pairs[count - 1].bin == bins[i] && pairs[count - 1].count < UINT16_MAX)
            pairs[count - 1].count++;
        else
            pairs[count++] = (struct histogram_pair){.bin = bins[i], .count = 1};
    }
    return count;
}
