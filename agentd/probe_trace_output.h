/*
 * probe_trace_output - the result of a trace, as a table for people or as a JSON object on a line.
 *
 * Threads    Pure functions.
 */
#ifndef AGENTD_PROBE_TRACE_OUTPUT_H
#define AGENTD_PROBE_TRACE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/strbuf.h"
#include "libprober/trace_path.h"

struct probe_trace_result {
    const char *target;         /* as written */
    struct prober_addr address; /* family NONE: not known */
    uint64_t resolve_ns;
    const char *error;                 /* why there is no report, or it is not whole; NULL */
    const struct trace_report *report; /* NULL: nothing was traced */
};

/* Appends a table like mtr's report: a line a hop, RTT in milliseconds, then how it ended. */
void probe_trace_output_text(struct strbuf *out, const struct probe_trace_result *result);
/* Appends a line with an object; times in seconds. */
void probe_trace_output_json(struct strbuf *out, const struct probe_trace_result *result);

#endif
