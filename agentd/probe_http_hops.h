/*
 * probe_http_hops - the trace of a one-shot HTTP probe, as JSON for people.
 *
 * Threads    Values; pure functions.
 */
#ifndef AGENTD_PROBE_HTTP_HOPS_H
#define AGENTD_PROBE_HTTP_HOPS_H

#include "common/strbuf.h"
#include "libprober/http_trace.h"

/* Append the members "failed_check", "hops" and, when something is missing in it, "is_cut" of an
 * object. Times are in seconds, dates in UTC; a phase that was not ended is null, like all that is
 * not known. `spec` is that of the probe. */
void probe_http_hops_put(struct strbuf *out, const struct http_trace *trace,
                         const struct http_spec *spec);

#endif
