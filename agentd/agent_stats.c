#include "agentd/agent_stats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct agent_stats {
    pthread_mutex_t lock;
    struct agent_stats_copy now; /* guarded by lock */
};

enum prober_error agent_stats_create(struct agent_stats **out)
{
    struct agent_stats *s = calloc(1, sizeof(*s));

    if (!s)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return PROBER_OK;
}

void agent_stats_set_probing(struct agent_stats *s, const struct agent_stats_probing *probing)
{
    pthread_mutex_lock(&s->lock);
    s->now.probing = *probing;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_set_http(struct agent_stats *s, const struct agent_stats_http *http)
{
    pthread_mutex_lock(&s->lock);
    s->now.http = *http;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_set_link(struct agent_stats *s, const struct agent_stats_link *link)
{
    pthread_mutex_lock(&s->lock);
    s->now.link = *link;
    pthread_mutex_unlock(&s->lock);
}

/* The oldest boot is forgotten for a new one. */
static struct agent_stats_boot *boot_of(struct agent_stats_copy *c, const struct prober_id *id)
{
    for (size_t i = 0; i < c->boot_count; i++)
        if (prober_id_equal(&c->boots[i].id, id))
            return &c->boots[i];
    if (c->boot_count == AGENT_STATS_BOOTS_MAX) {
        memmove(&c->boots[0], &c->boots[1], (AGENT_STATS_BOOTS_MAX - 1) * sizeof(c->boots[0]));
        c->boot_count--;
    }
    c->boots[c->boot_count] = (struct agent_stats_boot){.id = *id};
    return &c->boots[c->boot_count++];
}

void agent_stats_add_acked(struct agent_stats *s, const struct prober_id *server_boot,
                           bool backfilled, const struct probe_totals *totals)
{
    struct agent_stats_boot *boot;

    pthread_mutex_lock(&s->lock);
    boot = boot_of(&s->now, server_boot);
    probe_totals_merge(backfilled ? &boot->backfilled : &boot->acked, totals);
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_icmp_beat(struct agent_stats *s, uint64_t now_ns)
{
    pthread_mutex_lock(&s->lock);
    s->now.icmp_beat_ns = now_ns;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_http_beat(struct agent_stats *s, uint64_t now_ns)
{
    pthread_mutex_lock(&s->lock);
    s->now.http_beat_ns = now_ns;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_link_beat(struct agent_stats *s, uint64_t now_ns)
{
    pthread_mutex_lock(&s->lock);
    s->now.link_beat_ns = now_ns;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_read(struct agent_stats *s, struct agent_stats_copy *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->now;
    pthread_mutex_unlock(&s->lock);
}

void agent_stats_destroy(struct agent_stats *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}
