#include "serverd/plan_group.h"

#include <stdlib.h>
#include <string.h>

struct listed {
    size_t position;
    const struct plan_entry *entry;
    struct plan_target *target;
};

static int compare_listed(const void *x, const void *y)
{
    const struct listed *a = x, *b = y;
    int order = strcmp(a->target->shown, b->target->shown);

    return order ? order : (a->position > b->position) - (a->position < b->position);
}

static bool same_settings(const struct plan_entry *a, const struct plan_entry *b)
{
    return a->icmp.payload_size == b->icmp.payload_size &&
           a->icmp.packet_count == b->icmp.packet_count &&
           a->icmp.interval_ns == b->icmp.interval_ns && a->icmp.timeout_ns == b->icmp.timeout_ns &&
           a->icmp.family == b->icmp.family && a->timeout_ns == b->timeout_ns &&
           strcmp(a->block, b->block) == 0;
}

/* True when there are agents that both entries are for. */
static bool overlap(const struct plan *plan, const struct plan_entry *a, const struct plan_entry *b)
{
    uint64_t both = 0;

    if (!a->sources || !b->sources)
        return true;
    for (size_t i = 0; i <= plan->region_count / 64; i++)
        both |= a->sources[i] & b->sources[i];
    return both != 0;
}

static void note_shadowed(struct plan *plan, const struct listed *earlier,
                          const struct listed *later)
{
    bool same = same_settings(earlier->entry, later->entry) &&
                strcmp(earlier->target->text, later->target->text) == 0;

    if (same || !overlap(plan, earlier->entry, later->entry))
        return;
    if (plan->shadowed++ == 0) {
        plan->shadowed_entry = later->entry;
        plan->shadowed_target = later->target->shown;
    }
}

/* all[count] are shown alike. Those behind an entry that every agent takes go at once; the others get
 * a group, for it depends on the agent which is the first. */
static void group(struct plan *plan, struct listed *all, size_t count)
{
    const struct listed *last = &all[0];
    bool closed = !last->entry->sources && !last->entry->confidential;
    uint32_t number = plan->group_count + 1;

    for (size_t i = 1; i < count; i++) {
        note_shadowed(plan, last, &all[i]);
        if (closed || all[i].entry == last->entry) {
            all[i].target->text = NULL;
            continue;
        }
        plan->group_count = all[0].target->group = all[i].target->group = number;
        last = &all[i];
        closed = !last->entry->sources && !last->entry->confidential;
    }
}

static void close_gaps(struct plan_entry *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->target_count; i++)
        if (e->targets[i].text)
            e->targets[kept++] = e->targets[i];
    e->target_count = kept;
}

static enum prober_error group_region(struct plan *plan, struct plan_region *r,
                                      enum probe_kind kind)
{
    size_t total = 0, at = 0;
    struct listed *all;

    for (size_t i = 0; i < r->entry_count; i++)
        total += r->entries[i].kind == kind ? r->entries[i].target_count : 0;
    if (total < 2)
        return PROBER_OK;
    all = calloc(total, sizeof(*all));
    if (!all)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < r->entry_count; i++) {
        struct plan_entry *e = &r->entries[i];

        for (size_t k = 0; e->kind == kind && k < e->target_count; k++, at++)
            all[at] = (struct listed){at, e, &e->targets[k]};
    }
    qsort(all, total, sizeof(*all), compare_listed);
    for (size_t first = 0, i = 1; i <= total; i++)
        if (i == total || strcmp(all[i].target->shown, all[first].target->shown) != 0) {
            group(plan, &all[first], i - first);
            first = i;
        }
    free(all);
    for (size_t i = 0; i < r->entry_count; i++)
        if (r->entries[i].kind == kind)
            close_gaps(&r->entries[i]);
    return PROBER_OK;
}

enum prober_error plan_group_targets(struct plan *plan)
{
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; i < plan->region_count; i++)
        for (int kind = 0; kind < PROBE_KIND_COUNT && !err; kind++)
            err = group_region(plan, &plan->regions[i], (enum probe_kind)kind);
    return err;
}
