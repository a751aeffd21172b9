/*
 * plan_limits - does what a probe file says fit into the messages to the agents.
 *
 * Purpose    A plan that is too large cannot be sent in part, so it is refused when the file is read:
 *            a block longer than the wire takes, more entries, or an agent that would get more bytes.
 *            What is up to the agents that are there (their addresses, regions that only a regexp of
 *            source_regions matches) cannot be known then; a plan that grows too large by it is told
 *            by the log and counted when it is to be sent.
 * Threads    Pure; any thread.
 * Ownership  Borrows all that it is given.
 */
#ifndef SERVERD_PLAN_LIMITS_H
#define SERVERD_PLAN_LIMITS_H

#include <stdbool.h>

#include "common/error.h"
#include "common/problems.h"
#include "libprober/spec.h"
#include "serverd/plan.h"

#define PLAN_LIMITS_KEY_MAX 64

/* Adds what does not fit to `problems`, with `file` and the line of the entry.
 * Errors: PROBER_ERR_RANGE, with at least one problem; PROBER_ERR_NOMEM. */
enum prober_error plan_limits_check(const struct probe_spec *spec, const char *file,
                                    bool probe_self, struct problems *problems);
/* Adds to `problems` when the file's URLs would be more, over all source regions, than config->urls_max.
 * sources[count]: the regions that have agents; with none, the least that there can be is counted: one
 * region, or those that source_regions names. Errors: as above. */
enum prober_error plan_limits_check_urls(const struct probe_spec *spec, const char *file,
                                         const struct plan_config *config,
                                         const char *const *sources, size_t count,
                                         struct problems *problems);

#endif
