/*
 * uplink - the link thread: says hello, keeps the plan current, and delivers what is spooled.
 *
 * Purpose    A state machine over the link's calls. It is driven by uplink_turn, which does what is
 *            due and says when it wants to be called again: so that tests drive it with time as
 *            data. A server that is away, refuses, is busy, or restarts is waited for with growing,
 *            jittered pauses, and told about in the log once per change.
 * Threads    uplink_turn belongs to one thread: the one that uplink_start makes, or a test's.
 *            uplink_hint, uplink_drain and uplink_set_sync_interval are for others.
 * Ownership  Borrows what is in the config; all of it must outlive the uplink.
 */
#ifndef AGENTD_UPLINK_H
#define AGENTD_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/address.h"
#include "agentd/agent_plan.h"
#include "agentd/spool.h"
#include "agentd/agent_stats.h"
#include "agentd/credentials.h"
#include "agentd/secure_link.h"
#include "agentd/task_desk.h"
#include "agentd/wakeup.h"
#include "common/addr.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"

#define UPLINK_CALL_TIMEOUT_NS (5 * CLOCK_NS_PER_S)
#define UPLINK_HEARTBEAT_NS (10 * CLOCK_NS_PER_S) /* unless the server names another */
#define UPLINK_HINT_GAP_NS CLOCK_NS_PER_S         /* at most one sync for hints in this time */

struct uplink_config {
    struct prober_id agent_id, boot_id;
    const char *region;
    uint64_t probe_interval_ns, probe_timeout_ns;
    uint64_t sync_interval_ns;
    struct spool *spool;
    struct agent_stats *stats;
    struct secure_link *link;
    struct credentials *credentials; /* by which the link is trusted: to be renewed; NULL: none */
    struct task_desk *tasks; /* for the tasks of a trusted link; NULL: none are taken */
    struct wakeup *wakeup;   /* signalled by hints, spool, tasks, drain */
    /* What we are called and the address that the server sees (family NONE: not known); then the
     * new plan, which is then the callee's; then the port at which the server gives hints. */
    void (*presence)(void *context, uint32_t agent_number, const struct prober_addr *observed);
    void (*plan)(void *context, struct agent_plan *plan);
    void (*hints)(void *context, uint16_t port);
    /* Finds the own addresses; may take seconds. Asked before each hello, and once in each sync
     * interval: when they are others than those that hello told, hello is said again. */
    void (*addresses)(void *context, struct address_set *out);
    void *context;
};

struct uplink;

enum prober_error uplink_create(struct uplink **out, const struct uplink_config *config);
/* Does one thing that is due, at most one call. Returns when the next is due (monotonic; *now or
 * before: at once). */
uint64_t uplink_turn(struct uplink *u, const struct clock_reading *now);
/* True when draining has nothing more to do. */
bool uplink_is_drained(const struct uplink *u);

enum prober_error uplink_start(struct uplink *u, struct prober_failure *why);
/* The server has something new. */
void uplink_hint(struct uplink *u);
void uplink_set_sync_interval(struct uplink *u, uint64_t interval_ns);
/* Delivers what is spooled and what came of tasks, for at most patience_ns, and ends the thread. */
void uplink_drain(struct uplink *u, uint64_t patience_ns);
void uplink_destroy(struct uplink *u); /* drained, or never started; NULL is fine */

#endif
