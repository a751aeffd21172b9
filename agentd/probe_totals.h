/*
 * probe_totals - what became of probes, of all kinds, summed up.
 *
 * Purpose    What batches carry, the spool drops and servers take is told in these sums. For HTTP
 *            probes two laws hold, always:
 *              scheduled = probed + unsent   (unsent: late, or local: nothing was measured)
 *              probed    = succeeded + failed
 *            Those of ICMP probes are in common/icmp_counts.h.
 * Threads    Values; pure functions.
 */
#ifndef AGENTD_PROBE_TOTALS_H
#define AGENTD_PROBE_TOTALS_H

#include <stdint.h>

#include "common/icmp_counts.h"
#include "libprober/http_judge.h"

struct http_totals {
    uint64_t by_reason[HTTP_REASON_COUNT]; /* probes that came to an end, by enum http_reason */
    uint64_t unsent_late;                  /* probes that could not be started in time */
};

struct probe_totals {
    struct icmp_totals icmp;
    struct http_totals http;
};

static inline void http_totals_merge(struct http_totals *t, const struct http_totals *o)
{
    for (unsigned i = 0; i < HTTP_REASON_COUNT; i++)
        t->by_reason[i] += o->by_reason[i];
    t->unsent_late += o->unsent_late;
}

static inline uint64_t http_totals_failed(const struct http_totals *t)
{
    uint64_t failed = 0;

    for (unsigned i = 0; i < HTTP_REASON_COUNT; i++)
        if (i != HTTP_SUCCEEDED && i != HTTP_FAILED_LOCAL)
            failed += t->by_reason[i];
    return failed;
}

static inline uint64_t http_totals_probed(const struct http_totals *t)
{
    return t->by_reason[HTTP_SUCCEEDED] + http_totals_failed(t);
}

static inline uint64_t http_totals_unsent(const struct http_totals *t)
{
    return t->unsent_late + t->by_reason[HTTP_FAILED_LOCAL];
}

static inline uint64_t http_totals_scheduled(const struct http_totals *t)
{
    return http_totals_probed(t) + http_totals_unsent(t);
}

static inline void probe_totals_merge(struct probe_totals *t, const struct probe_totals *o)
{
    icmp_totals_merge(&t->icmp, &o->icmp);
    http_totals_merge(&t->http, &o->http);
}

#endif
