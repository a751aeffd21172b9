/*
 * icmp_counts - what became of ICMP probes: the one list that engine, wire and server share.
 *
 * Purpose    Two laws tie the counts, always:
 *              scheduled = sent + unsent           (unsent: the sum of the unsent_* counts)
 *              sent      = received + lost + unknown   (lost: the sum of the lost_* counts)
 *            The loss ratio is lost / (received - doubtful + lost), absent when that is 0/0.
 * Threads    Values; pure functions.
 */
#ifndef COMMON_ICMP_COUNTS_H
#define COMMON_ICMP_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, what it counts) */
#define ICMP_COUNTS(X)                                                                            \
    X(sent, "probes that the kernel took")                                                        \
    X(received, "probes answered in time by a reply that matched in every respect")               \
    X(doubtful, "of the received: during an episode in which replies may have been missed")       \
    X(lost_timeout, "no answer at all before the timeout")                                        \
    X(lost_unreachable, "no answer, and an ICMP destination unreachable named the probe")         \
    X(lost_ttl, "no answer, and an ICMP time exceeded named the probe")                           \
    X(unknown, "no answer, and one could not have been seen (local drop, clock step, suspend)")   \
    X(unsent_local, "the kernel refused the packet (no route, no buffer, no permission, …)")      \
    X(unsent_queue, "no room for another probe in flight, or in the device queue")                \
    X(unsent_late, "the engine came more than an interval too late")                              \
    X(unsent_cap, "over the cap on packets per second, of the agent or of the target")            \
    X(unsent_name, "the target's name did not resolve")                                           \
    X(late_sent, "of the sent: later than planned, by less than an interval")                     \
    X(duplicates, "further replies to a probe that was already answered")                         \
    X(late_replies, "replies after the timeout")                                                  \
    X(bad_replies, "replies with a wrong token, slot, address or sequence")                       \
    X(corrupt_replies, "replies with a wrong checksum or a damaged payload")

#define ICMP_COUNTS_MEMBER(name, help) uint32_t name;
struct icmp_counts {
    ICMP_COUNTS(ICMP_COUNTS_MEMBER)
};
#undef ICMP_COUNTS_MEMBER

#define ICMP_TOTALS_MEMBER(name, help) uint64_t name;
struct icmp_totals {
    ICMP_COUNTS(ICMP_TOTALS_MEMBER)
};
#undef ICMP_TOTALS_MEMBER

static inline void icmp_totals_add(struct icmp_totals *t, const struct icmp_counts *c)
{
#define ICMP_TOTALS_ADD(name, help) t->name += c->name;
    ICMP_COUNTS(ICMP_TOTALS_ADD)
#undef ICMP_TOTALS_ADD
}

static inline void icmp_totals_merge(struct icmp_totals *t, const struct icmp_totals *o)
{
#define ICMP_TOTALS_MERGE(name, help) t->name += o->name;
    ICMP_COUNTS(ICMP_TOTALS_MERGE)
#undef ICMP_TOTALS_MERGE
}

static inline uint64_t icmp_totals_lost(const struct icmp_totals *t)
{
    return t->lost_timeout + t->lost_unreachable + t->lost_ttl;
}

static inline uint64_t icmp_totals_unsent(const struct icmp_totals *t)
{
    return t->unsent_local + t->unsent_queue + t->unsent_late + t->unsent_cap + t->unsent_name;
}

/* True when the second law holds and no part is larger than its whole. */
static inline bool icmp_totals_are_lawful(const struct icmp_totals *t)
{
    return t->sent == t->received + icmp_totals_lost(t) + t->unknown &&
           t->doubtful <= t->received && t->late_sent <= t->sent;
}

/* lost / (received - doubtful + lost); negative when there is nothing to divide by. */
static inline double icmp_totals_loss_ratio(const struct icmp_totals *t)
{
    uint64_t lost = icmp_totals_lost(t), known = t->received - t->doubtful + lost;

    return known ? (double)lost / (double)known : -1.0;
}

#endif
