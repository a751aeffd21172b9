/*
 * trouble - says once that probing is in trouble, and once that it is over.
 *
 * Purpose    A log line per change of state, not per failure: an interface that is away for an hour
 *            is two lines.
 * Threads    The icmp thread.
 */
#ifndef AGENTD_TROUBLE_H
#define AGENTD_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/icmp_counts.h"
#include "libprober/icmp_engine.h"

struct trouble {
    struct icmp_totals window;                     /* of the window that is coming in */
    unsigned present;                              /* bits of the troubles that were told */
    uint64_t clock_steps, suspends, receive_drops; /* that were told */
    bool dropping;
};

/* One target's window came in. */
void trouble_add(struct trouble *t, const struct icmp_counts *counts);
/* All targets' windows of one number came in: tells what began or ended. */
void trouble_window_end(struct trouble *t);
/* Tells clock steps, suspends and drops since the last call. */
void trouble_engine(struct trouble *t, const struct icmp_engine_counts *counts);

#endif
