#include "scripted_engine.h"

#include <stdlib.h>

#define TARGETS_MAX 64
#define PROBES_MAX 64

struct icmp_engine {
    struct icmp_sink sink;
    struct {
        struct icmp_target target;
        bool removed, ended;
    } targets[TARGETS_MAX];
    size_t count;
};

struct scripted_engine_state scripted_engine;

enum prober_error icmp_engine_create(struct icmp_engine **out,
                                     const struct icmp_engine_config *config,
                                     const struct icmp_sink *sink, const struct clock_reading *now,
                                     struct prober_failure *why)
{
    (void)now;
    if (scripted_engine.refuse)
        return prober_fail(why, scripted_engine.refuse, "grant CAP_NET_RAW");
    scripted_engine.config = *config;
    *out = calloc(1, sizeof(**out));
    if (!*out)
        abort();
    (*out)->sink = *sink;
    return PROBER_OK;
}

enum prober_error icmp_engine_add(struct icmp_engine *e, const struct icmp_target *target,
                                  const struct clock_reading *now, icmp_target_id *id)
{
    (void)now;
    scripted_engine.last_target = *target;
    scripted_engine.targets++;
    e->targets[e->count].target = *target;
    *id = ++e->count;
    return e->count <= TARGETS_MAX ? PROBER_OK : PROBER_ERR_FULL;
}

void icmp_engine_remove(struct icmp_engine *e, icmp_target_id id)
{
    e->targets[id - 1].removed = true;
}

static void answer(struct icmp_window *w, uint32_t n)
{
    static uint16_t bins[PROBES_MAX];
    static struct histogram_pair pairs[PROBES_MAX];

    w->counts.received = n;
    for (uint32_t i = 0; i < n; i++) {
        moments_add(&w->rtt, (i + 1) * CLOCK_NS_PER_MS);
        bins[i] = (uint16_t)histogram_bin((i + 1) * CLOCK_NS_PER_MS);
    }
    w->pairs = pairs;
    w->pair_count = histogram_pairs(bins, n, pairs);
}

static void report(struct icmp_engine *e, size_t i)
{
    const struct icmp_target *t = &e->targets[i].target;
    unsigned last = t->address.bytes[t->address.family == PROBER_FAMILY_IPV4 ? 3 : 15];
    struct icmp_window w = {.counts.sent = t->count};

    switch ((enum scripted_fate)last) {
    case SCRIPTED_ANSWERS:
        answer(&w, t->count);
        break;
    case SCRIPTED_IS_SILENT:
        w.counts.lost_timeout = t->count;
        break;
    case SCRIPTED_IS_UNREACHABLE:
        w.counts.lost_unreachable = t->count;
        break;
    case SCRIPTED_HAS_NO_ROUTE:
        w.counts.sent = 0;
        w.counts.unsent_local = t->count;
        break;
    case SCRIPTED_ANSWERS_ONCE:
        answer(&w, 1);
        w.counts.lost_timeout = t->count - 1;
        break;
    case SCRIPTED_ANSWERS_WHEN_CUT:
        if (!e->targets[i].removed)
            return;
        w.counts.sent = 1;
        answer(&w, 1);
        break;
    }
    e->targets[i].ended = true;
    e->sink.window(e->sink.context, t->user, &w);
}

uint64_t icmp_engine_step(struct icmp_engine *e, const struct clock_reading *now)
{
    for (size_t i = 0; i < e->count; i++)
        if (!e->targets[i].ended)
            report(e, i);
    e->sink.window_end(e->sink.context, 0, now);
    if (scripted_engine.set_at_step)
        *scripted_engine.set_at_step = 1;
    return now->mono_ns;
}

void icmp_engine_finish(struct icmp_engine *e)
{
    (void)e;
}

bool icmp_engine_is_finished(const struct icmp_engine *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (!e->targets[i].ended)
            return false;
    return true;
}

void icmp_engine_destroy(struct icmp_engine *e)
{
    free(e);
}
