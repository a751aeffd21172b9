/*
 * local_web - /metrics, /-/healthy and /-/ready of this agent.
 *
 * Threads    Handlers run on the web server's threads, and read copies of counters.
 * Ownership  Borrows stats, spool, tasks and identity, which must outlive it.
 */
#ifndef AGENTD_LOCAL_WEB_H
#define AGENTD_LOCAL_WEB_H

#include "agentd/identity.h"
#include "agentd/spool.h"
#include "agentd/agent_stats.h"
#include "agentd/task_desk.h"
#include "common/error.h"

struct local_web;

struct local_web_config {
    const char *listen; /* "host:port" */
    const struct identity *identity;
    const char *region;
    struct spool *spool;
    struct agent_stats *stats;
    struct task_desk *tasks; /* NULL: none are taken */
};

/* Errors: those of web_open. */
enum prober_error local_web_open(struct local_web **out, const struct local_web_config *config,
                                 struct prober_failure *why);
uint16_t local_web_port(const struct local_web *web);
void local_web_close(struct local_web *web); /* NULL is fine */

#endif
