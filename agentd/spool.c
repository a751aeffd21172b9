#include "agentd/spool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct spool {
    pthread_mutex_t lock;
    struct wakeup *pushed;
    /* guarded by lock */
    struct batch *first, *last;
    bool lent; /* the first is in the hands of the link thread */
    size_t bytes_max;
    uint64_t sequence;
    struct spool_counts counts;
};

enum prober_error spool_create(struct spool **out, size_t bytes_max, struct wakeup *pushed)
{
    struct spool *s = calloc(1, sizeof(*s));

    if (!s)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->bytes_max = bytes_max;
    s->pushed = pushed;
    *out = s;
    return PROBER_OK;
}

void spool_set_limit(struct spool *spool, size_t bytes_max)
{
    pthread_mutex_lock(&spool->lock);
    spool->bytes_max = bytes_max;
    pthread_mutex_unlock(&spool->lock);
}

/* Takes out the batch after `previous`, or the first. */
static struct batch *unlink_after(struct spool *s, struct batch *previous)
{
    struct batch **from = previous ? &previous->next : &s->first;
    struct batch *batch = *from;

    *from = batch->next;
    if (s->last == batch)
        s->last = previous;
    s->counts.reports--;
    s->counts.bytes -= batch->bytes;
    return batch;
}

static bool is_over(const struct spool *s)
{
    return s->counts.bytes > s->bytes_max || s->counts.reports > SPOOL_REPORTS_MAX;
}

/* Drops the oldest until the limits hold, but never the one that is lent, nor the newest: a limit
 * below one report must not silence the agent. */
static void drop_oldest(struct spool *s)
{
    struct batch *keep = s->lent ? s->first : NULL;

    while (is_over(s)) {
        struct batch *batch = keep ? keep->next : s->first;

        if (!batch || batch == s->last)
            return;
        unlink_after(s, keep);
        s->counts.dropped_total++;
        probe_totals_merge(&s->counts.dropped, &batch->totals);
        batch_destroy(batch);
    }
}

void spool_push(struct spool *spool, struct batch *batch)
{
    pthread_mutex_lock(&spool->lock);
    batch->sequence = ++spool->sequence;
    batch->next = NULL;
    if (spool->last)
        spool->last->next = batch;
    else
        spool->first = batch;
    spool->last = batch;
    spool->counts.reports++;
    spool->counts.bytes += batch->bytes;
    spool->counts.pushed_total++;
    drop_oldest(spool);
    pthread_mutex_unlock(&spool->lock);
    if (spool->pushed)
        wakeup_signal(spool->pushed);
}

struct batch *spool_oldest(struct spool *spool)
{
    struct batch *batch;

    pthread_mutex_lock(&spool->lock);
    batch = spool->first;
    spool->lent = batch != NULL;
    pthread_mutex_unlock(&spool->lock);
    return batch;
}

void spool_remove(struct spool *spool)
{
    struct batch *batch = NULL;

    pthread_mutex_lock(&spool->lock);
    if (spool->lent)
        batch = unlink_after(spool, NULL);
    spool->lent = false;
    pthread_mutex_unlock(&spool->lock);
    batch_destroy(batch);
}

void spool_counts(struct spool *spool, struct spool_counts *out)
{
    pthread_mutex_lock(&spool->lock);
    *out = spool->counts;
    out->oldest_boot_ns = spool->first ? spool->first->ended_boot_ns : 0;
    pthread_mutex_unlock(&spool->lock);
}

void spool_destroy(struct spool *spool)
{
    if (!spool)
        return;
    while (spool->first)
        batch_destroy(unlink_after(spool, NULL));
    pthread_mutex_destroy(&spool->lock);
    free(spool);
}
