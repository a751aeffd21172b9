#include "agentd/agent_plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/random.h"
#include "libprober/icmp_engine.h"
#include "libprober/spec.h"

#define COUNT_MAX 65535u
#define TIMEOUT_MAX_NS (60 * CLOCK_NS_PER_S)

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

struct sizes {
    size_t targets, text, slots;
};

static struct sizes measure(const struct wire_plan *message)
{
    struct sizes n = {.slots = 16};

    for (size_t i = 0; i < message->entry_count; i++) {
        const struct wire_plan_entry *e = &message->entries[i];

        n.text += strlen(e->region) + 1;
        n.targets += e->target_count;
        for (size_t j = 0; j < e->target_count; j++)
            n.text += strlen(e->targets[j]) + 1;
    }
    while (n.slots < n.targets * 2)
        n.slots *= 2;
    return n;
}

/* Open addressing over indexes + 1 into the targets made so far. */
struct seen {
    struct siphash_key key;
    uint32_t *slots;
    size_t slot_count; /* a power of 2 */
};

static bool is_double(struct seen *seen, const struct agent_plan_target *targets,
                      const struct agent_plan_target *t, size_t index)
{
    size_t mask = seen->slot_count - 1, at = agent_plan_target_hash(t, &seen->key) & mask;

    while (seen->slots[at]) {
        if (agent_plan_target_equal(&targets[seen->slots[at] - 1], t))
            return true;
        at = (at + 1) & mask;
    }
    seen->slots[at] = (uint32_t)index + 1;
    return false;
}

static const char *keep_text(char **room, const char *text)
{
    size_t len = strlen(text) + 1;
    char *kept = memcpy(*room, text, len);

    *room += len;
    return kept;
}

static void fill(struct agent_plan *plan, const struct wire_plan *message,
                 struct agent_plan_target *targets, char *text, struct seen *seen)
{
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct wire_plan_entry *e = &message->entries[i];
        const char *region;

        if (e->kind != WIRE_KIND_ICMP) {
            plan->skipped += e->target_count;
            continue;
        }
        region = keep_text(&text, e->region);
        for (size_t j = 0; j < e->target_count; j++) {
            struct agent_plan_target t = {region, e->targets[j], e->control,
                                          bounded_spec(&e->icmp)};

            if (is_double(seen, targets, &t, plan->target_count)) {
                plan->doubles++;
                continue;
            }
            t.target = keep_text(&text, e->targets[j]);
            targets[plan->target_count++] = t;
        }
    }
}

enum prober_error agent_plan_create(struct agent_plan **out, uint64_t revision,
                                    const struct wire_plan *message)
{
    struct sizes n = measure(message);
    struct agent_plan *plan = calloc(1, sizeof(*plan));
    struct seen seen = {.slots = calloc(n.slots, sizeof(uint32_t)), .slot_count = n.slots};
    char *memory = calloc(1, n.targets * sizeof(struct agent_plan_target) + n.text + 1);
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!plan || !seen.slots || !memory)
        goto out;
    random_bytes(&seen.key, sizeof(seen.key));
    plan->revision = revision;
    plan->memory = memory;
    plan->targets = (struct agent_plan_target *)memory;
    fill(plan, message, (struct agent_plan_target *)memory,
         memory + n.targets * sizeof(struct agent_plan_target), &seen);
    *out = plan;
    plan = NULL;
    memory = NULL;
    err = PROBER_OK;
out:
    free(seen.slots);
    free(memory);
    free(plan);
    return err;
}

void agent_plan_destroy(struct agent_plan *plan)
{
    if (!plan)
        return;
    free(plan->memory);
    free(plan);
}

void agent_plan_board_offer(struct agent_plan_board *board, struct agent_plan *plan)
{
    agent_plan_destroy(atomic_exchange(&board->offered, plan));
}

struct agent_plan *agent_plan_board_take(struct agent_plan_board *board)
{
    return atomic_exchange(&board->offered, NULL);
}
