/*
 * icmp_target - inside the engine: one target, its schedule, and the counts of its open windows.
 *
 * Threads    None of its own; the engine's.
 * Ownership  A target owns its open windows. A window that is complete is handed over.
 */
#ifndef LIBPROBER_ICMP_TARGET_H
#define LIBPROBER_ICMP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "libprober/icmp_caps.h"
#include "libprober/icmp_engine.h"
#include "libprober/timer_wheel.h"

struct icmp_target_window {
    struct icmp_target_window *next;
    struct icmp_target_state *target;
    uint32_t number;
    uint32_t pending;        /* probes without an end */
    uint16_t first_sequence; /* of the probes sent in it */
    uint16_t last_sequence;
    uint64_t first_ns; /* when the first was sent */
    struct icmp_counts counts;
    struct moments rtt;
    uint16_t bins[]; /* [counts.received] of the target's count */
};

struct icmp_target_state {
    struct timer timer; /* when the next probe is due, or the one after was sent too early */
    void *user;
    struct icmp_target_window *windows; /* open, newest first */
    struct icmp_address_cap *cap;
    struct prober_addr address;
    uint64_t timeout_ns;
    uint64_t gap_ns;    /* between its probes */
    uint64_t offset_ns; /* of its first probe in a window */
    uint32_t count, pattern_len;
    uint32_t slot, generation; /* the two halves of its handle */
    uint32_t window;           /* number of the window that its next probe is for */
    uint32_t index;            /* of that probe in its window */
    uint32_t flights;          /* in any state, that name it */
    uint32_t open;             /* windows not handed out yet */
    uint16_t sequence, pattern_sum;
    bool in_wheel;  /* the timer wheel, or the engine's list of due ones, holds it */
    bool scheduled; /* it has probes to send in `window` */
    bool removed;   /* by the owner */
    bool told;      /* the sink knows that it was removed */
    struct jitter jitter;
    /* What is seen at any time is counted in the next window that ends. */
    uint32_t duplicates, late_replies, bad_replies, corrupt_replies;
};

/* Sets what follows from the target's settings and the length of a window. Errors: PROBER_ERR_RANGE. */
enum prober_error icmp_target_set(struct icmp_target_state *t, const struct icmp_target *settings,
                                  uint64_t window_ns);
/* Have the target's memory fetched; then, when it has come, that of its newest window. */
void icmp_target_prefetch(const struct icmp_target_state *t);
void icmp_target_prefetch_windows(const struct icmp_target_state *t);
/* The open window of that number; NULL when there is none. */
struct icmp_target_window *icmp_target_find_window(const struct icmp_target_state *t,
                                                   uint32_t number);
/* Opens the window of t->window, which is not open. NULL for lack of memory. */
struct icmp_target_window *icmp_target_open_window(struct icmp_target_state *t);
/* Counts a reply that came rtt_ns after the probe. */
void icmp_target_window_answer(struct icmp_target_window *w, uint64_t rtt_ns);
/* Takes a window out of the target's open ones: the caller owns it. */
void icmp_target_detach_window(struct icmp_target_window *w);
/* Fills *out from a detached window, with pairs[received]. Sorts its bins. */
void icmp_target_window_report(struct icmp_target_window *w, struct histogram_pair *pairs,
                               struct icmp_window *out);
/* Frees the open windows. */
void icmp_target_free_windows(struct icmp_target_state *t);

#endif
