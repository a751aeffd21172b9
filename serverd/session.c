#include "serverd/session.h"

#include <stdlib.h>
#include <string.h>

struct session *session_create(const struct prober_id *agent_id, const struct prober_id *boot_id,
                               uint32_t agent_number, const char *region)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->region = strdup(region);
    if (!s->region) {
        free(s);
        return NULL;
    }
    atomic_init(&s->references, 1);
    atomic_init(&s->last_seen_ns, 0);
    atomic_init(&s->connected, true);
    atomic_init(&s->expelled, false);
    s->agent_id = *agent_id;
    s->boot_id = *boot_id;
    s->agent_number = agent_number;
    return s;
}

struct session *session_get(struct session *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void session_expel(struct session *s)
{
    atomic_store(&s->expelled, true);
    atomic_store(&s->connected, false);
}

void session_put(struct session *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    free(s->region);
    free(s);
}
