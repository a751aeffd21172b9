/*
 * icmp_engine - sends ICMP echo probes on time, pairs replies with probes, and says what became of
 * each.
 *
 * Purpose    One engine serves all targets of both address families. Time is divided into windows;
 *            a target gets `count` probes in each, spread or in a burst, at a phase of its own.
 *            The sink gets an icmp_window for each target as its last probe of the window ends, then
 *            the end of the window; windows come in the order of their numbers, never mixed. Nothing
 *            is invented: see icmp_counts.h. Windows that the engine slept through are left out,
 *            and their numbers skipped.
 * Threads    None of its own, no locks: every call comes from the thread that owns it.
 * Ownership  Owns its sockets, targets and probes in flight.
 *
 * Timing     icmp_engine_step does all the work: it drains the sockets, expires, sends what is due,
 *            and returns when it wants to be called again. RTT comes from kernel timestamps, so
 *            the owner need not watch the sockets: it sleeps until that time (ppoll on its own
 *            wake-ups), and calls again. The first window begins with the first step: what is added
 *            before it gets all its probes in that window. The sink may add and remove targets, but
 *            not step or destroy the engine.
 */
#ifndef LIBPROBER_ICMP_ENGINE_H
#define LIBPROBER_ICMP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/error.h"
#include "libprober/icmp_window.h"

#define ICMP_PAYLOAD_MIN 24    /* room for our mark: see icmp_packet.h */
#define ICMP_PAYLOAD_MAX 65000
#define ICMP_TARGETS_MAX 1000000
#define ICMP_TIMEOUT_MAX_NS (60 * CLOCK_NS_PER_S)
#define ICMP_WINDOW_MIN_NS CLOCK_NS_PER_MS

struct icmp_engine;

enum icmp_timestamps {
    ICMP_TIMESTAMPS_AUTO,   /* by the packet rate */
    ICMP_TIMESTAMPS_USER,   /* interpolated between readings around each batch */
    ICMP_TIMESTAMPS_KERNEL  /* transmit timestamps from the error queue */
};

struct icmp_engine_config {
    uint64_t window_ns;       /* length of a window: the probe interval */
    uint32_t first_window;    /* number of the first window */
    uint32_t sender;          /* marks our requests for the receiving agent; 0: none */
    enum icmp_timestamps timestamps;
    uint64_t packets_per_second_max; /* over all targets; 0: no cap */
    uint64_t target_packets_per_second_max; /* of one target address; 0: no cap */
    uint32_t identifier;      /* forces the ICMP identifier (1..65535); 0: random */
    size_t receive_buffer;    /* bytes asked of the kernel; 0: 8 MiB */
    bool ipv4, ipv6;          /* families to open; one that the host lacks is left out quietly if
                                 the other opens */
};

struct icmp_target {
    struct prober_addr address; /* family NONE: its name did not resolve; counts as unsent_name */
    uint32_t payload_size;      /* ICMP_PAYLOAD_MIN..ICMP_PAYLOAD_MAX bytes after the ICMP header */
    uint32_t count;             /* probes a window, 1..65535 */
    uint64_t gap_ns;            /* between probes of a burst; 0: spread over the window */
    uint64_t timeout_ns;        /* 1 ms..60 s */
    uint64_t phase;             /* any number, best a hash of the target: where in the window it starts */
    void *user;                 /* handed to the sink */
};

/* Handle of a target; 0 is none. A handle is not reused. */
typedef uint64_t icmp_target_id;

struct icmp_sink {
    /* One target's finished window. `w` is valid during the call. */
    void (*window)(void *context, void *user, const struct icmp_window *w);
    /* All windows of this number have been handed out; the last probe ended at ended (now). */
    void (*window_end)(void *context, uint32_t number, const struct clock_reading *now);
    /* The target was removed, and no call will name it again: its user pointer can be freed. */
    void (*removed)(void *context, void *user);
    void *context;
};

/* Opens the sockets. Errors: PROBER_ERR_DENIED (with how to grant CAP_NET_RAW), _RANGE, _NOMEM, _IO. */
enum prober_error icmp_engine_create(struct icmp_engine **out, const struct icmp_engine_config *config,
                                     const struct icmp_sink *sink, const struct clock_reading *now,
                                     struct prober_failure *why);
/* Adds a target: its first probes go out in the window that is running, from now on.
 * Errors: PROBER_ERR_RANGE, _FULL, _NOMEM, _STATE (after icmp_engine_finish). */
enum prober_error icmp_engine_add(struct icmp_engine *e, const struct icmp_target *target,
                                  const struct clock_reading *now, icmp_target_id *id);
/* Changes the address of a target (a name that resolved anew): for its next probe on. */
void icmp_engine_set_address(struct icmp_engine *e, icmp_target_id id,
                             const struct prober_addr *address);
/* Sends no more probes to it; those in flight end as they must, its windows are still reported, then
 * `removed` is called. */
void icmp_engine_remove(struct icmp_engine *e, icmp_target_id id);
/* Sets the mark that the receiving agent counts us by. */
void icmp_engine_set_sender(struct icmp_engine *e, uint32_t sender);
/* Does what is due at *now. Returns the monotonic time of the next call; sooner is fine. */
uint64_t icmp_engine_step(struct icmp_engine *e, const struct clock_reading *now);
/* Plans no further window: the running one goes on (the first, before the first step), and ends at
 * once when its last probe has; then the engine is finished. */
void icmp_engine_finish(struct icmp_engine *e);
bool icmp_engine_is_finished(const struct icmp_engine *e);

/* The engine's own counters, since its creation. */
struct icmp_engine_counts {
    uint64_t packets_sent;
    uint64_t packets_received;      /* that passed the filter */
    uint64_t receive_drops;         /* by the receiving sockets, for lack of buffer */
    uint64_t foreign_replies;       /* not ours by token: another prober with our identifier */
    uint64_t stray_replies;         /* ours by token, to a probe that is long forgotten */
    uint64_t malformed;             /* too short, or a bad checksum and no probe it could be for */
    uint64_t errors_received;       /* ICMP errors that quoted a probe of ours */
    uint64_t errors_foreign;
    uint64_t clock_steps;           /* of the wall clock */
    uint64_t suspends;
    uint64_t identifier_changes;
    uint64_t in_flight;
    uint64_t targets;
    uint64_t wakeups;
    uint64_t late_wakeups;          /* a step that came more than 10 ms after it was asked for */
};
void icmp_engine_counts(const struct icmp_engine *e, struct icmp_engine_counts *out);

/* Frees all; probes in flight get no result. NULL and half-made engines are fine. */
void icmp_engine_destroy(struct icmp_engine *e);

#endif
