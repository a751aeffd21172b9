/*
 * http_totals - what became of HTTP probes: counts by how they ended.
 *
 * Purpose    Two laws tie the counts:
 *              scheduled = probed + unsent      (unsent: not started in time, or for want of means)
 *              probed    = succeeded + failed   (failed: by reason)
 *            One array holds how the probes that were started ended, by enum http_reason, so both
 *            hold by construction. Of HTTP_FAILED_LOCAL nothing was measured: it counts as unsent.
 * Threads    Values; pure functions.
 */
#ifndef SERVERD_HTTP_TOTALS_H
#define SERVERD_HTTP_TOTALS_H

#include <stddef.h>
#include <stdint.h>

#include "libprober/http_judge.h"

/* Reasons that a later agent knows and this server does not. */
#define HTTP_REASON_UNKNOWN HTTP_REASON_COUNT
#define HTTP_TOTALS_REASONS (HTTP_REASON_COUNT + 1)

/* Of how a probe ended, as the wire has it. */
static inline unsigned http_totals_reason(uint32_t reason)
{
    return reason < HTTP_REASON_COUNT ? reason : HTTP_REASON_UNKNOWN;
}

/* As the label failed_reason has it. */
static inline const char *http_totals_reason_text(unsigned reason)
{
    if (reason == HTTP_SUCCEEDED)
        return "success";
    return reason < HTTP_REASON_COUNT ? http_reason_text((enum http_reason)reason) : "unknown";
}

/* True for a reason that says that the target failed. */
static inline int http_totals_is_failure(unsigned reason)
{
    return reason != HTTP_SUCCEEDED && reason != HTTP_FAILED_LOCAL;
}

struct http_totals {
    uint64_t ended[HTTP_TOTALS_REASONS]; /* by reason */
    uint64_t unsent_late;                /* not started in time */
};

static inline void http_totals_add(struct http_totals *t, uint32_t reason, uint32_t unsent_late)
{
    t->ended[http_totals_reason(reason)]++;
    t->unsent_late += unsent_late;
}

static inline uint64_t http_totals_succeeded(const struct http_totals *t)
{
    return t->ended[HTTP_SUCCEEDED];
}

static inline uint64_t http_totals_failed(const struct http_totals *t)
{
    uint64_t failed = 0;

    for (unsigned reason = 0; reason < HTTP_TOTALS_REASONS; reason++)
        failed += http_totals_is_failure(reason) ? t->ended[reason] : 0;
    return failed;
}

static inline uint64_t http_totals_probed(const struct http_totals *t)
{
    return http_totals_succeeded(t) + http_totals_failed(t);
}

static inline uint64_t http_totals_unsent(const struct http_totals *t)
{
    return t->unsent_late + t->ended[HTTP_FAILED_LOCAL];
}

/* The same, without the reasons. */
struct http_results {
    uint64_t succeeded, failed, unsent;
};

static inline void http_results_add(struct http_results *r, uint32_t reason, uint32_t unsent_late)
{
    r->unsent += unsent_late;
    if (reason == HTTP_SUCCEEDED)
        r->succeeded++;
    else if (reason == HTTP_FAILED_LOCAL)
        r->unsent++;
    else
        r->failed++;
}

#endif
