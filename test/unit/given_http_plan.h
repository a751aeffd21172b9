/*
 * given_http_plan - plans of URLs for tests.
 */
#ifndef TEST_UNIT_GIVEN_HTTP_PLAN_H
#define TEST_UNIT_GIVEN_HTTP_PLAN_H

#include "agentd/agent_plan.h"
#include "test/unit/unit.h"

/* An http block that needs no certificates of the system. */
#define GIVEN_BLOCK "{\"tls_config\":{\"insecure_skip_verify\":true}}"

static inline struct agent_plan *given_http_plan(uint64_t revision, const char *block,
                                                 uint64_t timeout_ns, const char *const *urls,
                                                 size_t count)
{
    struct wire_plan_entry entry = {.kind = WIRE_KIND_HTTP,
                                    .region = "far",
                                    .targets = urls,
                                    .target_count = count,
                                    .http = {block, timeout_ns}};
    struct wire_plan message = {&entry, 1};
    struct agent_plan *plan = NULL;

    assert_int_equal(agent_plan_create(&plan, revision, &message), PROBER_OK);
    assert_int_equal(plan->http_target_count, count);
    return plan;
}

#endif
