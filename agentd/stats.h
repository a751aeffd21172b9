/*
 * stats - the agent's own counters, gathered where any thread can read them.
 *
 * Purpose    The icmp and link threads put down what they did; the local metrics, the status line
 *            and the health checks read a copy.
 * Threads    Any; one lock, held for a copy.
 * Ownership  Values alone.
 */
#ifndef AGENTD_STATS_H
#define AGENTD_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/targets.h"
#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/id.h"
#include "common/wire.h"
#include "libprober/icmp_engine.h"

#define STATS_BOOTS_MAX 4 /* server boots that are remembered: the newest */
#define STATS_OUTCOMES (WIRE_INVALID + 1)

/* What the icmp thread did. */
struct stats_probing {
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

enum stats_link_state { STATS_LINK_DOWN, STATS_LINK_REFUSED, STATS_LINK_UP };

/* What the link thread did. */
struct stats_link {
    enum stats_link_state state;
    uint64_t connections, hellos, syncs, hints;
    uint64_t failed_calls; /* without an answer */
    uint64_t busy;         /* answers "busy" */
    uint64_t outcomes[STATS_OUTCOMES]; /* of reports */
    uint64_t rejected;     /* reports that the server called malformed */
    uint64_t lag_ns;       /* age of the last report that was taken, then */
    uint32_t agent_number;
};

/* What one server boot took from us. */
struct stats_boot {
    struct prober_id id;
    struct icmp_totals acked;      /* into its counters */
    struct icmp_totals backfilled; /* too old for them */
};

struct stats_copy {
    struct stats_probing probing;
    struct stats_link link;
    struct stats_boot boots[STATS_BOOTS_MAX];
    size_t boot_count;
    uint64_t icmp_beat_ns, link_beat_ns; /* monotonic: when the thread last came round */
};

struct stats;

enum prober_error stats_create(struct stats **out);
void stats_set_probing(struct stats *s, const struct stats_probing *probing);
void stats_set_link(struct stats *s, const struct stats_link *link);
/* Adds a report's totals to what this server boot took. */
void stats_add_acked(struct stats *s, const struct prober_id *server_boot, bool backfilled,
                     const struct icmp_totals *totals);
/* The thread makes progress. */
void stats_icmp_beat(struct stats *s, uint64_t now_ns);
void stats_link_beat(struct stats *s, uint64_t now_ns);
void stats_read(struct stats *s, struct stats_copy *out);
void stats_destroy(struct stats *s);

#endif
