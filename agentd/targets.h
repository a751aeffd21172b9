/*
 * targets - keeps the engine probing what the plan says, and only that.
 *
 * Purpose    Applies the differences between plans: a target that stays keeps its state, one that
 *            goes still gets its last windows reported. Names are resolved in the background, and
 *            again every window; their probes start after the first look-up. Targets that the
 *            policy denies, and those that are this agent itself, are not probed, and counted.
 * Threads    None of its own; the icmp thread.
 * Ownership  Owns its targets and their probes; borrows engine and resolver, which must be
 *            destroyed first (they call back).
 */
#ifndef AGENTD_TARGETS_H
#define AGENTD_TARGETS_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/own.h"
#include "agentd/agent_plan.h"
#include "agentd/policy.h"
#include "agentd/target_name.h"
#include "common/clock.h"
#include "common/siphash.h"
#include "libprober/icmp_engine.h"
#include "libprober/resolver.h"

#define TARGETS_LOOKUPS_MAX 64 /* at once */
/* How long a name keeps its address while the name servers do not answer. */
#define TARGETS_ADDRESS_HOLD_NS (300 * CLOCK_NS_PER_S)

struct targets;

/* What the engine hands back for a target. */
struct targets_probe {
    struct target_name *name;
    uint64_t resolve_ns; /* of the last look-up that succeeded; 0 for a literal */
    icmp_target_id id;
    struct targets *owner;
    struct targets_probe *previous, *next; /* owned by `owner` */
};

struct targets_counts {
    uint64_t planned;                        /* targets in the plan */
    uint64_t probed;                         /* in the engine */
    uint64_t resolving;                      /* waiting for their first look-up */
    uint64_t own;                            /* not probed: this agent itself */
    uint64_t denied;                         /* not probed: the policy */
    uint64_t refused;                        /* not probed: the engine would not take them */
    uint64_t lookups[RESOLVER_STATUS_COUNT]; /* ended, since the start */
};

struct targets_config {
    struct icmp_engine *engine;
    struct resolver *resolver;
    const struct own *own;        /* read at every judgement; it changes in place */
    struct policy *policy;        /* a reference is taken */
    uint64_t timeout_ns;          /* of targets whose spec has none */
    struct siphash_key phase_key; /* spreads this agent's probes otherwise than those of others */
};

enum prober_error targets_create(struct targets **out, const struct targets_config *config);
/* Makes the plan's targets the wanted ones. Errors: PROBER_ERR_NOMEM: the targets that found no
 * room are missing. */
enum prober_error targets_apply(struct targets *t, const struct agent_plan *plan,
                                const struct clock_reading *now);
/* Takes another policy; targets_review applies it. */
void targets_set_policy(struct targets *t, struct policy *policy);
/* Judges every target anew, after own addresses or policy changed. */
void targets_review(struct targets *t, const struct clock_reading *now);
/* A window is over: have every name looked up again. */
void targets_refresh(struct targets *t);
/* Starts look-ups that wait, and places the targets whose look-ups ended. */
void targets_step(struct targets *t, const struct clock_reading *now);
/* Has the engine send no more probes; windows in progress still end as they must. */
void targets_clear(struct targets *t);
/* For the engine's sink: the probe is not used any more. */
void targets_probe_removed(struct targets_probe *probe);
void targets_counts(const struct targets *t, struct targets_counts *out);
/* Frees all. NULL is fine. */
void targets_destroy(struct targets *t);

#endif
