/*
 * probe_http_output - what a one-shot HTTP probe came to, as JSON or as text.
 *
 * Purpose    One object a line. Times are in seconds, moments in Unix seconds; what is not known is
 *            null, a phase that was not ended is 0. User information in a target is not shown.
 * Threads    Values; pure functions.
 */
#ifndef AGENTD_PROBE_HTTP_OUTPUT_H
#define AGENTD_PROBE_HTTP_OUTPUT_H

#include "common/strbuf.h"
#include "libprober/http_engine.h"

/* Appends the object of one target, and a newline. trace: shown too; NULL: none. spec: the probe's. */
void probe_http_output_put(struct strbuf *out, const char *target, const struct http_result *result,
                           const struct http_trace *trace, const struct http_spec *spec);
/* Appends lines for people, with times in milliseconds. */
void probe_http_output_put_text(struct strbuf *out, const char *target,
                                const struct http_result *result);

#endif
