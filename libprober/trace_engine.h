/*
 * trace_engine - traces paths: which routers lead to a target, and the loss and RTT up to each.
 *
 * Purpose    A trace sends `count` rounds of probes, in each one for every TTL up to the end of the path
 *            (see trace_path.h); the first round finds that end, and waits for answers as it goes, so
 *            that few probes go beyond it. All probes of a trace are one flow (see trace_packet.h).
 *            An answer counts only if it is to one of our probes, whatever else arrives at this host.
 *            Several traces run side by side; all of them together keep to one rate.
 * Threads    None of its own, no locks: every call comes from the thread that owns it. Never blocks.
 * Ownership  Owns its sockets and traces.
 *
 * Timing     trace_engine_step does all the work and returns when it wants to be called again; sooner,
 *            when trace_engine_fd is readable. RTT comes from kernel timestamps.
 */
#ifndef LIBPROBER_TRACE_ENGINE_H
#define LIBPROBER_TRACE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/error.h"
#include "libprober/trace_path.h"

#define TRACE_TARGETS_MAX 64 /* at the same time */
#define TRACE_RATE_DEFAULT 100
#define TRACE_RATE_MAX 1000
#define TRACE_TIMEOUT_MAX_NS (60 * CLOCK_NS_PER_S)
#define TRACE_PORT_DEFAULT 33434 /* where traceroutes begin: hardly ever in use */

struct trace_engine;

struct trace_target {
    struct prober_addr address;
    enum trace_protocol protocol;
    uint16_t port; /* of UDP, 1..65535 */
    struct trace_limits limits;
    uint64_t interval_ns; /* from round to round at least */
    void *user;           /* handed to the sink */
};

struct trace_sink {
    /* A trace has ended, or was stopped. *r is valid during the call, in which traces may be added, but
     * the engine not be stepped, stopped or destroyed. */
    void (*done)(void *context, void *user, const struct trace_report *r);
    void *context;
};

/* packets_per_second: of all traces together, never in a burst, 1..TRACE_RATE_MAX.
 * Errors: PROBER_ERR_RANGE, _NOMEM, _IO. */
enum prober_error trace_engine_create(struct trace_engine **out, uint32_t packets_per_second,
                                      const struct trace_sink *sink,
                                      const struct clock_reading *now, struct prober_failure *why);
/* Readable when there is something to receive. */
int trace_engine_fd(const struct trace_engine *e);
/* Starts a trace. Errors, with a sentence in *why: PROBER_ERR_RANGE (a limit, or an address that is no
 * single host's), _FULL, _DENIED, _UNSUPPORTED, _UNREACHABLE (no route), _NOMEM, _IO. */
enum prober_error trace_engine_add(struct trace_engine *e, const struct trace_target *target,
                                   const struct clock_reading *now, struct prober_failure *why);
/* Does what is due at *now. Returns the monotonic time of the next call; UINT64_MAX when idle. */
uint64_t trace_engine_step(struct trace_engine *e, const struct clock_reading *now);
/* Sends no more: each trace ends when its last probe has. */
void trace_engine_stop(struct trace_engine *e);
size_t trace_engine_running(const struct trace_engine *e);

struct trace_engine_counts {
    uint64_t sent;
    uint64_t received; /* answers to our probes */
    uint64_t foreign;  /* messages that answer no probe of ours */
    uint64_t drops;    /* by the sockets, for lack of buffer */
};
void trace_engine_counts(const struct trace_engine *e, struct trace_engine_counts *out);

/* Frees all; traces that run get no result. NULL and half-made engines are fine. */
void trace_engine_destroy(struct trace_engine *e);

#endif
