#include "serverd/plan.h"

#include <stdlib.h>
#include <string.h>

#include "serverd/plan_hash.h"

/* Choices must be the same after a restart, so the key is a constant. */
static const struct siphash_key choice_key = {UINT64_C(0x72656e64657a766f), 0};

static int compare_region(const void *key, const void *region)
{
    return strcmp(key, ((const struct plan_region *)region)->name);
}

const struct plan_region *plan_region_find(const struct plan *plan, const char *name)
{
    if (!plan->region_count)
        return NULL;
    return bsearch(name, plan->regions, plan->region_count, sizeof(*plan->regions), compare_region);
}

static bool is_skipped(const struct plan *plan, const char *source, const char *target)
{
    return !plan->config.probe_self && strcmp(source, target) == 0;
}

bool plan_takes(const struct plan *plan, const struct plan_region *source,
                const struct plan_region *target, const struct plan_entry *e)
{
    size_t at = source ? (size_t)(source - plan->regions) : 0;

    if (source == target && !plan->config.probe_self)
        return false;
    if (source && source->urls_refused && e->kind == PROBE_HTTP)
        return false;
    return !e->sources || (source && e->sources[at / 64] >> at % 64 & 1);
}

bool plan_reaches(const struct plan *plan, const struct plan_region *source,
                  const struct plan_region *target, const struct plan_entry *e)
{
    return e->target_count && plan_takes(plan, source, target, e) &&
           (e->confidential ? source->private_count : source->agent_count);
}

static bool has_icmp_targets(const struct plan *plan, const struct plan_region *source,
                             const struct plan_region *target)
{
    for (size_t i = 0; i < target->entry_count; i++)
        if (target->entries[i].kind == PROBE_ICMP &&
            plan_reaches(plan, source, target, &target->entries[i]))
            return true;
    return false;
}

/* A region that holds one agent with one address and nothing else has nothing to probe in itself. */
static bool has_more_than_itself(const struct plan_region *r)
{
    return r->agent_count != 1 || r->entry_count == 0 || !r->entries[0].discovered ||
           r->entries[0].target_count > WIRE_ADDRESSES_MAX;
}

bool plan_covers(const struct plan *plan, const struct plan_region *source,
                 const struct plan_region *target)
{
    return has_icmp_targets(plan, source, target) &&
           (source != target || has_more_than_itself(source));
}

int plan_place_compare(const void *x, const void *y)
{
    const struct plan_place *a = x, *b = y;
    int order = (a->address.family > b->address.family) - (a->address.family < b->address.family);

    if (!order)
        order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
    return order ? order : (a->region > b->region) - (a->region < b->region);
}

static bool is_own(const struct plan_agent *agent, const struct prober_addr *address)
{
    struct prober_addr target = prober_addr_unmap(address);

    for (size_t i = 0; i < agent->address_count; i++) {
        struct prober_addr own = prober_addr_unmap(&agent->addresses[i]);

        if (prober_addr_equal(&own, &target))
            return true;
    }
    return false;
}

static const struct plan_place *first_place(const struct plan *plan, const struct prober_addr *own)
{
    const struct plan_place key = {*own, 0};
    size_t low = 0, high = plan->place_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (plan_place_compare(&plan->places[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return &plan->places[low];
}

bool plan_is_common(const struct plan *plan, const struct plan_agent *agent)
{
    const struct plan_place *end = plan->places + plan->place_count;

    if (plan->thinned)
        return false;
    for (size_t i = 0; i < agent->address_count; i++) {
        struct prober_addr own = prober_addr_unmap(&agent->addresses[i]);

        for (const struct plan_place *p = first_place(plan, &own);
             p < end && memcmp(p->address.bytes, own.bytes, sizeof(own.bytes)) == 0 &&
             p->address.family == own.family;
             p++)
            if (!is_skipped(plan, agent->region, plan->regions[p->region].name))
                return false;
    }
    return true;
}

/* ---- thinning out ---- */

/* What the choices of an ordered pair of regions hang on, now. */
static uint64_t pair_seed(const struct plan *plan, const char *source, const char *target)
{
    uint64_t seed = plan_hash_text(&choice_key, plan_hash_text(&choice_key, 1, source), target);
    uint64_t rotate = plan->config.rotate_ns;

    if (rotate)
        seed = plan_hash_u64(
            &choice_key, seed,
            (plan->made_real_ns + seed % PLAN_ROTATION_SLOTS * (rotate / PLAN_ROTATION_SLOTS)) /
                rotate);
    return seed;
}

static uint64_t weight(uint64_t seed, const void *bytes, size_t len)
{
    return plan_hash(&choice_key, seed, bytes, len);
}

/* True when the agent is among the region's agents_per_pair of greatest weight. */
static bool is_chosen(const struct plan *plan, const struct prober_id *agent,
                      const struct plan_region *source, uint64_t seed)
{
    uint64_t own = weight(seed, agent->bytes, sizeof(agent->bytes)), greater = 0;

    for (size_t i = 0; i < source->agent_count; i++)
        greater += weight(seed, source->agents[i].bytes, sizeof(agent->bytes)) > own;
    return greater < plan->config.agents_per_pair;
}

/* The smallest weight among the targets_per_pair greatest of e's targets that are not the agent's
 * own; 0 when there are no more than that. top[targets_per_pair] is scratch. */
static uint64_t weight_needed(const struct plan *plan, const struct plan_entry *e,
                              const struct plan_agent *agent, uint64_t seed, uint64_t *top)
{
    size_t wanted = plan->config.targets_per_pair, held = 0;

    for (size_t i = 0; i < e->target_count; i++) {
        const struct plan_target *t = &e->targets[i];
        uint64_t w = weight(seed, t->text, strlen(t->text));
        size_t at;

        if (is_own(agent, &t->address) || (held == wanted && w <= top[held - 1]))
            continue;
        at = held < wanted ? held++ : held - 1;
        for (; at > 0 && top[at - 1] < w; at--)
            top[at] = top[at - 1];
        top[at] = w;
    }
    return held < wanted ? 0 : top[held - 1];
}

/* ---- an agent's view ---- */

struct view_builder {
    const struct plan *plan;
    const struct plan_agent *agent;
    const struct plan_region *source; /* NULL: a region that the plan does not know yet */
    struct wire_plan_entry *entries;  /* NULL while counting */
    const char **targets;
    size_t entry_count, target_count;
    uint64_t *top;
    uint64_t *grouped; /* a bit for each group of which the agent has a target already */
    uint64_t hash;
};

static struct wire_plan_entry wire_entry(const struct plan_region *region,
                                         const struct plan_entry *e)
{
    if (e->kind == PROBE_HTTP)
        return (struct wire_plan_entry){
            .kind = WIRE_KIND_HTTP, .region = region->name, .http = {e->block, e->timeout_ns}};
    return (struct wire_plan_entry){
        .kind = WIRE_KIND_ICMP,
        .region = region->name,
        .icmp = {e->icmp.payload_size, e->icmp.packet_count, e->icmp.interval_ns,
                 e->icmp.timeout_ns, (uint32_t)e->icmp.family},
    };
}

/* True when an entry before gave the agent this target; notes that it has it now. */
static bool has_already(struct view_builder *v, const struct plan_target *t)
{
    uint64_t *word = &v->grouped[t->group / 64], bit = UINT64_C(1) << t->group % 64;

    if (t->group == 0)
        return false;
    if (*word & bit)
        return true;
    *word |= bit;
    return false;
}

static void add_entry(struct view_builder *v, const struct plan_region *region,
                      const struct plan_entry *e, size_t first)
{
    const struct siphash_key *key = &v->plan->config.content_key;
    size_t count = v->target_count - first;

    if (v->entries) {
        struct wire_plan_entry *to = &v->entries[v->entry_count];

        *to = wire_entry(region, e);
        to->targets = v->targets + first;
        to->target_count = count;
        v->hash = plan_hash_settings(key, plan_hash_text(key, v->hash, region->name), e);
        v->hash = plan_hash_u64(key, v->hash, count);
        for (size_t i = 0; i < count; i++)
            v->hash = plan_hash_text(key, v->hash, to->targets[i]);
    }
    v->entry_count++;
}

static void view_entry(struct view_builder *v, const struct plan_region *region,
                       const struct plan_entry *e, uint64_t seed)
{
    uint64_t needed = 0;
    size_t first = v->target_count;

    if (!plan_takes(v->plan, v->source, region, e) || (e->confidential && !v->agent->is_private))
        return;
    if (v->plan->thinned && e->discovered) {
        if (!v->source || !is_chosen(v->plan, &v->agent->id, v->source, seed))
            return;
        needed = weight_needed(v->plan, e, v->agent, seed, v->top);
    }
    for (size_t i = 0; i < e->target_count; i++) {
        const struct plan_target *t = &e->targets[i];

        if (is_own(v->agent, &t->address) ||
            (needed && weight(seed, t->text, strlen(t->text)) < needed) || has_already(v, t))
            continue;
        if (v->targets)
            v->targets[v->target_count] = t->text;
        v->target_count++;
    }
    if (v->target_count > first)
        add_entry(v, region, e, first);
}

static void view_walk(struct view_builder *v)
{
    v->entry_count = v->target_count = 0;
    memset(v->grouped, 0, (v->plan->group_count / 64 + 1) * sizeof(*v->grouped));
    for (size_t i = 0; i < v->plan->region_count; i++) {
        const struct plan_region *r = &v->plan->regions[i];
        uint64_t seed = v->plan->thinned ? pair_seed(v->plan, v->agent->region, r->name) : 0;

        for (size_t k = 0; k < r->entry_count; k++)
            view_entry(v, r, &r->entries[k], seed);
    }
}

enum prober_error plan_view_create(struct plan_view *out, const struct plan *plan,
                                   const struct plan_agent *agent)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct view_builder v = {.plan = plan, .agent = agent, .hash = 1};

    v.source = plan_region_find(plan, agent->region);
    v.top = calloc(plan->config.targets_per_pair + 1, sizeof(*v.top));
    v.grouped = calloc(plan->group_count / 64 + 1, sizeof(*v.grouped));
    if (!v.top || !v.grouped)
        goto out;
    view_walk(&v);
    v.entries = calloc(v.entry_count + 1, sizeof(*v.entries));
    v.targets = calloc(v.target_count + 1, sizeof(*v.targets));
    if (!v.entries || !v.targets)
        goto out;
    view_walk(&v);
    out->revision = v.hash ? v.hash : 1;
    out->wire = (struct wire_plan){v.entries, v.entry_count};
    out->memory[0] = v.entries;
    out->memory[1] = v.targets;
    v.entries = NULL;
    v.targets = NULL;
    err = PROBER_OK;
out:
    free(v.entries);
    free(v.targets);
    free(v.top);
    free(v.grouped);
    return err;
}

void plan_view_free(struct plan_view *view)
{
    free(view->memory[0]);
    free(view->memory[1]);
    *view = (struct plan_view){0};
}
