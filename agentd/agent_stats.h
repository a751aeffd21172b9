/*
 * agent_stats - the agent's own counters, gathered where any thread can read them.
 *
 * Purpose    The icmp, http and link threads put down what they did; the local metrics, the status line
 *            and the health checks read a copy.
 * Threads    Any; one lock, held for a copy.
 * Ownership  Values alone.
 */
#ifndef AGENTD_AGENT_STATS_H
#define AGENTD_AGENT_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/http_targets.h"
#include "agentd/probe_totals.h"
#include "agentd/targets.h"
#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/id.h"
#include "common/wire.h"
#include "libprober/icmp_engine.h"

#define AGENT_STATS_BOOTS_MAX 4 /* server boots that are remembered: the newest */
#define AGENT_STATS_OUTCOMES (WIRE_INVALID + 1)

/* What the icmp thread did. */
struct agent_stats_probing {
    struct icmp_engine_counts engine;
    struct icmp_totals totals; /* of all finished windows, controls included */
    struct targets_counts targets;
    uint64_t plan_revision;
    uint64_t windows;         /* that ended */
    uint64_t rows_lost;       /* results that found no memory */
    uint64_t arrivals_missed; /* requests of other agents that could not be counted */
    bool running;
    bool has_plan;
};

/* Why scheduled HTTP probes measured nothing. All but those that were late are rows of reports, with
 * HTTP_FAILED_LOCAL. */
#define HTTP_UNSENT(X)                                                                             \
    X(LATE, "late")           /* not started within an interval */                                 \
    X(LOCAL, "local")         /* no memory, no descriptor, or the like */                          \
    X(UNUSABLE, "unusable")   /* this agent cannot do what the http block asks */                  \
    X(DENIED, "denied")       /* the policy denies the address */                                  \
    X(DISTURBED, "disturbed") /* this process stood still, or the machine was suspended */         \
    X(STOPPED, "stopped")     /* the agent was stopped, or the target taken from the plan */

#define HTTP_UNSENT_NAME(name, text) HTTP_UNSENT_##name,
enum http_unsent { HTTP_UNSENT(HTTP_UNSENT_NAME) HTTP_UNSENT_COUNT };
#undef HTTP_UNSENT_NAME

/* What the http thread did. */
struct agent_stats_http {
    struct http_totals totals;          /* of all that was due and has come to an end */
    uint64_t unsent[HTTP_UNSENT_COUNT]; /* their sum is that of the unsent in totals */
    struct http_targets_counts targets;
    uint64_t in_flight; /* probes that run */
    uint64_t rows_lost; /* results that found no memory */
    uint64_t plan_revision;
    bool running;
};

enum agent_link_state { AGENT_LINK_DOWN, AGENT_LINK_REFUSED, AGENT_LINK_UP };

/* What the link thread did. */
struct agent_stats_link {
    enum agent_link_state state;
    uint64_t connections, hellos, syncs, hints;
    uint64_t handshakes, resumed, failed_handshakes;
    uint64_t failed_calls;                   /* without an answer */
    uint64_t busy;                           /* answers "busy" */
    uint64_t outcomes[AGENT_STATS_OUTCOMES]; /* of reports */
    uint64_t rejected;                       /* reports that the server called malformed */
    uint64_t lag_ns;                         /* age of the last report that was taken, then */
    uint32_t agent_number;
};

/* What one server boot took from us. */
struct agent_stats_boot {
    struct prober_id id;
    struct probe_totals acked;      /* into its counters */
    struct probe_totals backfilled; /* too old for them */
};

struct agent_stats_copy {
    struct agent_stats_probing probing;
    struct agent_stats_http http;
    struct agent_stats_link link;
    struct agent_stats_boot boots[AGENT_STATS_BOOTS_MAX];
    size_t boot_count;
    uint64_t icmp_beat_ns, http_beat_ns,
        link_beat_ns; /* monotonic: when the thread last came round */
};

struct agent_stats;

enum prober_error agent_stats_create(struct agent_stats **out);
void agent_stats_set_probing(struct agent_stats *s, const struct agent_stats_probing *probing);
void agent_stats_set_http(struct agent_stats *s, const struct agent_stats_http *http);
void agent_stats_set_link(struct agent_stats *s, const struct agent_stats_link *link);
/* Adds a report's totals to what this server boot took. */
void agent_stats_add_acked(struct agent_stats *s, const struct prober_id *server_boot,
                           bool backfilled, const struct probe_totals *totals);
/* The thread makes progress. */
void agent_stats_icmp_beat(struct agent_stats *s, uint64_t now_ns);
void agent_stats_http_beat(struct agent_stats *s, uint64_t now_ns);
void agent_stats_link_beat(struct agent_stats *s, uint64_t now_ns);
void agent_stats_read(struct agent_stats *s, struct agent_stats_copy *out);
void agent_stats_destroy(struct agent_stats *s);

#endif
