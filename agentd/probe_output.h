/*
 * probe_output - what one-shot ICMP probes came to, as JSON or as text.
 *
 * Purpose    One object a line: per target, or one for all of them. Times are in seconds; what
 *            cannot be known is null: the RTTs where nothing was received, the loss ratio of
 *            nothing, the address of a name that did not resolve.
 * Threads    Values; pure functions.
 */
#ifndef AGENTD_PROBE_OUTPUT_H
#define AGENTD_PROBE_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/icmp_counts.h"
#include "common/strbuf.h"
#include "libprober/icmp_window.h"

struct probe_result {
    const char *target;
    struct prober_addr address;
    uint64_t resolve_ns;
    const char *error; /* why it could not be probed, or not as it should; NULL */
    const struct icmp_window *window;
};

/* Appends the object of one target, and a newline. */
void probe_output_target(struct strbuf *out, const struct probe_result *result);

/* The same as a line for people, with times in milliseconds. */
void probe_output_target_text(struct strbuf *out, const struct probe_result *result);

/* All targets together. */
struct probe_summary {
    struct icmp_totals totals;
    struct moments rtt;
    struct histogram histogram;
    uint64_t targets;
    uint64_t answered; /* targets that did, at least once */
    uint64_t elapsed_ns;
};

void probe_summary_add(struct probe_summary *s, const struct icmp_window *window);
void probe_output_summary(struct strbuf *out, const struct probe_summary *s);
void probe_output_summary_text(struct strbuf *out, const struct probe_summary *s);

#endif
