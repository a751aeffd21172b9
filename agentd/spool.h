/*
 * spool - results that the server has not acknowledged yet, in memory, bounded.
 *
 * Purpose    The probing threads push batches, the link thread sends the oldest until it is taken.
 *            When a limit is passed the oldest go, and are counted: what is lost is known.
 * Threads    Any; one lock. The batch that spool_oldest lent stays until spool_remove, even when
 *            the spool overflows meanwhile: only one thread may call these two.
 * Ownership  Owns the batches pushed.
 */
#ifndef AGENTD_SPOOL_H
#define AGENTD_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/batch.h"
#include "agentd/wakeup.h"
#include "common/error.h"

#define SPOOL_REPORTS_MAX 100000

struct spool;

struct spool_counts {
    uint64_t reports, bytes; /* now */
    uint64_t oldest_boot_ns; /* boottime clock, when the oldest one's window ended; 0: empty */
    uint64_t pushed_total;
    uint64_t dropped_total; /* reports that overflowed */
    struct probe_totals dropped;
};

/* `pushed` (may be NULL) is signalled at every push, and must outlive the spool. */
enum prober_error spool_create(struct spool **out, size_t bytes_max, struct wakeup *pushed);
/* Changes the limit; it holds from the next push. */
void spool_set_limit(struct spool *spool, size_t bytes_max);
/* Adds a batch and names it: sequences count from 1. */
void spool_push(struct spool *spool, struct batch *batch);
/* Lends the oldest batch; NULL when empty. The same one until it is removed. */
struct batch *spool_oldest(struct spool *spool);
/* Frees the batch that spool_oldest lent. */
void spool_remove(struct spool *spool);
void spool_counts(struct spool *spool, struct spool_counts *out);
void spool_destroy(struct spool *spool);

#endif
