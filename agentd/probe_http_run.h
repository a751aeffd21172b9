/*
 * probe_http_run - probes URLs once and prints the results.
 *
 * Purpose    At most PROBE_HTTP_AT_ONCE run side by side, begun PROBE_HTTP_PACE_NS apart so that they
 *            do not delay each other; each is printed as it ends.
 * Threads    One thread; it blocks until all have ended or *stop is set: what runs then has no result.
 */
#ifndef AGENTD_PROBE_HTTP_RUN_H
#define AGENTD_PROBE_HTTP_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/policy.h"
#include "common/error.h"
#include "libprober/http_engine.h"

#define PROBE_HTTP_AT_ONCE 256
#define PROBE_HTTP_PACE_NS UINT64_C(2000000)

struct probe_http_job {
    const char *target;
    struct http_kind *kind;
    const struct http_spec *spec; /* of the kind */
    uint64_t timeout_ns;
};

struct probe_http_run_config {
    const struct probe_http_job *jobs; /* [count] */
    size_t count;
    bool is_traced;              /* each result shows the hops */
    bool is_text;                /* lines for people instead of objects */
    const struct policy *policy; /* whom to connect to; NULL: anybody */
    const char *dns_servers;     /* as in resolver_config; NULL: the system's */
    int out_fd;
    const volatile sig_atomic_t *stop;
    const sigset_t *sleep_mask; /* signals that are blocked while it sleeps; the rest may wake it */
};

struct probe_http_summary {
    size_t ended; /* probes whose result is out */
    size_t succeeded;
};

/* Fills a zeroed *summary. Errors, with a sentence in *why: PROBER_ERR_IO (also when the output
 * fails), _NOMEM, _SYNTAX (dns_servers). */
enum prober_error probe_http_run(const struct probe_http_run_config *config,
                                 struct probe_http_summary *summary, struct prober_failure *why);

#endif
