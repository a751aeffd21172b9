/*
 * http_runner - the http thread: probes the plan's URLs and spools what came of it.
 *
 * Purpose    Owns the engine, its resolver, the kinds and the targets. Starts each probe when it is
 *            due, as far as there is room for it to run, and turns what ended into batches, about
 *            once a second. Every probe that was due has one end: measured, or unsent with a cause.
 * Threads    Makes one thread, which goes round http_runner_turn; a test may go round itself
 *            instead. Offers, settings and stop may come from any thread: they leave a note and wake
 *            it.
 * Ownership  Borrows spool and stats, which must outlive it.
 */
#ifndef AGENTD_HTTP_RUNNER_H
#define AGENTD_HTTP_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "agentd/agent_plan.h"
#include "agentd/agent_stats.h"
#include "agentd/options.h"
#include "agentd/policy.h"
#include "agentd/spool.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"

struct http_runner;

struct http_runner_config {
    const struct agentd_settings *settings; /* must outlive the runner */
    char *const *environment;               /* for proxy_from_environment; must outlive it too */
    struct prober_id agent_id;
    struct policy *policy; /* a reference is taken */
    struct spool *spool;
    struct agent_stats *stats;
};

/* Errors: PROBER_ERR_SYNTAX (name servers), _IO, _NOMEM. */
enum prober_error http_runner_create(struct http_runner **out,
                                     const struct http_runner_config *config,
                                     struct prober_failure *why);
enum prober_error http_runner_start(struct http_runner *r, struct prober_failure *why);
/* Has the plan probed, instead of the one before; takes a reference over. */
void http_runner_offer_plan(struct http_runner *r, struct agent_plan *plan);
void http_runner_set_policy(struct http_runner *r, struct policy *policy); /* takes a reference */
/* Does what is due. Returns when it wants to be called again (monotonic). */
uint64_t http_runner_turn(struct http_runner *r, const struct clock_reading *now);
/* Has no more probes started; those that run are waited for up to grace_ns. Returns at once; NULL is
 * fine. */
void http_runner_finish(struct http_runner *r, uint64_t grace_ns);
/* True when the last turn has been made: all that was due is spooled. */
bool http_runner_is_over(const struct http_runner *r);
/* Returns when the thread has ended, after http_runner_finish. NULL is fine. */
void http_runner_join(struct http_runner *r);
void http_runner_destroy(struct http_runner *r); /* joined, or never started; NULL is fine */

#endif
