/*
 * mesh - the state of every region pair at one aggregation: the picture that is shown.
 *
 * Purpose    Made by the aggregate thread from the ingest shards and a directory; rendered to
 *            metrics, and read by the admin API.
 * Threads    Immutable once published; reference-counted.
 * Ownership  A mesh owns its rows, and holds a reference to the directory that its names are from.
 */
#ifndef SERVERD_MESH_H
#define SERVERD_MESH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/icmp_counts.h"
#include "libprober/histogram.h"
#include "libprober/moments.h"

struct mesh_pair {
    char *source, *target;
    bool planned;
    /* Of the windows that are fresh (younger than 2 x probe interval + timeout), or the last such
     * ones while the pair is not expired. */
    bool has_gauges;             /* false: no window yet, or expired */
    uint64_t age_ns;             /* of the youngest window, now */
    uint64_t cells;              /* (agent, target) windows that were merged */
    uint64_t failed_cells;       /* nothing received, and something lost, or no address */
    struct icmp_totals window;   /* their sum */
    struct moments rtt;
    double jitter_ns;            /* RFC 3550, mean over the cells weighted by received */
    double resolve_ns;           /* mean over the cells whose target is a name; 0 without any */
    double p50_ns, p90_ns, p99_ns; /* of the window; meaningless without rtt.count */
    uint64_t arrived, arrival_sent; /* requests that reached the target's agents, of those sent in
                                       windows whose arrivals are known */
    /* Since the server's start: never falls. */
    struct icmp_totals total;
    uint64_t total_rtt_ns;
    uint64_t total_buckets[HISTOGRAM_BUCKETS + 1]; /* cumulative, as exposed */
    struct icmp_totals backfilled; /* windows that came too late for today's counters */
};

struct mesh {
    atomic_uint references;
    uint64_t made_mono_ns;
    uint64_t made_real_ns;
    uint64_t number;               /* of the aggregation, from 1 */
    struct mesh_pair *pairs;       /* [pair_count], by source, then target */
    size_t pair_count;
    uint64_t receive_points_icmp;  /* target results applied, since the server's start */
    uint64_t reports_applied, reports_duplicate, reports_backfilled, reports_invalid, reports_unknown_table;
    uint64_t reports_busy;         /* refused because an ingest queue was full */
    uint64_t queue_depth_max;      /* of the ingest queues, now */
    double report_lag_seconds;     /* greatest age of a window when it was applied, last interval */
};

struct mesh *mesh_get(struct mesh *m);
void mesh_put(struct mesh *m);

#endif
