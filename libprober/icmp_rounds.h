/*
 * icmp_rounds - inside the engine: the windows that are not over yet, and their handing out in order.
 *
 * Purpose    A round is one window over all targets. It is complete when its time is over, no target
 *            has probes to send in it, and no probe of it is without an end.
 * Threads    None of its own; the engine's.
 * Ownership  Owns the rounds, and the target windows that wait for their turn.
 */
#ifndef LIBPROBER_ICMP_ROUNDS_H
#define LIBPROBER_ICMP_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "libprober/icmp_target.h"

struct icmp_round {
    struct icmp_round *next;
    uint32_t number;
    uint32_t scheduled; /* targets with probes to send in it */
    uint32_t open;      /* target windows of it without an end */
    struct icmp_target_window *done, **done_tail;
};

struct icmp_rounds {
    struct icmp_round *first, *last; /* ascending; the current one and the one after are there */
    uint64_t base_ns, window_ns;     /* start of the first window */
    uint32_t first_number, current;
    bool started, finishing;
    struct histogram_pair *pairs; /* [UINT16_MAX], for the window that is handed out */
};

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error icmp_rounds_create(struct icmp_rounds *r, uint32_t first_number,
                                     uint64_t window_ns);
/* The first window begins now. */
void icmp_rounds_start(struct icmp_rounds *r, uint64_t now_ns);
/* Makes the window that runs now the current one. What lack of memory prevents is done next time. */
void icmp_rounds_roll(struct icmp_rounds *r, uint64_t now_ns);
/* Plans nothing after the current round; the next one must have nothing scheduled. */
void icmp_rounds_finish(struct icmp_rounds *r);
/* NULL when it is over, or not begun. */
struct icmp_round *icmp_rounds_find(const struct icmp_rounds *r, uint32_t number);
uint64_t icmp_rounds_start_ns(const struct icmp_rounds *r, uint32_t number);
/* Takes over a window that ended. */
void icmp_round_take(struct icmp_round *round, struct icmp_target_window *w);
/* Hands out what can be. */
void icmp_rounds_hand_out(struct icmp_rounds *r, const struct icmp_sink *sink,
                          const struct clock_reading *now);
void icmp_rounds_destroy(struct icmp_rounds *r);

#endif
