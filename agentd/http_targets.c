#include "agentd/http_targets.h"

#include <stdlib.h>
#include <string.h>

#include "common/random.h"

struct target {
    struct target_name *name;
    struct http_shared_kind *kind;
    uint64_t timeout_ns;  /* of the plan; 0: the agent's */
    uint64_t due_ns;      /* of its next probe; in the past while that waits to be started */
    size_t place;         /* in the heap */
    struct target *chain; /* in its bucket */
    uint64_t generation;  /* of the plan that last wanted it */
};

struct http_targets {
    struct http_targets_config config;
    struct siphash_key key;
    uint64_t start_ns;
    uint64_t generation;
    struct target **buckets;
    size_t bucket_count;  /* a power of 2 */
    struct target **heap; /* [count]: a heap, what is due first comes first */
    size_t count, room, unusable;
};

enum prober_error http_targets_create(struct http_targets **out,
                                      const struct http_targets_config *config, uint64_t now_ns)
{
    struct http_targets *t = calloc(1, sizeof(*t));

    if (!t)
        return PROBER_ERR_NOMEM;
    t->bucket_count = 64;
    t->buckets = calloc(t->bucket_count, sizeof(struct target *));
    if (!t->buckets) {
        free(t);
        return PROBER_ERR_NOMEM;
    }
    t->config = *config;
    t->start_ns = now_ns;
    random_bytes(&t->key, sizeof(t->key));
    *out = t;
    return PROBER_OK;
}

/* ---- the heap of what is due ---- */

static void put_at(struct http_targets *t, size_t place, struct target *target)
{
    t->heap[place] = target;
    target->place = place;
}

static void sift(struct http_targets *t, size_t place, struct target *target)
{
    while (place > 0 && t->heap[(place - 1) / 2]->due_ns > target->due_ns) {
        put_at(t, place, t->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (size_t child; (child = 2 * place + 1) < t->count; place = child) {
        if (child + 1 < t->count && t->heap[child + 1]->due_ns < t->heap[child]->due_ns)
            child++;
        if (t->heap[child]->due_ns >= target->due_ns)
            break;
        put_at(t, place, t->heap[child]);
    }
    put_at(t, place, target);
}

static bool make_room(struct http_targets *t)
{
    size_t room = t->room ? 2 * t->room : 64;
    struct target **heap;

    if (t->count < t->room)
        return true;
    heap = realloc(t->heap, room * sizeof(struct target *));
    if (!heap)
        return false;
    t->heap = heap;
    t->room = room;
    return true;
}

static void remove_from_heap(struct http_targets *t, struct target *target)
{
    struct target *last = t->heap[--t->count];

    if (last != target)
        sift(t, target->place, last);
}

/* ---- the table ---- */

static size_t bucket_of(const struct http_targets *t, const char *region, const char *name)
{
    uint64_t parts[2] = {siphash24(&t->key, region, strlen(region)),
                         siphash24(&t->key, name, strlen(name))};

    return siphash24(&t->key, parts, sizeof(parts)) & (t->bucket_count - 1);
}

static bool is_same(const struct target *target, const struct agent_plan_http_target *wanted,
                    const struct http_shared_kind *kind)
{
    return target->kind == kind && target->timeout_ns == wanted->timeout_ns &&
           strcmp(target->name->target, wanted->target) == 0 &&
           strcmp(target->name->region, wanted->region) == 0;
}

static struct target *find(const struct http_targets *t,
                           const struct agent_plan_http_target *wanted,
                           const struct http_shared_kind *kind)
{
    struct target *target = t->buckets[bucket_of(t, wanted->region, wanted->target)];

    while (target && !is_same(target, wanted, kind))
        target = target->chain;
    return target;
}

static void put_in_bucket(struct http_targets *t, struct target *target)
{
    struct target **bucket = &t->buckets[bucket_of(t, target->name->region, target->name->target)];

    target->chain = *bucket;
    *bucket = target;
}

/* A table that cannot grow stays right, and gets slower. */
static void grow(struct http_targets *t)
{
    struct target **buckets = calloc(2 * t->bucket_count, sizeof(struct target *));

    if (!buckets)
        return;
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count *= 2;
    for (size_t i = 0; i < t->count; i++)
        put_in_bucket(t, t->heap[i]);
}

/* ---- time ---- */

/* The first time after now_ns that is at the target's phase. */
static uint64_t first_due(const struct http_targets *t, const struct target_name *name,
                          uint64_t now_ns)
{
    const struct siphash_key *key = &t->config.phase_key;
    uint64_t parts[2] = {siphash24(key, name->region, strlen(name->region)),
                         siphash24(key, name->target, strlen(name->target))};
    uint64_t interval_ns = t->config.interval_ns;
    uint64_t at_ns = t->start_ns + siphash24(key, parts, sizeof(parts)) % interval_ns;

    if (at_ns <= now_ns)
        at_ns += ((now_ns - at_ns) / interval_ns + 1) * interval_ns;
    return at_ns;
}

/* Moves the target on to the first interval after now_ns, and says what is due until then. */
static void take(struct http_targets *t, struct target *target, uint64_t now_ns,
                 struct http_due *out)
{
    uint64_t interval_ns = t->config.interval_ns;
    uint64_t missed = (now_ns - target->due_ns) / interval_ns;

    *out = (struct http_due){.name = target->name,
                             .kind = target->kind,
                             .timeout_ns =
                                 target->timeout_ns ? target->timeout_ns : t->config.timeout_ns,
                             .missed = missed < UINT32_MAX ? (uint32_t)missed : UINT32_MAX};
    if (out->timeout_ns > interval_ns)
        out->timeout_ns = interval_ns;
    target->due_ns += (missed + 1) * interval_ns;
}

uint64_t http_targets_next_ns(const struct http_targets *t)
{
    return t->count ? t->heap[0]->due_ns : UINT64_MAX;
}

bool http_targets_take(struct http_targets *t, uint64_t now_ns, struct http_due *out)
{
    if (http_targets_next_ns(t) > now_ns)
        return false;
    take(t, t->heap[0], now_ns, out);
    sift(t, 0, t->heap[0]);
    return true;
}

/* ---- plans ---- */

static void target_free(struct target *target)
{
    target_name_put(target->name);
    http_shared_kind_release(target->kind);
    free(target);
}

static enum prober_error insert(struct http_targets *t, const struct agent_plan_http_target *wanted,
                                struct http_shared_kind *kind, uint64_t now_ns)
{
    struct target *target = make_room(t) ? calloc(1, sizeof(*target)) : NULL;

    if (!target)
        return PROBER_ERR_NOMEM;
    target->name = target_name_create(wanted->region, wanted->target, false);
    if (!target->name) {
        free(target);
        return PROBER_ERR_NOMEM;
    }
    target->kind = http_shared_kind_hold(kind);
    target->timeout_ns = wanted->timeout_ns;
    target->generation = t->generation;
    target->due_ns = first_due(t, target->name, now_ns);
    if (t->count >= t->bucket_count)
        grow(t);
    put_in_bucket(t, target);
    t->count++;
    sift(t, t->count - 1, target);
    t->unusable += !kind->kind;
    return PROBER_OK;
}

static enum prober_error want(struct http_targets *t, const struct agent_plan_http_target *wanted,
                              uint64_t now_ns)
{
    bool is_new;
    struct http_shared_kind *kind = http_kinds_get(t->config.kinds, wanted->block, &is_new);
    struct target *have = kind ? find(t, wanted, kind) : NULL;
    enum prober_error err = PROBER_OK;

    if (!kind)
        return PROBER_ERR_NOMEM;
    if (is_new && !kind->kind)
        t->config.unusable(t->config.context, wanted, kind);
    if (have)
        have->generation = t->generation;
    else
        err = insert(t, wanted, kind, now_ns);
    http_shared_kind_release(kind);
    return err;
}

/* Takes out what *at points to. */
static void drop(struct http_targets *t, struct target **at, uint64_t now_ns)
{
    struct target *target = *at;
    struct http_due due;

    *at = target->chain;
    if (target->due_ns <= now_ns) {
        take(t, target, now_ns, &due);
        t->config.gone(t->config.context, &due);
    }
    remove_from_heap(t, target);
    t->unusable -= !target->kind->kind;
    target_free(target);
}

static void drop_unwanted(struct http_targets *t, uint64_t now_ns)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct target **at = &t->buckets[i]; *at;)
            if ((*at)->generation != t->generation)
                drop(t, at, now_ns);
            else
                at = &(*at)->chain;
}

enum prober_error http_targets_apply(struct http_targets *t, const struct agent_plan *plan,
                                     uint64_t now_ns)
{
    enum prober_error err = PROBER_OK;

    t->generation++;
    for (size_t i = 0; i < plan->http_target_count; i++)
        if (want(t, &plan->http_targets[i], now_ns))
            err = PROBER_ERR_NOMEM;
    drop_unwanted(t, now_ns);
    return err;
}

void http_targets_clear(struct http_targets *t, uint64_t now_ns)
{
    t->generation++;
    drop_unwanted(t, now_ns);
}

void http_targets_counts(const struct http_targets *t, struct http_targets_counts *out)
{
    *out = (struct http_targets_counts){.planned = t->count, .unusable = t->unusable};
}

void http_targets_destroy(struct http_targets *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        target_free(t->heap[i]);
    free(t->heap);
    free(t->buckets);
    free(t);
}
