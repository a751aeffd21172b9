/*
 * icmp_window - what one target's probes of one window came to.
 *
 * Threads    Values.
 */
#ifndef LIBPROBER_ICMP_WINDOW_H
#define LIBPROBER_ICMP_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "common/icmp_counts.h"
#include "libprober/histogram.h"
#include "libprober/moments.h"

struct icmp_window {
    uint32_t number;           /* of the window, counted by the engine */
    struct icmp_counts counts; /* both laws hold */
    struct moments rtt;        /* of the received */
    uint64_t jitter_ns;        /* RFC 3550, over the target's life */
    const struct histogram_pair
        *pairs; /* [pair_count], by ascending bin; the counts sum to received */
    size_t pair_count;
};

#endif
