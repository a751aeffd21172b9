/*
 * probe_trace_run - resolves the targets of a one-shot trace, traces them, and prints the results.
 *
 * Purpose    Targets are traced side by side, at most PROBE_TRACE_AT_ONCE at a time, and printed as
 *            they finish. One that cannot be traced is printed too, with the reason.
 * Threads    One thread; it blocks until all is done or *stop is set: then no further probe is sent,
 *            those in flight end as they must, and all targets are printed.
 */
#ifndef AGENTD_PROBE_TRACE_RUN_H
#define AGENTD_PROBE_TRACE_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "agentd/probe_targets.h"
#include "common/error.h"
#include "libprober/trace_engine.h"

#define PROBE_TRACE_AT_ONCE 32

struct probe_trace_config {
    struct trace_target like;  /* of each target, but for address and user */
    uint32_t rate;             /* packets a second of all */
    enum prober_family family; /* the only one wanted; NONE: both, IPv4 first */
    const char *dns_servers;   /* as in resolver_config; NULL: the system's */
    bool json;
    int out_fd;
    const volatile sig_atomic_t *stop;
    const sigset_t *sleep_mask; /* signals that are blocked while it sleeps; the rest may wake it */
};

/* Stores in *reached how many targets answered. Errors, with a sentence in *why: PROBER_ERR_DENIED (no
 * permission to open raw sockets), _IO (also when the output fails), _NOMEM, _SYNTAX, _RANGE. */
enum prober_error probe_trace_run(const struct probe_trace_config *config,
                                  struct probe_targets *targets, size_t *reached,
                                  struct prober_failure *why);

#endif
