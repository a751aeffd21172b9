/*
 * shard_state - the inside of a shard, shared by applying (shard.c) and merging (shard_merge.c).
 *
 * Threads    As shard.h.
 * Ownership  shard > agents > boots > cells; shard > sources > pairs. A pair lives at least as long
 *            as a cell names it.
 */
#ifndef SERVERD_SHARD_STATE_H
#define SERVERD_SHARD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/siphash.h"
#include "libprober/histogram.h"
#include "serverd/applied.h"
#include "serverd/index.h"
#include "serverd/shard.h"

#define SHARD_BOOTS_MAX 4
#define SHARD_SENDERS_MAX 65536

/* The counters and gauges of an ordered pair of regions. */
struct pair {
    char *target;
    bool planned;
    bool has_gauges;
    size_t cells; /* that point here */
    struct icmp_totals total;
    uint64_t total_rtt_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS + 1]; /* each by itself */
    struct icmp_totals backfilled;
    struct icmp_totals late; /* of the report that is being applied, if it is a backfill */
    uint32_t told;           /* stamp of the report whose `late` was told last */
    uint64_t arrived;
    struct mesh_window window;
    size_t slot; /* its sums in the merge that runs */
};

struct sender {
    uint32_t number;
    uint64_t arrived; /* since the last shard_take_arrivals */
};

struct source {
    char *name;
    struct pair **pairs; /* [pair_count] */
    size_t pair_count, pair_room;
    struct index by_target;
    struct boot *boots;     /* those of its agents, linked by `next` */
    struct sender *senders; /* [sender_count]: whose requests its agents saw */
    size_t sender_count, sender_room;
    struct index by_sender;
};

/* The newest window of one target of an agent's boot. Compact: there are millions. */
struct cell {
    struct pair *pair;           /* NULL: a hidden control */
    struct histogram_pair *bins; /* [bin_count] */
    uint64_t ended_ns; /* when its last probe ended; without a window: when it was named */
    uint64_t rtt_sum_ns, rtt_min_ns, rtt_max_ns;
    uint64_t square_low, square_high;
    uint64_t jitter_ns, resolve_ns;
    uint64_t name_hash;
    struct icmp_counts counts;
    uint32_t number; /* the agent's for the target */
    uint32_t window;
    uint32_t stamp; /* of the report that named it last */
    uint16_t bin_count, bin_room;
    bool has_window;
    bool has_name; /* the target is a name, not an address */
};

struct boot {
    struct prober_id id;
    struct agent *agent;
    struct source *source;
    struct boot *next; /* of the same source */
    struct applied applied;    /* all that was taken, also as backfill */
    struct applied backfilled; /* of these, what was */
    struct cell *cells; /* [cell_count] */
    size_t cell_count, cell_room;
    struct index by_number;
    uint64_t heard_ns; /* its last report */
    uint64_t fresh_ns; /* a window is fresh up to this age: 2 x probe interval + timeout */
};

struct agent {
    struct prober_id id;
    struct boot *boots[SHARD_BOOTS_MAX]; /* [boot_count], the one heard last first */
    size_t boot_count;
};

struct shard {
    struct shard_config config;
    struct shard_counts counts;
    struct source **sources; /* [source_count] */
    size_t source_count, source_room;
    struct index by_name;
    size_t pair_count;      /* over all sources */
    size_t unplanned_count; /* of these, by the last merge's plan; those made since count too */
    struct agent **agents;  /* [agent_count] */
    size_t agent_count, agent_room;
    struct index by_id;
    uint64_t lag_ns;
    struct siphash_key key;              /* of the names' hashes */
    uint32_t stamp;                      /* of the report at hand */
    uint32_t rows[WIRE_REPORT_ROWS_MAX]; /* cell of each row of the report at hand */
};

/* Makes room for one more element of `size` bytes in *array. */
bool shard_grow(void *array, size_t *room, size_t count, size_t size);
/* The source or pair, made if it is not there; NULL for lack of memory or, with *full set, of room.
 * A planned pair is always given room: then `full` is NULL. */
struct source *shard_source(struct shard *s, const char *name);
struct pair *shard_pair(struct shard *s, struct source *source, const char *target, bool *full);
/* Frees a source and what it owns; its boots must be gone. */
void shard_source_destroy(struct source *source);
struct source *shard_find_source(const struct shard *s, const char *name);
struct pair *shard_find_pair(const struct source *source, const char *target);
void shard_pair_destroy(struct pair *pair);
/* Takes a cell's memory and its hold on the pair; the caller closes the gap. */
void shard_cell_clear(struct shard *s, struct cell *cell);
void shard_boot_destroy(struct shard *s, struct boot *boot);
uint32_t shard_hash_id(const struct prober_id *id);

#endif
