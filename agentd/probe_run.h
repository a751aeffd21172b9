/*
 * probe_run - resolves the targets of a one-shot ICMP probe, probes them, and prints the results.
 *
 * Purpose    Names are looked up first, all at once; one that does not resolve is printed then. The
 *            others are probed side by side, their first probes PROBE_PACE_NS apart on average (or
 *            less, so that all have one within an interval), and printed as they finish.
 * Threads    One thread; it blocks until all is done or *stop is set: then no further probe is
 *            sent, those in flight end as they must, and all targets are printed.
 */
#ifndef AGENTD_PROBE_RUN_H
#define AGENTD_PROBE_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "agentd/probe_output.h"
#include "agentd/probe_targets.h"
#include "common/error.h"

#define PROBE_PACE_NS UINT64_C(20000)

struct probe_run_config {
    uint32_t count;       /* probes a target */
    uint64_t interval_ns; /* between probes of a target */
    uint64_t timeout_ns;  /* of a probe */
    uint32_t payload_size;
    enum prober_family family; /* the only one wanted; NONE: both, IPv4 first */
    const char *dns_servers;   /* as in resolver_config; NULL: the system's */
    bool summary;              /* one object for all targets instead of one for each */
    bool text;                 /* lines for people instead of objects */
    int out_fd;
    const volatile sig_atomic_t *stop;
    const sigset_t *sleep_mask; /* signals that are blocked while it sleeps; the rest may wake it */
};

/* Fills *summary whether or not it prints it. Errors, with a sentence in *why: PROBER_ERR_DENIED
 * (no permission to open ICMP sockets), _IO (also when the output fails), _NOMEM, _SYNTAX. */
enum prober_error probe_run(const struct probe_run_config *config, struct probe_targets *targets,
                            struct probe_summary *summary, struct prober_failure *why);

#endif
