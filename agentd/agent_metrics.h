/*
 * agent_metrics - the agent's own metrics.
 *
 * Purpose    Writes prober_agent_* from a copy of the counters. Label sets are bounded: the server
 *            boots are the last few, all else are constants.
 * Threads    Pure; any thread.
 */
#ifndef AGENTD_AGENT_METRICS_H
#define AGENTD_AGENT_METRICS_H

#include "agentd/spool.h"
#include "agentd/agent_stats.h"
#include "agentd/task_desk.h"
#include "common/clock.h"
#include "common/metrics.h"

struct agent_metrics_identity {
    const char *agent_id; /* hex */
    const char *boot_id;
    const char *region;
};

/* Writes every family but the end mark. */
void agent_metrics_write(struct metrics_writer *w, const struct agent_metrics_identity *identity,
                         const struct agent_stats_copy *stats, const struct spool_counts *spool,
                         const struct clock_reading *now);
/* The families of an agent that takes tasks. */
void agent_metrics_write_tasks(struct metrics_writer *w, const struct task_desk_counts *tasks);

#endif
