/*
 * plan_group - targets that several entries of a region name.
 *
 * Purpose    A target of one region and kind is one series of results for each agent, however often
 *            it is written. What no agent would get is dropped; where it depends on the agent which
 *            entry is the first for it, the targets get a group.
 * Threads    Pure; the thread that makes the plan.
 * Ownership  Borrows the plan, which is being made.
 */
#ifndef SERVERD_PLAN_GROUP_H
#define SERVERD_PLAN_GROUP_H

#include "common/error.h"
#include "serverd/plan.h"

/* Sets the groups, group_count and what is shadowed. Errors: PROBER_ERR_NOMEM. */
enum prober_error plan_group_targets(struct plan *plan);

#endif
