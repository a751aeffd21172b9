#include "serverd/plan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/siphash.h"

/* The plan that is handed out, and what only this file needs to know of it. */
struct plan_block {
    struct plan plan; /* first: a plan is the start of its block */
    atomic_uint references;
    char **texts; /* [text_count]: of discovered targets and regions */
    size_t text_count, text_room;
};

/* Choices and revisions must be the same after a restart, so the keys are constants. */
static const struct siphash_key content_key = {UINT64_C(0x70726f6265726d65), 0};
static const struct siphash_key choice_key = {UINT64_C(0x72656e64657a766f), 0};

static uint64_t chain(uint64_t hash, const void *bytes, size_t len)
{
    const struct siphash_key key = {content_key.k0, hash};

    return siphash24(&key, bytes, len);
}

static uint64_t chain_text(uint64_t hash, const char *text)
{
    return chain(hash, text, strlen(text) + 1);
}

static uint64_t chain_u64(uint64_t hash, uint64_t value)
{
    return chain(hash, &value, sizeof(value));
}

static uint64_t chain_spec(uint64_t hash, const struct icmp_spec *spec)
{
    const uint64_t values[] = {spec->payload_size, spec->packet_count, spec->interval_ns,
                               spec->timeout_ns, (uint64_t)spec->family};

    return chain(hash, values, sizeof(values));
}

/* ---- making ---- */

static const char *keep_text(struct plan_block *b, const char *text)
{
    char *copy;

    if (b->text_count == b->text_room) {
        size_t room = b->text_room ? 2 * b->text_room : 64;
        char **texts = realloc(b->texts, room * sizeof(*texts));

        if (!texts)
            return NULL;
        b->texts = texts;
        b->text_room = room;
    }
    copy = strdup(text);
    if (copy)
        b->texts[b->text_count++] = copy;
    return copy;
}

static int compare_names(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* Stores the names of all regions, sorted, each once, as regions without content. */
static enum prober_error make_regions(struct plan_block *b, const struct probe_spec *spec,
                                      const struct plan_agent *agents, size_t count)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    size_t from_file = spec ? spec->count : 0, total = from_file + count;
    const char **names = calloc(total + 1, sizeof(*names));

    b->plan.regions = calloc(total + 1, sizeof(*b->plan.regions));
    if (!names || !b->plan.regions)
        goto out;
    for (size_t i = 0; i < from_file; i++)
        names[i] = spec->entries[i].region;
    for (size_t i = 0; i < count; i++)
        names[from_file + i] = agents[i].region;
    qsort(names, total, sizeof(*names), compare_names);
    for (size_t i = 0; i < total; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        b->plan.regions[b->plan.region_count].name = keep_text(b, names[i]);
        if (!b->plan.regions[b->plan.region_count].name)
            goto out;
        b->plan.region_count++;
    }
    err = PROBER_OK;
out:
    free(names);
    return err;
}

static int compare_region(const void *key, const void *region)
{
    return strcmp(key, ((const struct plan_region *)region)->name);
}

static struct plan_region *region_of(const struct plan *plan, const char *name)
{
    if (!plan->region_count)
        return NULL;
    return bsearch(name, plan->regions, plan->region_count, sizeof(*plan->regions), compare_region);
}

static enum prober_error make_members(struct plan *plan, const struct plan_agent *agents,
                                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        region_of(plan, agents[i].region)->agent_count++;
    for (size_t i = 0; i < plan->region_count; i++) {
        struct plan_region *r = &plan->regions[i];

        r->agents = calloc(r->agent_count + 1, sizeof(*r->agents));
        if (!r->agents)
            return PROBER_ERR_NOMEM;
        r->agent_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct plan_region *r = region_of(plan, agents[i].region);

        r->agents[r->agent_count++] = agents[i].id;
    }
    return PROBER_OK;
}

static struct plan_entry *add_entry(struct plan_region *r, enum probe_kind kind, size_t targets)
{
    struct plan_entry *entries = realloc(r->entries, (r->entry_count + 1) * sizeof(*entries));
    struct plan_entry *e;

    if (!entries)
        return NULL;
    r->entries = entries;
    e = &entries[r->entry_count];
    *e = (struct plan_entry){.kind = kind, .icmp = icmp_spec_default()};
    e->targets = calloc(targets + 1, sizeof(*e->targets));
    if (!e->targets)
        return NULL;
    r->entry_count++;
    return e;
}

static const struct probe_entry *file_icmp_entry(const struct probe_spec *spec, const char *region)
{
    for (size_t i = 0; spec && i < spec->count; i++)
        if (spec->entries[i].kind == PROBE_ICMP && strcmp(spec->entries[i].region, region) == 0)
            return &spec->entries[i];
    return NULL;
}

/* Gives each region with live agents one ICMP entry: their addresses. */
static enum prober_error discover(struct plan_block *b, const struct probe_spec *spec,
                                  const struct plan_agent *agents, size_t count)
{
    struct plan *plan = &b->plan;
    char text[PROBER_ADDR_TEXT_MAX];

    for (size_t i = 0; i < plan->region_count; i++) {
        struct plan_region *r = &plan->regions[i];
        const struct probe_entry *settings = file_icmp_entry(spec, r->name);
        struct plan_entry *e;

        if (r->agent_count == 0)
            continue;
        e = add_entry(r, PROBE_ICMP, r->agent_count * WIRE_ADDRESSES_MAX);
        if (!e)
            return PROBER_ERR_NOMEM;
        e->discovered = true;
        if (settings)
            e->icmp = settings->icmp;
    }
    for (size_t i = 0; i < count; i++) {
        struct plan_entry *e = &region_of(plan, agents[i].region)->entries[0];

        for (size_t k = 0; k < agents[i].address_count && k < WIRE_ADDRESSES_MAX; k++) {
            struct plan_target *t = &e->targets[e->target_count];

            t->address = agents[i].addresses[k];
            t->text = keep_text(b, prober_addr_format(&t->address, text));
            if (!t->text)
                return PROBER_ERR_NOMEM;
            e->target_count++;
        }
    }
    return PROBER_OK;
}

/* Adds the file's entries: all but the ICMP ones of regions whose agents were discovered. */
static enum prober_error add_file(struct plan_block *b, const struct probe_spec *spec)
{
    for (size_t i = 0; spec && i < spec->count; i++) {
        const struct probe_entry *from = &spec->entries[i];
        struct plan_region *r = region_of(&b->plan, from->region);
        struct plan_entry *e;

        if (from->kind == PROBE_ICMP && r->entry_count && r->entries[0].discovered)
            continue;
        e = add_entry(r, from->kind, from->target_count);
        if (!e)
            return PROBER_ERR_NOMEM;
        e->icmp = from->icmp;
        for (size_t k = 0; k < from->target_count; k++) {
            struct plan_target *t = &e->targets[k];

            t->text = keep_text(b, from->targets[k]);
            if (!t->text)
                return PROBER_ERR_NOMEM;
            if (prober_addr_parse(t->text, &t->address))
                t->address.family = PROBER_FAMILY_NONE;
            e->target_count++;
        }
    }
    return PROBER_OK;
}

struct listed {
    const char *text;
    size_t position;
    struct plan_target *target;
};

static int compare_listed(const void *x, const void *y)
{
    const struct listed *a = x, *b = y;
    int order = strcmp(a->text, b->text);

    return order ? order : (a->position > b->position) - (a->position < b->position);
}

/* Of targets of one kind that a region has more than once, the first stays: a target is one series
 * of windows, however often it is written. */
static enum prober_error drop_repeated(struct plan_region *r, enum probe_kind kind)
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
    for (size_t i = 0; i < r->entry_count; i++)
        for (size_t k = 0; r->entries[i].kind == kind && k < r->entries[i].target_count; k++, at++)
            all[at] = (struct listed){r->entries[i].targets[k].text, at, &r->entries[i].targets[k]};
    qsort(all, total, sizeof(*all), compare_listed);
    for (size_t i = 1; i < total; i++)
        if (strcmp(all[i].text, all[i - 1].text) == 0)
            all[i].target->text = NULL;
    free(all);
    for (size_t i = 0; i < r->entry_count; i++) {
        struct plan_entry *e = &r->entries[i];
        size_t kept = 0;

        for (size_t k = 0; k < e->target_count; k++)
            if (e->targets[k].text)
                e->targets[kept++] = e->targets[k];
        e->target_count = kept;
    }
    return PROBER_OK;
}

static int compare_places(const void *x, const void *y)
{
    const struct plan_place *a = x, *b = y;
    int order = (a->address.family > b->address.family) - (a->address.family < b->address.family);

    if (!order)
        order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
    return order ? order : (a->region > b->region) - (a->region < b->region);
}

static void add_places(struct plan *plan, size_t region, const struct plan_entry *e)
{
    for (size_t i = 0; i < e->target_count; i++)
        if (e->targets[i].address.family != PROBER_FAMILY_NONE)
            plan->places[plan->place_count++] =
                (struct plan_place){prober_addr_unmap(&e->targets[i].address), region};
}

static enum prober_error make_places(struct plan *plan)
{
    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++)
            if (plan->regions[i].entries[k].kind == PROBE_ICMP)
                plan->target_count += plan->regions[i].entries[k].target_count;
    plan->places = calloc(plan->target_count + 1, sizeof(*plan->places));
    if (!plan->places)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++)
            if (plan->regions[i].entries[k].kind == PROBE_ICMP)
                add_places(plan, i, &plan->regions[i].entries[k]);
    qsort(plan->places, plan->place_count, sizeof(*plan->places), compare_places);
    return PROBER_OK;
}

static void set_rotation(struct plan *plan)
{
    uint64_t step = plan->config.rotate_ns / PLAN_ROTATION_SLOTS;

    plan->rotates_at_real_ns = UINT64_MAX;
    if (plan->thinned && step)
        plan->rotates_at_real_ns = (plan->made_real_ns / step + 1) * step;
}

static uint64_t digest(const struct plan *plan)
{
    uint64_t h = chain_u64(0, plan->config.probe_self + 2u * plan->thinned);

    if (plan->thinned) {
        h = chain_u64(h, plan->config.agents_per_pair);
        h = chain_u64(h, plan->config.targets_per_pair);
        h = chain_u64(h, plan->rotates_at_real_ns);
    }
    for (size_t i = 0; i < plan->region_count; i++) {
        const struct plan_region *r = &plan->regions[i];

        h = chain_text(h, r->name);
        h = chain(h, r->agents, r->agent_count * sizeof(*r->agents));
        h = chain_u64(h, r->entry_count);
        for (size_t k = 0; k < r->entry_count; k++) {
            const struct plan_entry *e = &r->entries[k];

            h = chain_spec(chain_u64(h, (uint64_t)e->kind), &e->icmp);
            h = chain_u64(h, 2 * e->target_count + e->discovered);
            for (size_t t = 0; t < e->target_count; t++)
                h = chain_text(h, e->targets[t].text);
        }
    }
    return h;
}

enum prober_error plan_create(struct plan **out, const struct plan_config *config,
                              const struct probe_spec *spec, const struct plan_agent *agents,
                              size_t count, uint64_t now_real_ns)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct plan_block *b = calloc(1, sizeof(*b));

    if (!b)
        goto out;
    atomic_init(&b->references, 1);
    b->plan.config = *config;
    b->plan.made_real_ns = now_real_ns;
    b->plan.agent_count = count;
    b->plan.thinned = config->dynamic && count >= config->full_below;
    err = make_regions(b, spec, agents, count);
    if (!err)
        err = make_members(&b->plan, agents, count);
    if (!err && config->dynamic)
        err = discover(b, spec, agents, count);
    if (!err)
        err = add_file(b, spec);
    for (size_t i = 0; !err && i < b->plan.region_count; i++)
        for (int kind = 0; !err && kind < PROBE_KIND_COUNT; kind++)
            err = drop_repeated(&b->plan.regions[i], (enum probe_kind)kind);
    if (!err)
        err = make_places(&b->plan);
    if (err)
        goto out;
    set_rotation(&b->plan);
    b->plan.digest = digest(&b->plan);
    *out = &b->plan;
    b = NULL;
out:
    if (b)
        plan_put(&b->plan);
    return err;
}

const struct plan *plan_get(const struct plan *plan)
{
    struct plan_block *b = CONTAINER_OF((struct plan *)(uintptr_t)plan, struct plan_block, plan);

    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return plan;
}

void plan_put(const struct plan *plan)
{
    struct plan_block *b;

    if (!plan)
        return;
    b = CONTAINER_OF((struct plan *)(uintptr_t)plan, struct plan_block, plan);
    if (atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < b->plan.region_count; i++) {
        for (size_t k = 0; k < b->plan.regions[i].entry_count; k++)
            free(b->plan.regions[i].entries[k].targets);
        free(b->plan.regions[i].entries);
        free(b->plan.regions[i].agents);
    }
    for (size_t i = 0; i < b->text_count; i++)
        free(b->texts[i]);
    free(b->texts);
    free(b->plan.regions);
    free(b->plan.places);
    free(b);
}

/* ---- reading ---- */

const struct plan_region *plan_region_find(const struct plan *plan, const char *name)
{
    return region_of(plan, name);
}

static bool is_skipped(const struct plan *plan, const char *source, const char *target)
{
    return !plan->config.probe_self && strcmp(source, target) == 0;
}

static bool has_icmp_targets(const struct plan_region *r)
{
    for (size_t i = 0; i < r->entry_count; i++)
        if (r->entries[i].kind == PROBE_ICMP && r->entries[i].target_count)
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
    return source->agent_count && has_icmp_targets(target) &&
           !is_skipped(plan, source->name, target->name) &&
           (source != target || has_more_than_itself(source));
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

        if (compare_places(&plan->places[middle], &key) < 0)
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
    uint64_t seed = chain_text(chain_text(1, source), target);
    uint64_t rotate = plan->config.rotate_ns;

    if (rotate)
        seed = chain_u64(seed, (plan->made_real_ns +
                                seed % PLAN_ROTATION_SLOTS * (rotate / PLAN_ROTATION_SLOTS)) /
                                   rotate);
    return seed;
}

static uint64_t weight(uint64_t seed, const void *bytes, size_t len)
{
    const struct siphash_key key = {choice_key.k0, seed};

    return siphash24(&key, bytes, len);
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
    uint64_t hash;
};

static void view_entry(struct view_builder *v, const struct plan_region *region,
                       const struct plan_entry *e, uint64_t seed)
{
    uint64_t needed = 0;
    size_t first = v->target_count;

    if (v->plan->thinned && e->discovered) {
        if (!v->source || !is_chosen(v->plan, &v->agent->id, v->source, seed))
            return;
        needed = weight_needed(v->plan, e, v->agent, seed, v->top);
    }
    for (size_t i = 0; i < e->target_count; i++) {
        const struct plan_target *t = &e->targets[i];

        if (is_own(v->agent, &t->address) ||
            (needed && weight(seed, t->text, strlen(t->text)) < needed))
            continue;
        if (v->targets) {
            v->targets[v->target_count] = t->text;
            v->hash = chain_text(v->hash, t->text);
        }
        v->target_count++;
    }
    if (v->target_count == first)
        return;
    if (v->entries) {
        v->entries[v->entry_count] = (struct wire_plan_entry){
            .kind = WIRE_KIND_ICMP,
            .region = region->name,
            .targets = v->targets + first,
            .target_count = v->target_count - first,
            .icmp = {e->icmp.payload_size, e->icmp.packet_count, e->icmp.interval_ns,
                     e->icmp.timeout_ns, (uint32_t)e->icmp.family},
        };
        v->hash = chain_spec(chain_text(v->hash, region->name), &e->icmp);
    }
    v->entry_count++;
}

static void view_walk(struct view_builder *v)
{
    v->entry_count = v->target_count = 0;
    for (size_t i = 0; i < v->plan->region_count; i++) {
        const struct plan_region *r = &v->plan->regions[i];
        uint64_t seed;

        if (is_skipped(v->plan, v->agent->region, r->name))
            continue;
        seed = v->plan->thinned ? pair_seed(v->plan, v->agent->region, r->name) : 0;
        for (size_t k = 0; k < r->entry_count; k++)
            if (r->entries[k].kind == PROBE_ICMP)
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
    if (!v.top)
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
    return err;
}

void plan_view_free(struct plan_view *view)
{
    free(view->memory[0]);
    free(view->memory[1]);
    *view = (struct plan_view){0};
}
