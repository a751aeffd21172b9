/*
 * agent_health - is the agent alive, and is it of use?
 *
 * Threads    Pure functions.
 */
#ifndef AGENTD_AGENT_HEALTH_H
#define AGENTD_AGENT_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/agent_stats.h"

#define AGENT_HEALTH_TEXT_MAX 160
/* A thread that did not come round for this long is stuck: longer than any call it makes. */
#define AGENT_HEALTH_STUCK_NS UINT64_C(30000000000)

/* True while all threads make progress; `text` says which does not. */
bool agent_health_is_alive(const struct agent_stats_copy *s, uint64_t now_ns,
                           char text[AGENT_HEALTH_TEXT_MAX]);
/* True when, beyond that, the server accepted the agent and a plan is being probed. */
bool agent_health_is_ready(const struct agent_stats_copy *s, uint64_t now_ns,
                           char text[AGENT_HEALTH_TEXT_MAX]);
/* One line for the service manager. */
void agent_health_status(const struct agent_stats_copy *s, uint64_t spool_reports,
                         char text[AGENT_HEALTH_TEXT_MAX]);

#endif
