/*
 * mesh - the state of every region pair and probed URL at one aggregation: the picture that is shown.
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
#include "libprober/http_engine.h"
#include "libprober/moments.h"
#include "serverd/http_totals.h"

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

#define MESH_URL_BUCKETS 12
/* Upper bounds of the histogram of whole probes: as Prometheus prints them, and in ns. */
extern const char *const mesh_url_bounds[MESH_URL_BUCKETS];
extern const uint64_t mesh_url_bounds_ns[MESH_URL_BUCKETS];

/* What the gauges of a URL are made of: the last probe of each agent, as far as it is fresh (younger
 * than 2 x probe interval + timeout), or, while the URL is not expired, the last ones that were.
 * Where agents saw different things, what most of them saw holds; of those that as many saw, the
 * greatest. */
struct mesh_url_window {
    uint64_t ended_ns;                   /* monotonic, wraps below 0: the youngest's end */
    uint32_t agents;                     /* probes that were merged: each agent's last */
    uint32_t ended[HTTP_TOTALS_REASONS]; /* of these, by reason */
    /* Means over those that succeeded; meaningless without any. */
    double phases_ns[HTTP_PHASE_COUNT];
    double duration_ns;
    /* Of those with an answer. 0: none had one, or none of the answers says it. */
    uint32_t status;
    uint32_t version;           /* 11 is HTTP/1.1 */
    uint32_t tls_version;       /* 0x0304 is TLS 1.3 */
    uint64_t redirects;         /* + 1 */
    uint64_t content_length;    /* + 1 */
    uint64_t body_length;       /* + 1; decoded */
    uint32_t dns_answers;
    /* The earliest that any agent saw, Unix seconds, also when it failed; 0: none saw any. */
    uint64_t earliest_cert_expiry;
    uint32_t earliest_tls_version; /* of the probe that saw it; 0: its handshake failed */
    uint64_t last_chain_expiry;
};

/* A URL as agents of one region see it. */
struct mesh_url {
    const char *source, *region, *target; /* owned by the mesh; the target as it may be shown */
    bool planned;
    bool has_gauges; /* as of a pair */
    uint64_t age_ns; /* of the youngest probe, when the mesh was made */
    struct mesh_url_window window;
    /* Since the server's start: these never fall while the URL is known. */
    struct http_totals total;
    uint64_t total_failed;                          /* http_totals_failed of it */
    uint64_t total_duration_ns;                     /* of the probes that succeeded */
    uint64_t total_buckets[MESH_URL_BUCKETS + 1];   /* likewise; cumulative, as exposed */
    struct http_results backfilled; /* probes that came too late for today's counters */
};

struct mesh {
    atomic_uint references;
    uint64_t made_mono_ns;
    uint64_t made_real_ns;
    struct prober_id server_boot; /* the counters count from its start */
    uint64_t number;              /* of the aggregation, from 1 */
    struct mesh_pair *pairs;      /* [pair_count], by source, then target */
    size_t pair_count;
    struct mesh_url *urls;        /* [url_count], by source, then region, then target */
    size_t url_count;
    /* Target results applied, since the server's start. */
    uint64_t receive_points_icmp, receive_points_http;
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

/* "1.1" for 11, "2" for 20. Returns text. */
#define MESH_HTTP_VERSION_MAX 16
const char *mesh_http_version_text(uint32_t version, char text[MESH_HTTP_VERSION_MAX]);
/* "TLS 1.3" for 0x0304; "unknown" for what is none. */
const char *mesh_tls_version_text(uint32_t version);

#endif
