#include "test/unit/unit.h"

#include "common/array.h"
#include "serverd/known.h"
#include "serverd/plan.h"
#include "test/unit/given_report.h"

static void agents_are_found_by_id_and_by_number(void **state)
{
    struct directory_agent agents[] = {given_agent(3, "a"), given_agent(9, "b")};
    struct directory_agent stranger = given_agent(4, "a");
    struct directory directory = {.agents = agents, .agent_count = ARRAY_LEN(agents)};
    struct known *known;

    (void)state;
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    assert_true(known_agent(known, &agents[1].id));
    assert_false(known_agent(known, &stranger.id));
    assert_string_equal(known_region_of(known, 9), "b");
    assert_null(known_region_of(known, 4));
    known_destroy(known);
}

static void regions_of_agents_and_of_planned_pairs_are_known(void **state)
{
    struct directory_agent agents[] = {given_agent(3, "a")};
    struct directory_pair pairs[] = {{"a", "b"}, {"c", "a"}};
    struct directory directory = {
        .agents = agents, .agent_count = 1, .pairs = pairs, .pair_count = 2};
    struct known *known;

    (void)state;
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    assert_true(known_region(known, "a"));
    assert_true(known_region(known, "b"));
    assert_true(known_region(known, "c"));
    assert_false(known_region(known, "d"));
    assert_ptr_equal(known_directory(known), &directory);
    known_destroy(known);
}

/* A region of the probe file alone: what was counted toward it must outlive the agents' absence. */
static void a_planned_region_is_known_though_nobody_probes_it_now(void **state)
{
    struct plan_region regions[] = {{.name = "file"}};
    const struct plan plan = {.regions = regions, .region_count = 1};
    struct directory directory = {.plan = &plan};
    struct known *known;

    (void)state;
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    assert_true(known_region(known, "file"));
    assert_false(known_region(known, "d"));
    known_destroy(known);
}

static void an_empty_directory_knows_nothing(void **state)
{
    struct directory directory = {0};
    struct known *known;

    (void)state;
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    assert_false(known_region(known, "a"));
    known_destroy(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_are_found_by_id_and_by_number),
        cmocka_unit_test(regions_of_agents_and_of_planned_pairs_are_known),
        cmocka_unit_test(a_planned_region_is_known_though_nobody_probes_it_now),
        cmocka_unit_test(an_empty_directory_knows_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
