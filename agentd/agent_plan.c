#include "agentd/agent_plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/problems.h"
#include "common/random.h"
#include "libprober/icmp_engine.h"
#include "libprober/spec.h"

#define COUNT_MAX 65535u
#define TIMEOUT_MAX_NS (60 * CLOCK_NS_PER_S)
#define HTTP_TIMEOUT_MAX_NS (3600 * CLOCK_NS_PER_S)

static uint32_t bound(uint32_t value, uint32_t fallback, uint32_t min, uint32_t max)
{
    if (value == 0)
        return fallback;
    return value < min ? min : value > max ? max : value;
}

static struct wire_icmp_spec bounded_spec(const struct wire_icmp_spec *s)
{
    struct wire_icmp_spec out = *s;

    out.payload_size =
        bound(s->payload_size, ICMP_SPEC_PAYLOAD_DEFAULT, ICMP_PAYLOAD_MIN, ICMP_PAYLOAD_MAX);
    out.packet_count = bound(s->packet_count, ICMP_SPEC_COUNT_DEFAULT, 1, COUNT_MAX);
    if (out.timeout_ns > TIMEOUT_MAX_NS)
        out.timeout_ns = TIMEOUT_MAX_NS;
    if (out.timeout_ns && out.timeout_ns < CLOCK_NS_PER_MS)
        out.timeout_ns = CLOCK_NS_PER_MS;
    out.family = s->family == PROBER_FAMILY_IPV6 ? PROBER_FAMILY_IPV6 : PROBER_FAMILY_IPV4;
    return out;
}

uint64_t agent_plan_target_hash(const struct agent_plan_target *t, const struct siphash_key *key)
{
    uint64_t parts[] = {siphash24(key, t->region, strlen(t->region)),
                        siphash24(key, t->target, strlen(t->target)),
                        t->control,
                        t->icmp.payload_size,
                        t->icmp.packet_count,
                        t->icmp.interval_ns,
                        t->icmp.timeout_ns,
                        t->icmp.family};

    return siphash24(key, parts, sizeof(parts));
}

bool agent_plan_target_equal(const struct agent_plan_target *a, const struct agent_plan_target *b)
{
    return a->control == b->control && a->icmp.payload_size == b->icmp.payload_size &&
           a->icmp.packet_count == b->icmp.packet_count &&
           a->icmp.interval_ns == b->icmp.interval_ns && a->icmp.timeout_ns == b->icmp.timeout_ns &&
           a->icmp.family == b->icmp.family && strcmp(a->target, b->target) == 0 &&
           strcmp(a->region, b->region) == 0;
}

/* A block of the message, read once however many entries have it. */
struct block_in_plan {
    const char *text;         /* the message's, while the plan is made */
    struct http_block *block; /* NULL: it cannot be read */
};

/* The plan that is handed out, and what only this file needs to know of it. */
struct plan_block {
    struct agent_plan plan;
    atomic_uint references;
    void *memory;                 /* targets and texts */
    struct block_in_plan *blocks; /* [block_count] */
    size_t block_count;
};

struct sizes {
    size_t targets, http_targets, http_entries, text;
};

static struct sizes measure(const struct wire_plan *message)
{
    struct sizes n = {0};

    for (size_t i = 0; i < message->entry_count; i++) {
        const struct wire_plan_entry *e = &message->entries[i];

        n.text += strlen(e->region) + 1;
        for (size_t j = 0; j < e->target_count; j++)
            n.text += strlen(e->targets[j]) + 1;
        if (e->kind == WIRE_KIND_ICMP) {
            n.targets += e->target_count;
        } else if (e->kind == WIRE_KIND_HTTP) {
            n.http_targets += e->target_count;
            n.http_entries++;
        }
    }
    return n;
}

/* Open addressing over indexes + 1 into an array that grows meanwhile. */
struct seen {
    struct siphash_key key;
    uint32_t *slots;
    size_t mask;
};

static bool seen_init(struct seen *seen, size_t count)
{
    size_t slots = 16;

    while (slots < count * 2)
        slots *= 2;
    random_bytes(&seen->key, sizeof(seen->key));
    seen->mask = slots - 1;
    seen->slots = calloc(slots, sizeof(*seen->slots));
    return seen->slots != NULL;
}

struct builder {
    struct plan_block *block;
    struct agent_plan_target *targets;
    struct agent_plan_http_target *http_targets;
    char *text; /* where the next text goes */
    struct problems *problems;
    struct seen icmp, http, blocks; /* what is in the three arrays */
};

static const char *keep_text(struct builder *b, const char *text)
{
    size_t len = strlen(text) + 1;
    char *kept = memcpy(b->text, text, len);

    b->text += len;
    return kept;
}

/* ---- ICMP ---- */

/* The slot of the target that equals `t`, or an empty one for it. */
static uint32_t *icmp_slot(struct builder *b, const struct agent_plan_target *t)
{
    size_t at = agent_plan_target_hash(t, &b->icmp.key) & b->icmp.mask;

    while (b->icmp.slots[at] && !agent_plan_target_equal(&b->targets[b->icmp.slots[at] - 1], t))
        at = (at + 1) & b->icmp.mask;
    return &b->icmp.slots[at];
}

static enum prober_error take_icmp(struct builder *b, const struct wire_plan_entry *e)
{
    struct agent_plan *plan = &b->block->plan;
    const char *region = keep_text(b, e->region);

    for (size_t i = 0; i < e->target_count; i++) {
        struct agent_plan_target t = {region, e->targets[i], e->control, bounded_spec(&e->icmp)};
        uint32_t *slot = icmp_slot(b, &t);

        if (*slot) {
            plan->doubles++;
            continue;
        }
        t.target = keep_text(b, t.target);
        b->targets[plan->target_count++] = t;
        *slot = (uint32_t)plan->target_count;
    }
    return PROBER_OK;
}

/* ---- HTTP ---- */

static uint32_t *block_slot(struct builder *b, const char *text)
{
    size_t at = siphash24(&b->blocks.key, text, strlen(text)) & b->blocks.mask;

    while (b->blocks.slots[at] && strcmp(b->block->blocks[b->blocks.slots[at] - 1].text, text) != 0)
        at = (at + 1) & b->blocks.mask;
    return &b->blocks.slots[at];
}

static void tell_bad(struct builder *b, const char *region)
{
    struct agent_plan *plan = &b->block->plan;
    struct prober_failure why;

    if (plan->bad_entries++ == 0 && problems_failure(b->problems, &why))
        prober_fail(&plan->bad, why.code, "region '%s': %s", region, why.text);
}

/* Stores the entry's block, NULL if it cannot be read. */
static enum prober_error take_block(struct builder *b, const struct wire_plan_entry *e,
                                    struct http_block **out)
{
    uint32_t *slot = block_slot(b, e->http.block);
    struct block_in_plan *block;

    if (!*slot) {
        block = &b->block->blocks[b->block->block_count];
        block->text = e->http.block;
        if (http_block_create(&block->block, block->text, b->problems) == PROBER_ERR_NOMEM)
            return PROBER_ERR_NOMEM;
        *slot = (uint32_t)++b->block->block_count;
    }
    *out = b->block->blocks[*slot - 1].block;
    return PROBER_OK;
}

static uint32_t *http_slot(struct builder *b, const struct agent_plan_http_target *t)
{
    const uint64_t parts[] = {siphash24(&b->http.key, t->region, strlen(t->region)),
                              siphash24(&b->http.key, t->target, strlen(t->target))};
    size_t at = siphash24(&b->http.key, parts, sizeof(parts)) & b->http.mask;

    for (; b->http.slots[at]; at = (at + 1) & b->http.mask) {
        const struct agent_plan_http_target *other = &b->http_targets[b->http.slots[at] - 1];

        if (strcmp(other->target, t->target) == 0 && strcmp(other->region, t->region) == 0)
            break;
    }
    return &b->http.slots[at];
}

static uint64_t bounded_timeout(uint64_t ns)
{
    if (ns > HTTP_TIMEOUT_MAX_NS)
        return HTTP_TIMEOUT_MAX_NS;
    return ns && ns < CLOCK_NS_PER_MS ? CLOCK_NS_PER_MS : ns;
}

static enum prober_error take_http(struct builder *b, const struct wire_plan_entry *e)
{
    struct agent_plan *plan = &b->block->plan;
    struct agent_plan_http_target t = {.timeout_ns = bounded_timeout(e->http.timeout_ns)};
    enum prober_error err = take_block(b, e, &t.block);

    if (err)
        return err;
    if (!t.block) {
        tell_bad(b, e->region);
        return PROBER_OK;
    }
    t.region = keep_text(b, e->region);
    for (size_t i = 0; i < e->target_count; i++) {
        uint32_t *slot;

        t.target = e->targets[i];
        slot = http_slot(b, &t);
        if (*slot) {
            plan->doubles++;
            continue;
        }
        t.target = keep_text(b, t.target);
        b->http_targets[plan->http_target_count++] = t;
        *slot = (uint32_t)plan->http_target_count;
    }
    return PROBER_OK;
}

/* ---- both ---- */

static const struct kind {
    uint32_t kind;
    enum prober_error (*take)(struct builder *b, const struct wire_plan_entry *e);
} kinds[] = {
    {WIRE_KIND_ICMP, take_icmp},
    {WIRE_KIND_HTTP, take_http},
};

static enum prober_error take_entry(struct builder *b, const struct wire_plan_entry *e)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].kind == e->kind)
            return kinds[i].take(b, e);
    b->block->plan.skipped += e->target_count;
    return PROBER_OK;
}

/* Makes room for the plan and for what is needed only to make it. */
static enum prober_error begin(struct builder *b, const struct wire_plan *message)
{
    struct sizes n = measure(message);
    struct plan_block *block = calloc(1, sizeof(*block));
    size_t icmp = n.targets * sizeof(*b->targets), http = n.http_targets * sizeof(*b->http_targets);

    if (!block)
        return PROBER_ERR_NOMEM;
    b->block = block;
    atomic_init(&block->references, 1);
    block->memory = calloc(1, icmp + http + n.text + 1);
    block->blocks = calloc(n.http_entries + 1, sizeof(*block->blocks));
    if (!block->memory || !block->blocks || !seen_init(&b->icmp, n.targets) ||
        !seen_init(&b->http, n.http_targets) || !seen_init(&b->blocks, n.http_entries) ||
        problems_create(&b->problems))
        return PROBER_ERR_NOMEM;
    b->targets = block->memory;
    b->http_targets = (struct agent_plan_http_target *)((char *)block->memory + icmp);
    b->text = (char *)block->memory + icmp + http;
    block->plan.targets = b->targets;
    block->plan.http_targets = b->http_targets;
    return PROBER_OK;
}

enum prober_error agent_plan_create(struct agent_plan **out, uint64_t revision,
                                    const struct wire_plan *message)
{
    struct builder b = {.block = NULL};
    enum prober_error err = begin(&b, message);

    for (size_t i = 0; !err && i < message->entry_count; i++)
        err = take_entry(&b, &message->entries[i]);
    if (err)
        goto out;
    b.block->plan.revision = revision;
    *out = &b.block->plan;
    b.block = NULL;
out:
    if (b.block)
        agent_plan_put(&b.block->plan);
    problems_destroy(b.problems);
    free(b.icmp.slots);
    free(b.http.slots);
    free(b.blocks.slots);
    return err;
}

static struct plan_block *block_of(struct agent_plan *plan)
{
    return CONTAINER_OF(plan, struct plan_block, plan);
}

struct agent_plan *agent_plan_get(struct agent_plan *plan)
{
    atomic_fetch_add_explicit(&block_of(plan)->references, 1, memory_order_relaxed);
    return plan;
}

void agent_plan_put(struct agent_plan *plan)
{
    struct plan_block *block = plan ? block_of(plan) : NULL;

    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < block->block_count; i++)
        http_block_put(block->blocks[i].block);
    free(block->blocks);
    free(block->memory);
    free(block);
}

void agent_plan_board_offer(struct agent_plan_board *board, struct agent_plan *plan)
{
    agent_plan_put(atomic_exchange(&board->offered, plan));
}

struct agent_plan *agent_plan_board_take(struct agent_plan_board *board)
{
    return atomic_exchange(&board->offered, NULL);
}
