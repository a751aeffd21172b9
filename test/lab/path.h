/*
 * path - one direction between two hosts: its settings, its dice, its counters.
 *
 * Purpose    Decides the fate of each packet. The dice of each class of packets on each path are
 *            seeded on their own, and every packet takes the same number of throws whatever the
 *            settings are: the n-th echo request from A to B has the same fate in every run.
 * Threads    One thread.
 * Ownership  Values.
 */
#ifndef LAB_PATH_H
#define LAB_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "test/lab/packet.h"

#define PATH_HOPS_MAX 30
#define PATH_DELAY_MAX_NS UINT64_C(60000000000)

/* Which packets the faults hit; delay and jitter are for all. */
enum path_scope { PATH_ANY, PATH_ICMP, PATH_REQUEST, PATH_REPLY, PATH_REST };

/* A probability as a threshold for 32 random bits: 0 never, 1 << 32 always. */
typedef uint64_t path_chance;

struct path_settings {
    uint64_t delay_ns;
    uint64_t jitter_ns; /* added: uniform in 0..2 x jitter, less jitter; never below 0 */
    path_chance loss;
    path_chance duplicate;
    path_chance reorder; /* held back by reorder_by, so that later packets overtake */
    uint64_t reorder_by_ns;
    path_chance corrupt;  /* one bit inverted */
    path_chance damage;   /* one bit inverted and the ICMP checksum mended */
    bool blackhole;       /* dropped in silence */
    bool unreachable;     /* dropped, and the last router answers host unreachable */
    int only;             /* enum path_scope */
    uint64_t error_rate;  /* ICMP errors a second that the path's routers write, with a burst of
                             as many */
    uint64_t error_quote; /* bytes that they quote beyond the IPv4 header */
    uint64_t hops;        /* routers on the way, 1..PATH_HOPS_MAX */
    uint64_t loss_hop;    /* loss happens on the way into this router, also to packets whose TTL runs
                             out there or later; 0: behind the last one */
    uint64_t mute_hop;    /* the router that writes fewer errors; 0: none */
    path_chance mute;     /* of its errors that are not written */
};

/* X(name, help): what became of packets. Once nothing is under way,
 * seen + duplicated = delivered + the sum of the drops. */
#define PATH_COUNTERS(X)                                                                           \
    X(seen, "came in from the source")                                                             \
    X(lost, "dropped by the loss setting")                                                         \
    X(blackholed, "dropped by blackhole")                                                          \
    X(unreachable, "dropped by unreachable")                                                       \
    X(expired, "dropped because the TTL ran out")                                                  \
    X(overflowed, "dropped because the emulator holds too many packets")                           \
    X(failed, "dropped because the destination's interface refused them")                          \
    X(delivered, "written to the destination, duplicates included")                                \
    X(duplicated, "written twice")                                                                 \
    X(reordered, "held back")                                                                      \
    X(corrupted, "with a bit inverted")                                                            \
    X(damaged, "with a bit inverted and the checksum mended")                                      \
    X(errors, "ICMP errors written about them")

#define PATH_COUNTER_MEMBER(name, help) uint64_t name;
struct path_counters {
    PATH_COUNTERS(PATH_COUNTER_MEMBER)
};
#undef PATH_COUNTER_MEMBER

struct path {
    struct path_settings settings;
    uint64_t dice[PACKET_CLASS_COUNT];
    uint64_t router_dice;     /* for what befalls packets whose TTL runs out */
    uint64_t last_depart_ns;  /* packets that are not held back keep their order */
    uint64_t error_tokens_ns; /* the rate limit of ICMP errors: when its bucket was empty */
    struct path_counters counters[PACKET_CLASS_COUNT];
};

enum path_verdict { PATH_DELIVER, PATH_DROP, PATH_UNREACHABLE };

struct path_fate {
    enum path_verdict verdict;
    uint64_t depart_ns;
    bool duplicate, corrupt, damage;
    uint64_t dice; /* for the bit to invert */
};

/* The path from `source` to `destination` with default settings and the dice of `seed`. */
void path_init(struct path *p, uint64_t seed, const char *source, const char *destination);

/* Throws the dice for a packet that came in at now_ns, and counts. */
struct path_fate path_decide(struct path *p, enum packet_class class, uint64_t now_ns);
/* Whether a packet whose TTL runs out at router `hop` is lost before; counts it if so. */
bool path_loses_before(struct path *p, enum packet_class class, unsigned hop);
/* Whether router `hop` leaves out the error that it should write now. */
bool path_is_mute(struct path *p, unsigned hop);
/* Whether the rate limit allows one more ICMP error at now_ns; takes it if so. */
bool path_take_error(struct path *p, uint64_t now_ns);

/* Sets one setting, as a person writes it ("loss", "20%"; "delay", "80ms"; "blackhole", "on").
 * Errors: PROBER_ERR_UNKNOWN_KEY or PROBER_ERR_SYNTAX, with settings unchanged. */
enum prober_error path_settings_set(struct path_settings *s, const char *key, const char *value,
                                    struct prober_failure *why);
void path_settings_defaults(struct path_settings *s);
/* Appends " key value" of every setting. */
void path_settings_print(const struct path_settings *s, struct strbuf *out);
/* Appends " class.counter=value" of every counter that is not zero. */
void path_counters_print(const struct path *p, struct strbuf *out);

#endif
