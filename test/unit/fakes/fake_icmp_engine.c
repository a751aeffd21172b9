#include "test/unit/fakes/fake_icmp_engine.h"

#include <stdlib.h>
#include <string.h>

struct icmp_engine *fake_engine_last;

struct fake_target *fake_engine_find(struct icmp_engine *e, const char *address)
{
    char text[PROBER_ADDR_TEXT_MAX];

    for (size_t i = 0; i < e->added; i++) {
        struct fake_target *t = &e->targets[i];

        if (t->live && !t->removing &&
            strcmp(prober_addr_format(&t->target.address, text), address) == 0)
            return t;
    }
    return NULL;
}

size_t fake_engine_probing(const struct icmp_engine *e)
{
    size_t count = 0;

    for (size_t i = 0; i < e->added; i++)
        count += e->targets[i].live && !e->targets[i].removing;
    return count;
}

void fake_engine_let_go(struct icmp_engine *e)
{
    for (size_t i = 0; i < e->added; i++) {
        struct fake_target *t = &e->targets[i];

        if (!t->live || !t->removing)
            continue;
        t->live = false;
        e->sink.removed(e->sink.context, t->target.user);
    }
}

enum prober_error icmp_engine_add(struct icmp_engine *e, const struct icmp_target *target,
                                  const struct clock_reading *now, icmp_target_id *id)
{
    (void)now;
    if (e->refuse_with)
        return e->refuse_with;
    if (e->added == FAKE_TARGETS_MAX)
        return PROBER_ERR_FULL;
    e->targets[e->added] = (struct fake_target){.target = *target, .live = true};
    *id = ++e->added;
    return PROBER_OK;
}

void icmp_engine_set_address(struct icmp_engine *e, icmp_target_id id,
                             const struct prober_addr *address)
{
    e->targets[id - 1].target.address = *address;
    e->set_addresses++;
}

void icmp_engine_remove(struct icmp_engine *e, icmp_target_id id)
{
    e->targets[id - 1].removing = true;
}

enum prober_error icmp_engine_create(struct icmp_engine **out,
                                     const struct icmp_engine_config *config,
                                     const struct icmp_sink *sink, const struct clock_reading *now,
                                     struct prober_failure *why)
{
    struct icmp_engine *e = calloc(1, sizeof(*e));

    if (!e)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    e->sink = *sink;
    e->window = config->first_window;
    e->window_ns = config->window_ns;
    e->window_end_ns = now->mono_ns + config->window_ns;
    *out = fake_engine_last = e;
    return PROBER_OK;
}

void icmp_engine_set_sender(struct icmp_engine *e, uint32_t sender)
{
    e->sender = sender;
}

static void report_target(struct icmp_engine *e, const struct icmp_target *target)
{
    struct icmp_window w = {.number = e->window};
    struct histogram_pair pair = {(uint16_t)histogram_bin(1000000), (uint16_t)target->count};

    if (target->address.family) {
        w.counts.sent = w.counts.received = target->count;
        w.pairs = &pair;
        w.pair_count = 1;
    } else {
        w.counts.unsent_name = target->count;
    }
    for (uint32_t i = 0; i < w.counts.received; i++)
        moments_add(&w.rtt, 1000000);
    e->sink.window(e->sink.context, target->user, &w);
}

uint64_t icmp_engine_step(struct icmp_engine *e, const struct clock_reading *now)
{
    if (e->finished || (!e->finishing && now->mono_ns < e->window_end_ns))
        return e->window_end_ns;
    for (size_t i = 0; i < e->added; i++)
        if (e->targets[i].live)
            report_target(e, &e->targets[i].target);
    e->sink.window_end(e->sink.context, e->window, now);
    fake_engine_let_go(e);
    e->window++;
    e->window_end_ns += e->window_ns;
    e->finished = e->finishing;
    return e->window_end_ns;
}

void icmp_engine_finish(struct icmp_engine *e)
{
    e->finishing = true;
}

bool icmp_engine_is_finished(const struct icmp_engine *e)
{
    return e->finished;
}

void icmp_engine_counts(const struct icmp_engine *e, struct icmp_engine_counts *out)
{
    *out = (struct icmp_engine_counts){.targets = e->added};
}

void icmp_engine_destroy(struct icmp_engine *e)
{
    free(e);
}
