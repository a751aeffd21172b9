/*
 * fuzz_agent_plan - any plan of a server as an agent takes it: whatever it says, what comes of it is
 * within the bounds of the engines, and no target is there twice.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/agent_plan.h"
#include "agentd/http_block.h"
#include "common/wire.h"
#include "libprober/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds)
        abort();
}

static void check(const struct agent_plan *plan, const struct wire_plan *message)
{
    size_t targets = 0;

    for (size_t i = 0; i < message->entry_count; i++)
        targets += message->entries[i].target_count;
    must(plan->target_count + plan->http_target_count + plan->skipped + plan->doubles <= targets);
    must((plan->bad_entries > 0) == (plan->bad.text[0] != '\0'));
    for (size_t i = 0; i < plan->target_count; i++)
        must(plan->targets[i].icmp.packet_count >= 1 &&
             plan->targets[i].icmp.packet_count <= ICMP_SPEC_COUNT_MAX);
    for (size_t i = 0; i < plan->http_target_count; i++) {
        const struct agent_plan_http_target *t = &plan->http_targets[i];

        must(t->block && t->block->spec->method[0]);
        must(t->timeout_ns <= UINT64_C(3600000000000));
        if (i > 0)
            must(strcmp(t[-1].target, t->target) != 0 || strcmp(t[-1].region, t->region) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reply reply;
    struct agent_plan *plan;

    if (wire_reply_decode(data, size, &reply, NULL))
        return 0;
    if (reply.call == WIRE_SYNC && agent_plan_create(&plan, 1, &reply.as.sync.plan) == PROBER_OK) {
        check(plan, &reply.as.sync.plan);
        agent_plan_put(plan);
    }
    wire_reply_free(&reply);
    return 0;
}
