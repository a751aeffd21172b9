#include "libprober/icmp_target.h"

#include <stdlib.h>
#include <string.h>

#include "libprober/icmp_packet.h"

__extension__ typedef unsigned __int128 wide;

enum prober_error icmp_target_set(struct icmp_target_state *t, const struct icmp_target *settings,
                                  uint64_t window_ns)
{
    uint64_t room_ns;

    if (settings->count < 1 || settings->count > UINT16_MAX ||
        settings->payload_size < ICMP_PAYLOAD_MIN || settings->payload_size > ICMP_PAYLOAD_MAX ||
        settings->timeout_ns < CLOCK_NS_PER_MS || settings->timeout_ns > ICMP_TIMEOUT_MAX_NS)
        return PROBER_ERR_RANGE;
    t->count = settings->count;
    t->pattern_len = settings->payload_size - ICMP_PAYLOAD_MIN;
    t->pattern_sum = icmp_pattern_sum(t->pattern_len);
    t->timeout_ns = settings->timeout_ns;
    t->user = settings->user;
    t->address = prober_addr_unmap(&settings->address);
    /* A burst that does not fit into the window is spread over it. */
    t->gap_ns = room_ns = window_ns / t->count;
    if (settings->gap_ns > 0 && (t->count == 1 || settings->gap_ns <= window_ns / (t->count - 1))) {
        t->gap_ns = settings->gap_ns;
        room_ns = window_ns - t->gap_ns * (t->count - 1);
    }
    t->offset_ns = (uint64_t)((wide)settings->phase * room_ns >> 64);
    return PROBER_OK;
}

void icmp_target_prefetch(const struct icmp_target_state *t)
{
    for (size_t at = 0; at < sizeof(*t); at += 64)
        __builtin_prefetch((const char *)t + at, 1);
}

void icmp_target_prefetch_windows(const struct icmp_target_state *t)
{
    for (size_t at = 0; t->windows && at < sizeof(*t->windows); at += 64)
        __builtin_prefetch((const char *)t->windows + at, 1);
}

struct icmp_target_window *icmp_target_find_window(const struct icmp_target_state *t,
                                                   uint32_t number)
{
    struct icmp_target_window *w = t->windows;

    while (w && w->number != number)
        w = w->next;
    return w;
}

struct icmp_target_window *icmp_target_open_window(struct icmp_target_state *t)
{
    struct icmp_target_window *w = malloc(sizeof(*w) + t->count * sizeof(w->bins[0]));

    if (!w)
        return NULL;
    memset(w, 0, sizeof(*w));
    w->target = t;
    w->number = t->window;
    w->next = t->windows;
    t->windows = w;
    t->open++;
    return w;
}

void icmp_target_window_answer(struct icmp_target_window *w, uint64_t rtt_ns)
{
    w->bins[w->counts.received++] = (uint16_t)histogram_bin(rtt_ns);
    moments_add(&w->rtt, rtt_ns);
    jitter_add(&w->target->jitter, rtt_ns);
    w->pending--;
}

void icmp_target_detach_window(struct icmp_target_window *w)
{
    struct icmp_target_window **link = &w->target->windows;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    w->next = NULL;
}

void icmp_target_window_report(struct icmp_target_window *w, struct histogram_pair *pairs,
                               struct icmp_window *out)
{
    struct icmp_target_state *t = w->target;

    w->counts.duplicates += t->duplicates;
    w->counts.late_replies += t->late_replies;
    w->counts.bad_replies += t->bad_replies;
    w->counts.corrupt_replies += t->corrupt_replies;
    t->duplicates = t->late_replies = t->bad_replies = t->corrupt_replies = 0;
    *out = (struct icmp_window){
        .number = w->number,
        .counts = w->counts,
        .rtt = w->rtt,
        .jitter_ns = jitter_ns(&t->jitter),
        .pairs = pairs,
        .pair_count = histogram_pairs(w->bins, w->counts.received, pairs),
    };
}

void icmp_target_free_windows(struct icmp_target_state *t)
{
    while (t->windows) {
        struct icmp_target_window *w = t->windows;

        t->windows = w->next;
        free(w);
    }
}
