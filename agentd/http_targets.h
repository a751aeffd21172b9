/*
 * http_targets - which URLs are probed, and when.
 *
 * Purpose    Each target is due once per probe interval, at a phase that is a hash, so that neither
 *            the targets of an agent nor the agents of a mesh pulse together. A target that stays
 *            when the plan changes keeps its phase. What was due and was not started is told, always.
 * Threads    None of its own; the http thread.
 * Ownership  Owns its targets. Borrows the kinds' home, which must outlive it.
 */
#ifndef AGENTD_HTTP_TARGETS_H
#define AGENTD_HTTP_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/agent_plan.h"
#include "agentd/http_kinds.h"
#include "agentd/target_name.h"
#include "common/error.h"
#include "common/siphash.h"

struct http_targets;

/* A probe that is due. Name and kind are borrowed until the next change of the targets. */
struct http_due {
    struct target_name *name;
    struct http_shared_kind *kind;
    uint64_t timeout_ns;
    uint32_t missed; /* those before it that were not started within an interval */
};

struct http_targets_config {
    struct http_kinds *kinds;
    uint64_t interval_ns;
    uint64_t timeout_ns;          /* of targets whose entry has none */
    struct siphash_key phase_key; /* spreads this agent's probes otherwise than those of others */
    /* A target goes while a probe of it is due, which was not started. */
    void (*gone)(void *context, const struct http_due *due);
    /* Probes of this new kind, of which this target is the first, cannot be made at all. */
    void (*unusable)(void *context, const struct agent_plan_http_target *target,
                     const struct http_shared_kind *kind);
    void *context;
};

struct http_targets_counts {
    uint64_t planned;  /* targets in the plan */
    uint64_t unusable; /* of them: this agent cannot do what their http block asks */
};

/* now_ns: monotonic, as everywhere here; intervals are counted from it. */
enum prober_error http_targets_create(struct http_targets **out,
                                      const struct http_targets_config *config, uint64_t now_ns);
/* Makes the plan's targets the wanted ones. Errors: PROBER_ERR_NOMEM: the targets that found no room
 * are missing. */
enum prober_error http_targets_apply(struct http_targets *t, const struct agent_plan *plan,
                                     uint64_t now_ns);
/* When the next probe is due; UINT64_MAX: never. */
uint64_t http_targets_next_ns(const struct http_targets *t);
/* Takes the probe that has been due for longest; false when none is. */
bool http_targets_take(struct http_targets *t, uint64_t now_ns, struct http_due *out);
/* Drops all targets. */
void http_targets_clear(struct http_targets *t, uint64_t now_ns);
void http_targets_counts(const struct http_targets *t, struct http_targets_counts *out);
void http_targets_destroy(
    struct http_targets *t); /* cleared, or `gone` is not told; NULL is fine */

#endif
