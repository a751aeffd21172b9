#include "agentd/targets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"

enum verdict {
    VERDICT_PROBE,
    VERDICT_RESOLVING,
    VERDICT_OWN,
    VERDICT_DENIED,
    VERDICT_REFUSED,
    VERDICT_COUNT
};

struct target {
    struct agent_plan_target spec; /* its texts are those of `name` */
    struct target_name *name;      /* for the next probe */
    struct target *chain;          /* in its bucket */
    uint64_t generation;           /* of the plan that last wanted it */
    enum verdict verdict;
    struct targets_probe *probe; /* NULL: not in the engine */
    struct prober_addr address;  /* family NONE: not resolved */
    /* of names */
    bool name_used; /* a probe has this name already */
    bool is_name, resolved;
    bool queued, asking, answered; /* at most one of these */
    bool gone;                     /* no longer wanted, but a look-up still names it */
    uint64_t resolve_ns, good_ns;
    struct resolver_answer answer;
    struct target *next_queued, *next_answered;
    struct targets *owner;
};

struct targets {
    struct targets_config config;
    struct siphash_key key;
    struct target **buckets;
    size_t bucket_count; /* a power of 2 */
    size_t count, asking;
    uint64_t generation;
    uint64_t by_verdict[VERDICT_COUNT];
    uint64_t lookups[RESOLVER_STATUS_COUNT];
    struct target *queue, **queue_end; /* names to look up */
    struct target *answered;           /* whose look-up ended */
    struct targets_probe *probes;
};

enum prober_error targets_create(struct targets **out, const struct targets_config *config)
{
    struct targets *t = calloc(1, sizeof(*t));

    if (!t)
        return PROBER_ERR_NOMEM;
    t->bucket_count = 64;
    t->buckets = calloc(t->bucket_count, sizeof(*t->buckets));
    if (!t->buckets) {
        free(t);
        return PROBER_ERR_NOMEM;
    }
    t->config = *config;
    policy_get(t->config.policy);
    random_bytes(&t->key, sizeof(t->key));
    t->queue_end = &t->queue;
    *out = t;
    return PROBER_OK;
}

/* ---- probes ---- */

static void probe_free(struct targets_probe *p)
{
    target_name_put(p->name);
    free(p);
}

void targets_probe_removed(struct targets_probe *probe)
{
    if (probe->previous)
        probe->previous->next = probe->next;
    else
        probe->owner->probes = probe->next;
    if (probe->next)
        probe->next->previous = probe->previous;
    probe_free(probe);
}

static struct targets_probe *probe_create(struct targets *t, struct target *target)
{
    struct targets_probe *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->name = target_name_get(target->name);
    p->owner = t;
    p->next = t->probes;
    if (p->next)
        p->next->previous = p;
    t->probes = p;
    return p;
}

/* Results of two probes of a target may fall into one window: so that none takes the other's place,
 * each has a name, and by it a number, of its own. */
static bool renew_name(struct target *target)
{
    struct target_name *old = target->name, *name;

    if (!target->name_used)
        return true;
    name = target_name_create(old->region, old->target, old->control);
    if (!name)
        return false;
    target->name = name;
    target->name_used = false;
    target->spec.region = name->region;
    target->spec.target = name->target;
    target_name_put(old);
    return true;
}

static uint64_t phase_of(const struct targets *t, const struct target *target)
{
    uint64_t parts[2] = {
        siphash24(&t->config.phase_key, target->spec.region, strlen(target->spec.region)),
        siphash24(&t->config.phase_key, target->spec.target, strlen(target->spec.target))};

    return siphash24(&t->config.phase_key, parts, sizeof(parts));
}

static enum prober_error probe_start(struct targets *t, struct target *target,
                                     const struct clock_reading *now)
{
    const struct wire_icmp_spec *spec = &target->spec.icmp;
    struct icmp_target it = {.address = target->address,
                             .payload_size = spec->payload_size,
                             .count = spec->packet_count,
                             .gap_ns = spec->interval_ns,
                             .timeout_ns =
                                 spec->timeout_ns ? spec->timeout_ns : t->config.timeout_ns,
                             .phase = phase_of(t, target)};
    struct targets_probe *p = renew_name(target) ? probe_create(t, target) : NULL;
    enum prober_error err;

    if (!p)
        return PROBER_ERR_NOMEM;
    target->name_used = true;
    p->resolve_ns = target->resolve_ns;
    it.user = p;
    err = icmp_engine_add(t->config.engine, &it, now, &p->id);
    if (err)
        targets_probe_removed(p);
    else
        target->probe = p;
    return err;
}

static void probe_stop(struct targets *t, struct target *target)
{
    struct targets_probe *p = target->probe;

    /* The engine may let the probe go inside the call. */
    target->probe = NULL;
    if (p)
        icmp_engine_remove(t->config.engine, p->id);
}

/* ---- judging ---- */

static void set_verdict(struct targets *t, struct target *target, enum verdict verdict)
{
    t->by_verdict[target->verdict]--;
    target->verdict = verdict;
    t->by_verdict[verdict]++;
}

static enum verdict judge(const struct targets *t, const struct target *target)
{
    if (target->is_name && !target->resolved)
        return VERDICT_RESOLVING;
    if (!target->address.family)
        return VERDICT_PROBE;
    if (own_holds(t->config.own, &target->address))
        return VERDICT_OWN;
    if (!policy_permits(t->config.policy, &target->address))
        return VERDICT_DENIED;
    return VERDICT_PROBE;
}

/* Brings the engine in line with what is known of the target. */
static void place(struct targets *t, struct target *target, const struct clock_reading *now)
{
    enum verdict verdict = judge(t, target);

    if (verdict != VERDICT_PROBE) {
        probe_stop(t, target);
    } else if (target->probe) {
        target->probe->resolve_ns = target->resolve_ns;
        icmp_engine_set_address(t->config.engine, target->probe->id, &target->address);
    } else if (probe_start(t, target, now)) {
        verdict = VERDICT_REFUSED;
    }
    set_verdict(t, target, verdict);
}

static void each_target(struct targets *t,
                        void (*visit)(struct targets *t, struct target *target,
                                      const struct clock_reading *now),
                        const struct clock_reading *now)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct target *target = t->buckets[i]; target; target = target->chain)
            visit(t, target, now);
}

void targets_set_policy(struct targets *t, struct policy *policy)
{
    policy_get(policy);
    policy_put(t->config.policy);
    t->config.policy = policy;
}

static void review(struct targets *t, struct target *target, const struct clock_reading *now)
{
    enum verdict verdict = judge(t, target);

    if (verdict != target->verdict &&
        !(verdict == VERDICT_PROBE && target->verdict == VERDICT_REFUSED))
        place(t, target, now);
}

void targets_review(struct targets *t, const struct clock_reading *now)
{
    each_target(t, review, now);
}

/* ---- look-ups ---- */

static void enqueue(struct targets *t, struct target *target)
{
    if (target->queued || target->asking || target->answered)
        return;
    target->queued = true;
    target->next_queued = NULL;
    *t->queue_end = target;
    t->queue_end = &target->next_queued;
}

static void refresh(struct targets *t, struct target *target, const struct clock_reading *now)
{
    (void)now;
    if (target->is_name)
        enqueue(t, target);
}

void targets_refresh(struct targets *t)
{
    each_target(t, refresh, NULL);
}

static void target_free(struct target *target)
{
    target_name_put(target->name);
    free(target);
}

static void lookup_done(void *context, const struct resolver_answer *answer)
{
    struct target *target = context;
    struct targets *t = target->owner;

    target->asking = false;
    t->asking--;
    if ((unsigned)answer->status < RESOLVER_STATUS_COUNT)
        t->lookups[answer->status]++;
    target->answer = *answer;
    target->answered = true;
    target->next_answered = t->answered;
    t->answered = target;
}

/* Name servers that do not answer say nothing about the name: it keeps its address for a while. An
 * answer that there is no such name, or no address, is believed at once. */
static bool keeps_address(const struct target *target, const struct clock_reading *now)
{
    enum resolver_status status = target->answer.status;

    if (status == RESOLVER_NXDOMAIN || status == RESOLVER_NODATA || status == RESOLVER_BAD_NAME)
        return false;
    return target->good_ns && now->mono_ns - target->good_ns < TARGETS_ADDRESS_HOLD_NS;
}

static void take_answer(struct targets *t, struct target *target, const struct clock_reading *now)
{
    target->answered = false;
    if (target->gone) {
        target_free(target);
        return;
    }
    if (target->answer.status == RESOLVER_CANCELLED)
        return;
    if (target->answer.status == RESOLVER_OK) {
        target->address = target->answer.address;
        target->resolve_ns = target->answer.elapsed_ns;
        target->good_ns = now->mono_ns;
    } else if (!keeps_address(target, now)) {
        target->address = (struct prober_addr){0};
        target->good_ns = 0;
    }
    target->resolved = true;
    place(t, target, now);
}

static void start_lookups(struct targets *t, const struct clock_reading *now)
{
    while (t->queue && t->asking < TARGETS_LOOKUPS_MAX) {
        struct target *target = t->queue;

        t->queue = target->next_queued;
        if (!t->queue)
            t->queue_end = &t->queue;
        target->queued = false;
        if (target->gone) {
            target_free(target);
            continue;
        }
        target->asking = true;
        t->asking++;
        resolver_lookup(t->config.resolver, target->spec.target,
                        (enum prober_family)target->spec.icmp.family, false, now->mono_ns,
                        lookup_done, target);
    }
}

void targets_step(struct targets *t, const struct clock_reading *now)
{
    start_lookups(t, now);
    while (t->answered) {
        struct target *target = t->answered;

        t->answered = target->next_answered;
        take_answer(t, target, now);
    }
}

/* ---- plans ---- */

static struct target **find(struct targets *t, const struct agent_plan_target *spec)
{
    size_t at = agent_plan_target_hash(spec, &t->key) & (t->bucket_count - 1);
    struct target **p = &t->buckets[at];

    while (*p && !agent_plan_target_equal(&(*p)->spec, spec))
        p = &(*p)->chain;
    return p;
}

/* A table that cannot grow stays right, and gets slower. */
static void grow(struct targets *t)
{
    size_t count = t->bucket_count * 2;
    struct target **buckets = calloc(count, sizeof(*buckets));

    if (!buckets)
        return;
    for (size_t i = 0; i < t->bucket_count; i++)
        while (t->buckets[i]) {
            struct target *target = t->buckets[i];
            size_t at = agent_plan_target_hash(&target->spec, &t->key) & (count - 1);

            t->buckets[i] = target->chain;
            target->chain = buckets[at];
            buckets[at] = target;
        }
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
}

static enum prober_error insert(struct targets *t, const struct agent_plan_target *spec,
                                const struct clock_reading *now)
{
    struct target *target = calloc(1, sizeof(*target)), **p;

    if (!target)
        return PROBER_ERR_NOMEM;
    target->name = target_name_create(spec->region, spec->target, spec->control);
    if (!target->name) {
        free(target);
        return PROBER_ERR_NOMEM;
    }
    if (t->count >= t->bucket_count)
        grow(t);
    target->spec = *spec;
    target->spec.region = target->name->region;
    target->spec.target = target->name->target;
    target->owner = t;
    target->generation = t->generation;
    p = find(t, spec);
    *p = target;
    t->count++;
    target->verdict = VERDICT_RESOLVING;
    t->by_verdict[VERDICT_RESOLVING]++;
    target->is_name = prober_addr_parse(spec->target, &target->address) != PROBER_OK;
    if (target->is_name)
        enqueue(t, target);
    else
        place(t, target, now);
    return PROBER_OK;
}

/* Takes out what *p points to. */
static void drop(struct targets *t, struct target **p)
{
    struct target *target = *p;

    *p = target->chain;
    t->count--;
    t->by_verdict[target->verdict]--;
    probe_stop(t, target);
    target->gone = true;
    if (!target->queued && !target->asking && !target->answered)
        target_free(target);
}

static void drop_unwanted(struct targets *t)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct target **p = &t->buckets[i]; *p;)
            if ((*p)->generation != t->generation)
                drop(t, p);
            else
                p = &(*p)->chain;
}

enum prober_error targets_apply(struct targets *t, const struct agent_plan *plan,
                                const struct clock_reading *now)
{
    enum prober_error err = PROBER_OK;

    t->generation++;
    for (size_t i = 0; i < plan->target_count; i++) {
        struct target *have = *find(t, &plan->targets[i]);

        if (have)
            have->generation = t->generation;
        else if (insert(t, &plan->targets[i], now))
            err = PROBER_ERR_NOMEM;
    }
    drop_unwanted(t);
    return err;
}

void targets_clear(struct targets *t)
{
    t->generation++;
    drop_unwanted(t);
}

void targets_counts(const struct targets *t, struct targets_counts *out)
{
    *out = (struct targets_counts){.planned = t->count,
                                   .probed = t->by_verdict[VERDICT_PROBE],
                                   .resolving = t->by_verdict[VERDICT_RESOLVING],
                                   .own = t->by_verdict[VERDICT_OWN],
                                   .denied = t->by_verdict[VERDICT_DENIED],
                                   .refused = t->by_verdict[VERDICT_REFUSED]};
    memcpy(out->lookups, t->lookups, sizeof(out->lookups));
}

static void free_gone(struct targets *t)
{
    while (t->answered) {
        struct target *target = t->answered;

        t->answered = target->next_answered;
        if (target->gone)
            target_free(target);
    }
    while (t->queue) {
        struct target *target = t->queue;

        t->queue = target->next_queued;
        if (target->gone)
            target_free(target);
    }
}

void targets_destroy(struct targets *t)
{
    if (!t)
        return;
    free_gone(t);
    for (size_t i = 0; i < t->bucket_count; i++)
        while (t->buckets[i]) {
            struct target *target = t->buckets[i];

            t->buckets[i] = target->chain;
            target_free(target);
        }
    while (t->probes) {
        struct targets_probe *p = t->probes;

        t->probes = p->next;
        probe_free(p);
    }
    policy_put(t->config.policy);
    free(t->buckets);
    free(t);
}
