#include "agentd/stats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct stats {
    pthread_mutex_t lock;
    struct stats_copy now; /* guarded by lock */
};

enum prober_error stats_create(struct stats **out)
{
    struct stats *s = calloc(1, sizeof(*s));

    if (!s)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return PROBER_OK;
}

void stats_set_probing(struct stats *s, const struct stats_probing *probing)
{
    pthread_mutex_lock(&s->lock);
    s->now.probing = *probing;
    pthread_mutex_unlock(&s->lock);
}

void stats_set_link(struct stats *s, const struct stats_link *link)
{
    pthread_mutex_lock(&s->lock);
    s->now.link = *link;
    pthread_mutex_unlock(&s->lock);
}

/* The oldest boot is forgotten for a new one. */
static struct stats_boot *boot_of(struct stats_copy *c, const struct prober_id *id)
{
    for (size_t i = 0; i < c->boot_count; i++)
        if (prober_id_equal(&c->boots[i].id, id))
            return &c->boots[i];
    if (c->boot_count == STATS_BOOTS_MAX) {
        memmove(&c->boots[0], &c->boots[1], (STATS_BOOTS_MAX - 1) * sizeof(c->boots[0]));
        c->boot_count--;
    }
    c->boots[c->boot_count] = (struct stats_boot){.id = *id};
    return &c->boots[c->boot_count++];
}

void stats_add_acked(struct stats *s, const struct prober_id *server_boot, bool backfilled,
                     const struct icmp_totals *totals)
{
    struct stats_boot *boot;

    pthread_mutex_lock(&s->lock);
    boot = boot_of(&s->now, server_boot);
    icmp_totals_merge(backfilled ? &boot->backfilled : &boot->acked, totals);
    pthread_mutex_unlock(&s->lock);
}

void stats_icmp_beat(struct stats *s, uint64_t now_ns)
{
    pthread_mutex_lock(&s->lock);
    s->now.icmp_beat_ns = now_ns;
    pthread_mutex_unlock(&s->lock);
}

void stats_link_beat(struct stats *s, uint64_t now_ns)
{
    pthread_mutex_lock(&s->lock);
    s->now.link_beat_ns = now_ns;
    pthread_mutex_unlock(&s->lock);
}

void stats_read(struct stats *s, struct stats_copy *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->now;
    pthread_mutex_unlock(&s->lock);
}

void stats_destroy(struct stats *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}
