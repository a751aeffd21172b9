#include "test/unit/fakes/fake_icmp_engine.h"

#include <string.h>

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
