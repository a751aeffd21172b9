#include "serverd/plan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/strbuf.h"
#include "serverd/plan_group.h"
#include "serverd/plan_hash.h"

/* The plan that is handed out, and what only this file needs to know of it. */
struct plan_block {
    struct plan plan; /* first: a plan is the start of its block */
    atomic_uint references;
    char **texts; /* [text_count]: of discovered targets and regions */
    size_t text_count, text_room;
};

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

/* The plan is this module's own while it is made. */
static struct plan_region *region_of(struct plan *plan, const char *name)
{
    return (struct plan_region *)(uintptr_t)plan_region_find(plan, name);
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
        r->private_count += agents[i].is_private;
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
    *e = (struct plan_entry){.kind = kind, .name = "", .icmp = icmp_spec_default(), .block = ""};
    e->targets = calloc(targets + 1, sizeof(*e->targets));
    if (!e->targets)
        return NULL;
    r->entry_count++;
    return e;
}

/* Notes for which regions with agents the file's entry is. */
static enum prober_error take_sources(struct plan *plan, struct plan_entry *e,
                                      const struct probe_entry *from)
{
    if (from->source_count == 0)
        return PROBER_OK;
    e->sources = calloc(plan->region_count / 64 + 1, sizeof(*e->sources));
    if (!e->sources)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < plan->region_count; i++)
        if (plan->regions[i].agent_count && probe_entry_takes_source(from, plan->regions[i].name))
            e->sources[i / 64] |= UINT64_C(1) << i % 64;
    return PROBER_OK;
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
        if (!settings)
            continue;
        e->icmp = settings->icmp;
        if (take_sources(plan, e, settings))
            return PROBER_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        struct plan_entry *e = &region_of(plan, agents[i].region)->entries[0];

        for (size_t k = 0; k < agents[i].address_count && k < WIRE_ADDRESSES_MAX; k++) {
            struct plan_target *t = &e->targets[e->target_count];

            t->address = agents[i].addresses[k];
            t->text = t->shown = keep_text(b, prober_addr_format(&t->address, text));
            if (!t->text)
                return PROBER_ERR_NOMEM;
            e->target_count++;
        }
    }
    return PROBER_OK;
}

static enum prober_error take_settings(struct plan_block *b, struct plan_entry *e,
                                       const struct probe_entry *from)
{
    struct strbuf block = STRBUF_INIT;

    e->line = from->line;
    e->icmp = from->icmp;
    e->name = keep_text(b, from->name);
    if (from->kind == PROBE_HTTP) {
        e->timeout_ns = from->timeout_ns;
        e->confidential = http_spec_is_confidential(from->http);
        http_spec_put(&block, from->http, true);
        e->block = strbuf_ok(&block) ? keep_text(b, block.bytes) : NULL;
        strbuf_free(&block);
    }
    return e->name && e->block ? take_sources(&b->plan, e, from) : PROBER_ERR_NOMEM;
}

static const char *keep_shown(struct plan_block *b, enum probe_kind kind, const char *text)
{
    struct strbuf shown = STRBUF_INIT;
    const char *kept;

    probe_target_put(&shown, kind, text);
    kept = strbuf_ok(&shown) ? keep_text(b, shown.bytes) : NULL;
    strbuf_free(&shown);
    return kept;
}

/* A URL is never an agent's own address: what listens there is not the agent. */
static enum prober_error add_target(struct plan_block *b, struct plan_entry *e, const char *text)
{
    struct plan_target *t = &e->targets[e->target_count];

    t->text = t->shown = keep_text(b, text);
    if (t->text && probe_target_is_confidential(e->kind, text)) {
        e->confidential = true;
        t->shown = keep_shown(b, e->kind, text);
    }
    if (!t->text || !t->shown)
        return PROBER_ERR_NOMEM;
    if (e->kind != PROBE_ICMP || prober_addr_parse(text, &t->address))
        t->address.family = PROBER_FAMILY_NONE;
    e->target_count++;
    return PROBER_OK;
}

/* Adds the file's entries: all but the ICMP ones of regions whose agents were discovered. */
static enum prober_error add_file(struct plan_block *b, const struct probe_spec *spec)
{
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; spec && i < spec->count && !err; i++) {
        const struct probe_entry *from = &spec->entries[i];
        struct plan_region *r = region_of(&b->plan, from->region);
        struct plan_entry *e;

        if (from->kind == PROBE_ICMP && r->entry_count && r->entries[0].discovered)
            continue;
        e = add_entry(r, from->kind, from->target_count);
        if (!e)
            return PROBER_ERR_NOMEM;
        err = take_settings(b, e, from);
        for (size_t k = 0; k < from->target_count && !err; k++)
            err = add_target(b, e, from->targets[k]);
    }
    return err;
}

static void add_places(struct plan *plan, size_t region, const struct plan_entry *e)
{
    for (size_t i = 0; i < e->target_count; i++)
        if (e->targets[i].address.family != PROBER_FAMILY_NONE)
            plan->places[plan->place_count++] =
                (struct plan_place){prober_addr_unmap(&e->targets[i].address), region};
}

static void count_targets(struct plan *plan)
{
    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++) {
            const struct plan_entry *e = &plan->regions[i].entries[k];

            *(e->kind == PROBE_ICMP ? &plan->target_count : &plan->http_target_count) +=
                e->target_count;
        }
}

static enum prober_error make_places(struct plan *plan)
{
    count_targets(plan);
    plan->places = calloc(plan->target_count + 1, sizeof(*plan->places));
    if (!plan->places)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++)
            if (plan->regions[i].entries[k].kind == PROBE_ICMP)
                add_places(plan, i, &plan->regions[i].entries[k]);
    qsort(plan->places, plan->place_count, sizeof(*plan->places), plan_place_compare);
    return PROBER_OK;
}

static void set_rotation(struct plan *plan)
{
    uint64_t step = plan->config.rotate_ns / PLAN_ROTATION_SLOTS;

    plan->rotates_at_real_ns = UINT64_MAX;
    if (plan->thinned && step)
        plan->rotates_at_real_ns = (plan->made_real_ns / step + 1) * step;
}

static void note_identities(struct plan *plan)
{
    const struct siphash_key *key = &plan->config.content_key;

    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++) {
            struct plan_entry *e = &plan->regions[i].entries[k];
            uint64_t named = plan_hash_text(key, 1, plan->regions[i].name);

            e->identity = plan_hash_settings(key, plan_hash_text(key, named, e->name), e);
        }
}

static size_t count_urls(const struct plan *plan, const struct plan_region *source)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++) {
            const struct plan_entry *e = &plan->regions[i].entries[k];

            if (e->kind == PROBE_HTTP && plan_reaches(plan, source, &plan->regions[i], e))
                count += e->target_count;
        }
    return count;
}

/* Gives the regions room for their URLs, in the order in which their first agents came. */
static void limit_urls(struct plan *plan, const struct plan_agent *agents, size_t count)
{
    uint64_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        struct plan_region *r = region_of(plan, agents[i].region);

        if (!prober_id_equal(&r->agents[0], &agents[i].id))
            continue;
        r->url_count = count_urls(plan, r);
        r->urls_refused = plan->config.urls_max && r->url_count > plan->config.urls_max - taken;
        plan->refused_count += r->urls_refused;
        taken += r->urls_refused ? 0 : r->url_count;
    }
}

static void count_withheld(struct plan *plan)
{
    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++) {
            struct plan_entry *e = &plan->regions[i].entries[k];

            for (size_t s = 0; e->confidential && s < plan->region_count; s++)
                if (plan_takes(plan, &plan->regions[s], &plan->regions[i], e))
                    e->withheld += plan->regions[s].agent_count - plan->regions[s].private_count;
            plan->withheld_entries += e->withheld > 0;
        }
}

static uint64_t digest_entry(const struct plan *plan, uint64_t h, const struct plan_entry *e)
{
    const struct siphash_key *key = &plan->config.content_key;

    h = plan_hash_u64(key, h, e->identity);
    h = plan_hash_u64(key, h, 4 * e->target_count + 2 * e->confidential + e->discovered);
    if (e->sources)
        h = plan_hash(key, h, e->sources, (plan->region_count / 64 + 1) * sizeof(*e->sources));
    for (size_t i = 0; i < e->target_count; i++)
        h = plan_hash_text(key, h, e->targets[i].text);
    return h;
}

static uint64_t digest(const struct plan *plan)
{
    const struct siphash_key *key = &plan->config.content_key;
    uint64_t h = plan_hash_u64(key, 0, plan->config.probe_self + 2u * plan->thinned);

    if (plan->thinned) {
        h = plan_hash_u64(key, h, plan->config.agents_per_pair);
        h = plan_hash_u64(key, h, plan->config.targets_per_pair);
        h = plan_hash_u64(key, h, plan->rotates_at_real_ns);
    }
    for (size_t i = 0; i < plan->region_count; i++) {
        const struct plan_region *r = &plan->regions[i];

        h = plan_hash_text(key, h, r->name);
        h = plan_hash(key, h, r->agents, r->agent_count * sizeof(*r->agents));
        h = plan_hash_u64(key, h, 2 * r->private_count + r->urls_refused);
        h = plan_hash_u64(key, h, r->entry_count);
        for (size_t k = 0; k < r->entry_count; k++)
            h = digest_entry(plan, h, &r->entries[k]);
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
    if (!err)
        err = plan_group_targets(&b->plan);
    if (!err)
        err = make_places(&b->plan);
    if (err)
        goto out;
    limit_urls(&b->plan, agents, count);
    set_rotation(&b->plan);
    note_identities(&b->plan);
    count_withheld(&b->plan);
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
        for (size_t k = 0; k < b->plan.regions[i].entry_count; k++) {
            free(b->plan.regions[i].entries[k].targets);
            free(b->plan.regions[i].entries[k].sources);
        }
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
