/*
 * moments - count, mean, variance and extremes of round-trip times, merged exactly.
 *
 * Purpose    RTTs are whole nanoseconds, so their sum and sum of squares are exact integers: merging
 *            is addition, the same in any order, and nothing cancels.
 *            Bounds: an RTT is at most MOMENTS_RTT_MAX_NS; then 2^40 of them still fit.
 * Threads    Values; pure functions.
 * Source     Variance from sums: sigma^2 = (n*sum(x^2) - sum(x)^2) / n^2, in 128-bit integers.
 *            RFC 3550 section 6.4.1 and appendix A.8 for the interarrival jitter.
 */
#ifndef LIBPROBER_MOMENTS_H
#define LIBPROBER_MOMENTS_H

#include <stdint.h>

#define MOMENTS_RTT_MAX_NS (UINT64_C(1) << 38) /* 274 s */

__extension__ typedef unsigned __int128 moments_square;

struct moments {
    uint64_t count;
    uint64_t sum_ns;
    moments_square square_ns2; /* sum of squares */
    uint64_t min_ns;              /* meaningless while count is 0 */
    uint64_t max_ns;
};

/* Adds one RTT; one above the bound counts as the bound. */
void moments_add(struct moments *m, uint64_t rtt_ns);
/* m becomes what it would be had it seen the other's RTTs too. */
void moments_merge(struct moments *m, const struct moments *other);
/* Mean and population standard deviation, ns; 0 while count is 0. */
double moments_mean_ns(const struct moments *m);
double moments_stddev_ns(const struct moments *m);

/* RFC 3550 interarrival jitter of successive RTTs. */
struct jitter {
    uint64_t last_ns;   /* the previous RTT; valid when seen > 0 */
    uint64_t seen;      /* how many RTTs it has seen */
    uint64_t scaled_ns; /* 16 times the estimate, as in RFC 3550 A.8 */
};

/* Takes the next RTT, in the order of arrival: J += (|D| - J) / 16. */
void jitter_add(struct jitter *j, uint64_t rtt_ns);
/* The estimate, ns; 0 before the second RTT. */
uint64_t jitter_ns(const struct jitter *j);

#endif
