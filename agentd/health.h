/*
 * health - is the agent alive, and is it of use?
 *
 * Threads    Pure functions.
 */
#ifndef AGENTD_HEALTH_H
#define AGENTD_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/stats.h"

#define HEALTH_TEXT_MAX 160
/* A thread that did not come round for this long is stuck: longer than any call it makes. */
#define HEALTH_STUCK_NS UINT64_C(30000000000)

/* True while both threads make progress; `text` says which does not. */
bool health_is_alive(const struct stats_copy *s, uint64_t now_ns, char text[HEALTH_TEXT_MAX]);
/* True when, beyond that, the server accepted the agent and a plan is being probed. */
bool health_is_ready(const struct stats_copy *s, uint64_t now_ns, char text[HEALTH_TEXT_MAX]);
/* One line for the service manager. */
void health_status(const struct stats_copy *s, uint64_t spool_reports, char text[HEALTH_TEXT_MAX]);

#endif
