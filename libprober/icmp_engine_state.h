/*
 * icmp_engine_state - inside the engine: what its three parts share.
 *
 * Purpose    icmp_engine.c holds targets, windows' ends and the step; icmp_engine_send.c sends what is
 *            due; icmp_engine_receive.c takes in what comes, and ends probes.
 * Threads    None of its own; the engine's.
 */
#ifndef LIBPROBER_ICMP_ENGINE_STATE_H
#define LIBPROBER_ICMP_ENGINE_STATE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"
#include "libprober/clock_watch.h"
#include "libprober/icmp_caps.h"
#include "libprober/icmp_engine.h"
#include "libprober/icmp_episodes.h"
#include "libprober/icmp_flight.h"
#include "libprober/icmp_packet.h"
#include "libprober/icmp_rounds.h"
#include "libprober/icmp_socket.h"
#include "libprober/icmp_target.h"
#include "libprober/timer_wheel.h"

#define ICMP_ENGINE_FLIGHTS_MAX (4u << 20)
/* Later than this is late: for a probe, and for a step. */
#define ICMP_ENGINE_LATE_NS (10 * CLOCK_NS_PER_MS)
/* A packet with a timestamp in time may still be on its way into the socket. */
#define ICMP_ENGINE_GRACE_NS (2 * CLOCK_NS_PER_MS)
#define ICMP_ENGINE_NOTES 8192u
#define ICMP_ENGINE_PATTERN 65536

struct stamp_note {
    uint64_t before_ns; /* monotonic, when the kernel had not been given the packet yet */
    uint32_t number, slot;
    uint16_t generation;
};

/* What the engine holds for one address family. */
struct icmp_station {
    struct icmp_socket *socket; /* NULL: not there */
    enum prober_family family;
    uint16_t identifier, previous;
    uint64_t drawn_ns; /* when the identifier was drawn again; 0: never */
    bool watched;      /* drained and read at each step */
    uint32_t drops;    /* of the socket, when last read */
    uint64_t drops_ns; /* when that was */
    uint32_t flights;  /* in any state */
    size_t boarding;   /* in the next batch */
    struct icmp_departure departures[ICMP_SOCKET_BATCH];
    struct icmp_flight *passengers[ICMP_SOCKET_BATCH];
    bool late[ICMP_SOCKET_BATCH];
    struct stamp_note notes[ICMP_ENGINE_NOTES];
};

struct icmp_engine {
    struct icmp_engine_config config;
    struct icmp_sink sink;
    struct icmp_station stations[2];
    struct siphash_key key;
    uint16_t checksum; /* of all probes */
    struct clock_watch clocks;
    struct icmp_episodes episodes;
    struct icmp_caps *caps;
    struct icmp_flights *flights;
    struct timer_wheel *deadlines, *pacing;
    struct timer *due; /* targets whose time came, not served yet */
    struct icmp_rounds rounds;
    struct icmp_target_state **targets; /* [slot]; NULL: free */
    uint32_t *generations;              /* [slot] */
    uint32_t slots, free_hint;
    uint64_t *removed; /* handles of targets whose removal is not told yet */
    size_t removed_count, removed_room;
    uint64_t planned;    /* probes a window */
    uint64_t drained_ns; /* monotonic: the sockets were empty */
    uint64_t asked_ns;   /* the next step was asked for then; 0: none yet */
    uint32_t open;       /* probes without an end */
    uint32_t sends_left; /* in this step */
    bool stamps;
    struct icmp_engine_counts counts;
    uint8_t pattern[ICMP_ENGINE_PATTERN];
};

/* ---- icmp_engine_send.c ---- */

/* The target has probes to send in the window of this number, from `index` on. */
void icmp_engine_schedule(struct icmp_engine *e, struct icmp_target_state *t, uint32_t number,
                          uint32_t index);
void icmp_engine_unschedule(struct icmp_engine *e, struct icmp_target_state *t);
/* Sets the timer for the target's next probe. */
void icmp_engine_plan_next(struct icmp_engine *e, struct icmp_target_state *t);
/* Sends what is due, up to so many that the sockets must be drained in between. */
void icmp_engine_serve_due(struct icmp_engine *e, uint64_t now_ns);

/* ---- icmp_engine_receive.c ---- */

/* The station of an address family; NULL when it could not be opened. */
struct icmp_station *icmp_engine_station(struct icmp_engine *e, uint8_t family);
void icmp_engine_watch_clocks(struct icmp_engine *e, const struct clock_reading *now);
/* Takes in what came. False when something remains: then nothing may expire. */
bool icmp_engine_drain(struct icmp_engine *e, uint64_t now_ns);
/* Before the first probe after a rest: what came or was dropped meanwhile concerns no probe. */
void icmp_engine_begin_watch(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns);
/* Ends the probes whose time is over. */
void icmp_engine_expire(struct icmp_engine *e, uint64_t now_ns);
/* Hands the window over to its round when its last probe was sent and has ended. */
void icmp_engine_end_window(struct icmp_engine *e, struct icmp_target_window *w);
/* Forgets a probe. */
void icmp_engine_release(struct icmp_engine *e, struct icmp_flight *f);
/* Frees a removed target that nothing refers to any more. */
void icmp_engine_free_if_unused(struct icmp_engine *e, struct icmp_target_state *t);

#endif
