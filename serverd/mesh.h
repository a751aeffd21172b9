/*
 * mesh - the state of every region pair at one aggregation: the picture that is shown.
 *
 * Purpose    Made by the aggregate thread from the ingest shards and a directory; rendered to
 *            metrics, and read by the admin API.
 * Threads    Immutable once published; reference-counted.
 * Ownership  A mesh owns its rows and their names.
 */
#ifndef SERVERD_MESH_H
#define SERVERD_MESH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/icmp_counts.h"
#include "common/id.h"
#include "libprober/histogram.h"
#include "libprober/moments.h"

/* What the gauges of a pair are made of: its windows that are fresh (younger than 2 x probe
 * interval + timeout), or, while the pair is not expired, the last ones that were. */
struct mesh_window {
    uint64_t ended_ns;             /* monotonic, wraps below 0: the youngest's last probe */
    uint64_t cells;                /* (agent, target) windows that were merged */
    uint64_t failed_cells;         /* nothing received and something lost, or no address */
    struct icmp_totals counts;     /* their sum */
    struct moments rtt;            /* of the received */
    double jitter_ns;              /* RFC 3550, mean over the cells weighted by received */
    double resolve_ns;             /* mean over the cells whose target is a name; 0 without any */
    double p50_ns, p90_ns, p99_ns; /* meaningless without rtt.count */
};

struct mesh_pair {
    const char *source, *target; /* owned by the mesh */
    bool planned;
    bool has_gauges; /* false: no window yet, or expired; `window` then means nothing */
    uint64_t age_ns; /* of the youngest window, when the mesh was made */
    struct mesh_window window;
    /* Since the server's start: these never fall while the pair is known. */
    struct icmp_totals total;
    uint64_t total_rtt_ns;                         /* sum of the RTTs of all received */
    uint64_t total_buckets[HISTOGRAM_BUCKETS + 1]; /* cumulative, as exposed */
    struct icmp_totals backfilled; /* windows that came too late for today's counters */
    uint64_t arrived; /* echo requests of the source's agents that the target's agents saw;
                                  0 also where nobody looks (foreign targets) */
};

struct mesh {
    atomic_uint references;
    uint64_t made_mono_ns;
    uint64_t made_real_ns;
    struct prober_id server_boot; /* the counters count from its start */
    uint64_t number;              /* of the aggregation, from 1 */
    struct mesh_pair *pairs;      /* [pair_count], by source, then target */
    size_t pair_count;
    uint64_t receive_points_icmp; /* target results applied, since the server's start */
    /* Reports by what became of them, since the server's start. */
    uint64_t reports_applied, reports_duplicate, reports_backfilled, reports_unknown_table;
    uint64_t reports_invalid;  /* broke a law of counts, or a name or bound */
    uint64_t reports_full;     /* over the limit of cells or pairs */
    uint64_t reports_busy;     /* refused because an ingest queue was full */
    uint64_t arrivals_unknown; /* echo requests seen of a sender that is not registered */
    uint64_t queue_depth_max;  /* of the ingest queues, now */
    double report_lag_seconds; /* greatest age of a window when it was applied, last interval */
    uint64_t cells;            /* (agent, target) cells held */
    uint64_t agents;           /* agents with state in the ingest */
    void *memory;              /* the names */
};

struct mesh *mesh_get(struct mesh *m);
/* NULL is fine. */
void mesh_put(struct mesh *m);
/* The pair, or NULL. */
const struct mesh_pair *mesh_find(const struct mesh *m, const char *source, const char *target);

#endif
