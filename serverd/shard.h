/*
 * shard - the state of some source regions: what their agents have reported.
 *
 * Purpose    Holds, for every source region, its agents' boots with the newest window of each target
 *            and the last probe of each URL (the cells, for the gauges), and its pairs and URLs with
 *            their counters. A report is checked whole, then applied whole, once. Merging makes rows
 *            of a mesh of it.
 * Threads    One thread at a time: an ingest thread, while it runs. The budget is shared by all.
 * Ownership  Owns all its state. Rows of a merge borrow their names from it until the next merge.
 */
#ifndef SERVERD_SHARD_H
#define SERVERD_SHARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/wire.h"
#include "serverd/ingest.h"
#include "serverd/known.h"
#include "serverd/mesh.h"
#include "serverd/session.h"

struct shard;

/* How many cells all shards together may still make. */
struct shard_budget {
    atomic_size_t cells;
    size_t cells_max;
};

struct shard_config {
    unsigned number, count;      /* which of how many */
    /* Neither takes effect on a window that is still fresh. */
    uint64_t expiry_ns;          /* gauges go so long after the last window; UINT64_MAX: never */
    uint64_t backfill_ns;        /* a window older than this is a backfill */
    size_t pairs_max;            /* that agents name and nobody planned; of URLs as many */
    struct shard_budget *budget; /* outlives the shard */
    ingest_outage_fn outage;     /* may be NULL */
    void *outage_context;
};

/* What became of reports, since the shard was made. */
struct shard_counts {
    uint64_t points, points_http; /* target results applied, of ICMP and of HTTP */
    uint64_t applied, duplicate, backfilled, unknown_table, invalid, full;
    uint64_t arrivals_missed; /* more senders than a shard holds between two merges */
};

/* Which shard of `count` a source region belongs to. */
unsigned shard_of(const char *region, unsigned count);

enum prober_error shard_create(struct shard **out, const struct shard_config *config);
/* Applies a report of the session's agent and boot, or says why not in *outcome.
 * Errors: PROBER_ERR_NOMEM: nothing was applied; the agent may send it again. */
enum prober_error shard_apply(struct shard *s, const struct session *session,
                              const struct wire_report *report, uint64_t now_ns,
                              enum wire_outcome *outcome);
const struct shard_counts *shard_counts(const struct shard *s);
size_t shard_agents(const struct shard *s);

/* Echo requests of `sender` that agents of the region `target` saw. */
struct shard_arrival {
    const char *target;
    uint32_t sender;
    uint64_t count;
};
/* Takes out the arrivals since the last call: *out is malloc'd, [*count], its names borrowed until
 * the next merge. Errors: PROBER_ERR_NOMEM, and the arrivals stay for the next call. */
enum prober_error shard_take_arrivals(struct shard *s, struct shard_arrival **out, size_t *count);
/* Adds arrivals to the pairs whose source is in this shard; the others are not ours and ignored. */
void shard_add_arrivals(struct shard *s, const struct known *known,
                        const struct shard_arrival *arrivals, size_t count);

struct shard_merged {
    struct mesh_pair *pairs; /* malloc'd, in no order; names borrowed until the next merge */
    size_t count;
    struct mesh_url *urls; /* likewise */
    size_t url_count;
    uint64_t lag_ns; /* greatest age of a window when it was applied, since the last merge */
};
/* Brings pairs and URLs up to date with the cells at `now_ns`, makes those that are planned, forgets
 * what is expired and no longer known, and gives the rows to show. Errors: PROBER_ERR_NOMEM. */
enum prober_error shard_merge(struct shard *s, const struct known *known, uint64_t now_ns,
                              struct shard_merged *out);
void shard_destroy(struct shard *s);

#endif
