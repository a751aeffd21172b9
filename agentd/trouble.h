/*
 * trouble - says once that probing is in trouble, and once that it is over.
 *
 * Purpose    A log line per change of state, not per failure: an interface that is away for an hour
 *            is two lines. A trouble is over when it was not seen for TROUBLE_QUIET_NS, so that one
 *            that comes and goes does not fill the log.
 * Threads    A kind of trouble belongs to the thread that sees it, struct trouble to the icmp thread.
 */
#ifndef AGENTD_TROUBLE_H
#define AGENTD_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/icmp_counts.h"
#include "libprober/icmp_engine.h"

#define TROUBLE_QUIET_NS (10 * CLOCK_NS_PER_S)
#define TROUBLE_KINDS 6

/* One kind of trouble. */
struct trouble_kind {
    bool told;
    uint64_t seen_ns; /* last, while it is told */
};

enum trouble_change { TROUBLE_GOES_ON, TROUBLE_BEGINS, TROUBLE_ENDS };

/* What becomes of a trouble (or of its absence) of which `count` was seen now, if it ends when it was
 * not seen for quiet_ns. */
enum trouble_change trouble_see(struct trouble_kind *kind, uint64_t count, uint64_t now_ns,
                                uint64_t quiet_ns);

struct trouble {
    struct icmp_totals window; /* of the window that is coming in */
    struct trouble_kind kinds[TROUBLE_KINDS];
    uint64_t clock_steps, suspends, receive_drops; /* that were seen */
};

/* One target's window came in. */
void trouble_add(struct trouble *t, const struct icmp_counts *counts);
/* All targets' windows of one number came in, and the engine counted so much by now: tells what
 * began or ended. now_ns: monotonic. */
void trouble_window_end(struct trouble *t, const struct icmp_engine_counts *counts,
                        uint64_t now_ns);

#endif
