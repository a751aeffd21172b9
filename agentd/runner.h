/*
 * runner - the icmp thread: probes what the plan says and spools what came of it.
 *
 * Purpose    Owns the engine, the arrivals counter, the resolver and the targets; turns finished
 *            windows into batches.
 * Threads    Makes one thread. The functions between start and stop may be called from any thread:
 *            they leave a note and wake it.
 * Ownership  Borrows spool and stats, which must outlive it.
 */
#ifndef AGENTD_RUNNER_H
#define AGENTD_RUNNER_H

#include <stdint.h>

#include "agentd/options.h"
#include "agentd/agent_plan.h"
#include "agentd/policy.h"
#include "agentd/spool.h"
#include "agentd/agent_stats.h"
#include "common/error.h"
#include "common/id.h"

struct runner;

struct runner_config {
    const struct agentd_settings *settings; /* read during runner_create alone */
    struct prober_id agent_id;
    struct policy *policy; /* a reference is taken */
    struct spool *spool;
    struct agent_stats *stats;
};

/* Opens the sockets. Errors: PROBER_ERR_DENIED (with how to grant CAP_NET_RAW), _SYNTAX (name
 * servers), _IO, _NOMEM. */
enum prober_error runner_create(struct runner **out, const struct runner_config *config,
                                struct prober_failure *why);
enum prober_error runner_start(struct runner *r, struct prober_failure *why);
/* Has the plan probed, instead of the one before; takes over a reference. */
void runner_offer_plan(struct runner *r, struct agent_plan *plan);
void runner_set_policy(struct runner *r, struct policy *policy); /* takes a reference */
/* What the server calls us: the mark of our probes, and our address as it sees it. */
void runner_set_presence(struct runner *r, uint32_t agent_number,
                         const struct prober_addr *observed);
/* Stops probing; results of probes in flight are waited for up to grace_ns and spooled. Returns
 * when the thread has ended. */
void runner_stop(struct runner *r, uint64_t grace_ns);
void runner_destroy(struct runner *r); /* stopped, or never started; NULL is fine */

#endif
