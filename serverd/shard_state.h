/*
 * shard_state - the inside of a shard, shared by applying (shard.c, shard_http.c) and merging
 * (shard_merge.c, shard_http_merge.c).
 *
 * Threads    As shard.h.
 * Ownership  shard > agents > boots > cells; shard > sources > pairs and URLs. A pair or URL lives at
 *            least as long as a cell names it.
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
/* A cell, or an agent that is no longer registered, is dropped after so long a silence. */
#define SHARD_IDLE_NS (UINT64_C(600) * 1000000000)

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

/* The counters and gauges of a URL as one region sees it. */
struct url {
    uint32_t hash; /* of region and target */
    bool planned;
    bool listed; /* the plan has it, though perhaps nobody to probe it from here */
    bool has_gauges;
    size_t cells; /* that point here */
    struct http_totals total;
    struct http_results backfilled;
    uint64_t total_duration_ns;
    uint64_t buckets[MESH_URL_BUCKETS + 1]; /* each by itself */
    struct mesh_url_window window;
    size_t slot;        /* its cells in the merge that runs */
    const char *target; /* into text: as it may be shown, which is also what tells URLs apart */
    char text[];        /* the region, then the target */
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
    struct url **urls; /* [url_count] */
    size_t url_count, url_room;
    struct index by_url;
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

/* The last probe of one URL by an agent's boot. */
struct http_cell {
    struct url *url;
    uint64_t ended_ns; /* without a result: when it was named */
    uint64_t sequence; /* of the report that brought the result */
    uint64_t name_hash;
    uint64_t duration_ns, phases_ns[HTTP_PHASE_COUNT];
    uint64_t content_length, body_length; /* + 1; 0: there is none */
    uint64_t earliest_cert_expiry, last_chain_expiry;
    uint32_t number; /* the agent's for the target */
    uint32_t dns_answers, redirects;
    uint16_t status, tls_version;
    uint8_t version, reason;
    bool has_result;
};

struct boot {
    struct prober_id id;
    struct agent *agent;
    struct source *source;
    struct boot *next;         /* of the same source */
    struct applied applied;    /* all that was taken, also as backfill */
    struct applied backfilled; /* of these, what was */
    struct cell *cells;        /* [cell_count] */
    size_t cell_count, cell_room;
    struct index by_number;
    struct http_cell *http_cells; /* [http_cell_count]; their numbers are those of URLs alone */
    size_t http_cell_count, http_cell_room;
    struct index by_http_number;
    uint64_t heard_ns; /* its last report */
    uint64_t timeout_ns;
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
    size_t url_count, unplanned_url_count; /* likewise */
    uint64_t planned_revision;             /* of the plan by which URLs are planned; 0: none */
    struct agent **agents;                 /* [agent_count] */
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
/* Times may lie before the clock's 0, and have wrapped then: only differences mean something. */
bool shard_is_later(uint64_t a_ns, uint64_t b_ns);
/* What has passed since; 0 for what is yet to come. */
uint64_t shard_age(uint64_t ended_ns, uint64_t now_ns);
/* Takes one more cell from the budget; false when there is none. */
bool shard_take_budget(struct shard *s);
/* Tells names of one boot apart. */
uint64_t shard_hash_name(const struct shard *s, const struct wire_target_name *name);

/* ---- URLs: applying (shard_http.c) ---- */

/* `target` as it may be shown. NULL as of shard_pair. */
struct url *shard_url(struct shard *s, struct source *source, const char *region,
                      const char *target, bool *full);
struct url *shard_find_url(const struct source *source, const char *region, const char *target);
/* Gives a number its URL. False for lack of memory or, with *full set, of room. */
bool shard_name_url(struct shard *s, struct boot *boot, const struct wire_target_name *name,
                    uint64_t now_ns, bool *full);
/* Finds the cell of each row of HTTP: WIRE_APPLIED when all are there. */
enum wire_outcome shard_find_http_rows(struct shard *s, const struct boot *boot,
                                       const struct wire_report *report);
void shard_apply_http_rows(struct shard *s, struct boot *boot, const struct wire_report *report,
                           uint64_t now_ns);
void shard_backfill_http_rows(struct shard *s, struct boot *boot, const struct wire_report *report);
void shard_clear_http_cells(struct shard *s, struct boot *boot);
void shard_clear_urls(struct source *source);

/* ---- URLs: merging (shard_http_merge.c), as for pairs ---- */

/* Makes the URLs that are planned, once for each plan. */
enum prober_error shard_plan_urls(struct shard *s, const struct known *known);
/* Drops the cells of URLs that are idle, or all of them, and packs the rest. */
void shard_drop_http_cells(struct shard *s, struct boot *boot, bool all, uint64_t now_ns);
bool shard_has_http_result(const struct boot *boot);
enum prober_error shard_merge_urls(struct shard *s, uint64_t now_ns);
void shard_forget_urls(struct shard *s, struct source *source, const struct known *known);
enum prober_error shard_url_rows(const struct shard *s, uint64_t now_ns, struct mesh_url **out,
                                 size_t *count);

#endif
