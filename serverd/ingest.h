/*
 * ingest - applies agents' reports: each exactly once, each to the shard of its source region.
 *
 * Purpose    A shard is a thread that owns the state of some source regions (see shard.h), with no
 *            lock. It takes reports from its queue, applies them and replies. A report is named by
 *            (agent id, boot id, sequence): a second copy is acknowledged, and not counted.
 * Threads    ingest_submit from any thread (it only queues); ingest_collect from the aggregate
 *            thread; the rest from main().
 * Ownership  Takes over calls and a session reference that are submitted; owns its shards.
 */
#ifndef SERVERD_INGEST_H
#define SERVERD_INGEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/id.h"
#include "common/link.h"
#include "common/wire.h"
#include "serverd/mesh.h"
#include "serverd/session.h"

struct ingest;
struct directory;

/* What a report that came too late for today's counters held for one region pair: the record of an
 * outage. Names are valid during the call. */
struct ingest_outage {
    struct prober_id agent_id;
    const char *source, *target;
    uint64_t age_ns;    /* of the window's end, when the report came */
    uint64_t window_ns; /* the window's length */
    struct icmp_totals counts;
};

/* Called on a shard's thread, once for each pair of a backfilled report: it must only queue. */
typedef void (*ingest_outage_fn)(void *context, const struct ingest_outage *outage);

struct ingest_config {
    unsigned shards;       /* 0: one per core, at most 8 */
    size_t queue_capacity; /* reports waiting per shard; 0: 1024 */
    struct prober_id server_boot;
    uint64_t aggregation_interval_ns;
    unsigned series_cache_ratio; /* a pair expires ratio x interval after its last window;
                                          0: never */
    size_t cells_max;            /* (agent, target) cells over all shards; 0: 4,000,000 */
    size_t pairs_max;            /* region pairs per shard, and URLs, that agents name and nobody
                                          planned; 0: 65,536 */
    ingest_outage_fn outage;     /* may be NULL */
    void *outage_context;
};

/* Errors: PROBER_ERR_NOMEM, _RANGE, _IO (no thread) with a sentence in *why. */
enum prober_error ingest_create(struct ingest **out, const struct ingest_config *config,
                                struct prober_failure *why);
/* The shard of a source region: what session->shard must say. */
unsigned ingest_shard_of(const struct ingest *ingest, const char *region);
/* Queues a report. `request` is a decoded WIRE_REPORT, taken over: its content is moved out of it
 * (and freed later), as are `call` and the reference `session`; the shard replies to the call when
 * the report is applied. When the queue is full it replies WIRE_BUSY at once and counts that.
 * `call` may be NULL in tests and benches. */
void ingest_submit(struct ingest *ingest, struct session *session, struct link_call *call,
                   struct wire_request *request, uint64_t now_ns);
/* Has every shard apply what is queued before the call (up to a bound) and merge its cells at
 * `now_ns` (monotonic), waits for all, and returns the mesh with one reference: every planned pair
 * of the directory, and every other pair that is not expired.
 * Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error ingest_collect(struct ingest *ingest, const struct directory *directory,
                                 uint64_t now_ns, uint64_t now_real_ns, struct mesh **out);
/* Stops the shards after what is queued has been applied, and frees. NULL is fine. */
void ingest_destroy(struct ingest *ingest);

#endif
