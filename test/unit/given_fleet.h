/*
 * given_fleet - a fleet of agents, probe files and the plans made of them.
 */
#ifndef TEST_UNIT_GIVEN_FLEET_H
#define TEST_UNIT_GIVEN_FLEET_H

#include "test/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/problems.h"
#include "serverd/plan.h"

#define HOUR_NS (UINT64_C(3600) * CLOCK_NS_PER_S)
#define NOW_NS (UINT64_C(1700000000) * CLOCK_NS_PER_S)
#define FLEET_MAX 400

/* Agents with one address each: the n-th of region r is 10.r.n/256.n%256. */
struct fleet {
    struct plan_agent agents[FLEET_MAX];
    struct prober_addr addresses[FLEET_MAX];
    char regions[FLEET_MAX][8];
    size_t count;
};

static struct fleet fleet;

static inline void given_agent(const char *region, const char *address)
{
    size_t i = fleet.count++;

    assert_true(i < FLEET_MAX);
    snprintf(fleet.regions[i], sizeof(fleet.regions[i]), "%s", region);
    assert_int_equal(prober_addr_parse(address, &fleet.addresses[i]), PROBER_OK);
    fleet.agents[i] = (struct plan_agent){
        .region = fleet.regions[i], .addresses = &fleet.addresses[i], .address_count = 1};
    fleet.agents[i].id.bytes[0] = (uint8_t)(i >> 8);
    fleet.agents[i].id.bytes[1] = (uint8_t)i;
    fleet.agents[i].id.bytes[2] = 1;
}

static inline void given_regions(size_t regions, size_t agents_each)
{
    for (size_t r = 0; r < regions; r++)
        for (size_t n = 0; n < agents_each; n++) {
            char region[8], address[32];

            snprintf(region, sizeof(region), "r%02zu", r);
            snprintf(address, sizeof(address), "10.%zu.%zu.%zu", r, n / 256, n % 256);
            given_agent(region, address);
        }
}

static inline int empty_fleet(void **state)
{
    (void)state;
    memset(&fleet, 0, sizeof(fleet));
    return 0;
}

static inline struct plan_config config(void)
{
    return (struct plan_config){
        .dynamic = true,
        .full_below = 200,
        .agents_per_pair = 3,
        .targets_per_pair = 2,
        .rotate_ns = HOUR_NS,
    };
}

static inline struct probe_spec *given_file(const char *yaml)
{
    struct problems *problems;
    struct probe_spec *spec = NULL;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(probe_spec_read_text(&spec, "probe.yaml", yaml, strlen(yaml), problems),
                     PROBER_OK);
    problems_destroy(problems);
    return spec;
}

static inline struct plan *given_plan_at(const struct plan_config *c, const struct probe_spec *spec,
                                         uint64_t now_ns)
{
    struct plan *plan = NULL;

    assert_int_equal(plan_create(&plan, c, spec, fleet.agents, fleet.count, now_ns), PROBER_OK);
    return plan;
}

static inline struct plan *given_plan(const struct plan_config *c, const struct probe_spec *spec)
{
    return given_plan_at(c, spec, NOW_NS);
}

/* An agent's plan as "region:target,target;region:…". */
static inline const char *shown(const struct plan *plan, size_t agent)
{
    static char text[4096];
    struct plan_view view;
    size_t len = 0;

    assert_int_equal(plan_view_create(&view, plan, &fleet.agents[agent]), PROBER_OK);
    text[0] = '\0';
    for (size_t i = 0; i < view.wire.entry_count; i++) {
        const struct wire_plan_entry *e = &view.wire.entries[i];

        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s:", i ? ";" : "", e->region);
        for (size_t k = 0; k < e->target_count; k++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", k ? "," : "",
                                    e->targets[k]);
    }
    plan_view_free(&view);
    return text;
}

static inline uint64_t revision(const struct plan *plan, size_t agent)
{
    struct plan_view view;
    uint64_t number;

    assert_int_equal(plan_view_create(&view, plan, &fleet.agents[agent]), PROBER_OK);
    number = view.revision;
    plan_view_free(&view);
    return number;
}

#endif
