/*
 * view - the admin API's answers as tables for people.
 *
 * Threads    One thread at a time.
 */
#ifndef PROBERMESH_VIEW_H
#define PROBERMESH_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/json.h"
#include "common/strbuf.h"

/* How to print: columns of the terminal (0: no limit), and whether to use ANSI colours. */
struct view_style {
    size_t width;
    bool colour;
};

/* Each appends to *out. `answer` is what the API gave. Errors: PROBER_ERR_PROTOCOL when it has not
 * the shape of that answer, with a sentence in *why; PROBER_ERR_NOMEM. */

/* /api/v1/mesh: regions by regions, in each cell the loss and the mean RTT. A pair that received
 * nothing shows no RTT; one without data shows a dash. */
enum prober_error view_matrix(const struct json *answer, struct view_style style, struct strbuf *out,
                              struct prober_failure *why);
/* /api/v1/mesh: one line a pair with all its numbers. */
enum prober_error view_pairs(const struct json *answer, struct view_style style, struct strbuf *out,
                             struct prober_failure *why);
/* /api/v1/http: one line a URL and source region. */
enum prober_error view_urls(const struct json *answer, struct view_style style, struct strbuf *out,
                            struct prober_failure *why);
/* An item of that list: false when agents that probe it fail, and are not fewer than those that do
 * not. */
bool view_url_succeeds(const struct json *url);
/* /api/v1/agents: one line an agent. */
enum prober_error view_agents(const struct json *answer, struct view_style style, struct strbuf *out,
                              struct prober_failure *why);

/* /api/v1/audit: one line a change. */
enum prober_error view_audit(const struct json *answer, struct view_style style, struct strbuf *out,
                             struct prober_failure *why);

#define VIEW_SECONDS_MAX 32

/* Seconds as "153 us", "81.2 ms" or "1.20 s", three digits; returns `out`. */
char *view_seconds(double seconds, char out[VIEW_SECONDS_MAX]);

#endif
