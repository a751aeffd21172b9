#include "test/unit/given_fleet.h"

#define FILE_TEXT                                                                                  \
    "prober_configs:\n"                                                                            \
    "- prober_type: icmp\n  region: r01\n  icmp: {packet_count: 7}\n  targets: [192.0.2.1]\n"      \
    "- prober_type: icmp\n  region: dns\n  targets: [192.0.2.53, example.org]\n"                   \
    "- prober_type: icmp\n  region: dns\n  targets: [192.0.2.54, 192.0.2.53]\n"                    \
    "- prober_type: http\n  region: web\n  targets: ['http://example.org']\n"

static void every_agent_probes_every_other_region(void **state)
{
    struct plan_config c = config();
    struct plan *plan;

    (void)state;
    given_regions(3, 2);
    plan = given_plan(&c, NULL);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0,10.1.0.1;r02:10.2.0.0,10.2.0.1");
    assert_string_equal(shown(plan, 3), "r00:10.0.0.0,10.0.0.1;r02:10.2.0.0,10.2.0.1");
    assert_true(plan_is_common(plan, &fleet.agents[0]));
    plan_put(plan);
}

static void live_agents_take_the_place_of_the_files_icmp_targets(void **state)
{
    struct plan_config c = config();
    struct probe_spec *spec = given_file(FILE_TEXT);
    struct plan *plan;
    struct plan_view view;

    (void)state;
    given_regions(2, 1);
    plan = given_plan(&c, spec);
    assert_string_equal(shown(plan, 0), "dns:192.0.2.53,example.org;dns:192.0.2.54;r01:10.1.0.0;"
                                        "web:http://example.org");
    /* The settings that the file has for the region hold for them. */
    assert_int_equal(plan_view_create(&view, plan, &fleet.agents[0]), PROBER_OK);
    assert_int_equal(view.wire.entries[2].icmp.packet_count, 7);
    assert_int_equal(view.wire.entries[0].icmp.packet_count, ICMP_SPEC_COUNT_DEFAULT);
    plan_view_free(&view);
    plan_put(plan);
    /* The agents of r01 are gone: the file's targets are back. */
    fleet.count = 1;
    plan = given_plan(&c, spec);
    assert_string_equal(shown(plan, 0), "dns:192.0.2.53,example.org;dns:192.0.2.54;r01:192.0.2.1;"
                                        "web:http://example.org");
    plan_put(plan);
    probe_spec_destroy(spec);
}

static void static_discovery_probes_the_file_alone(void **state)
{
    struct plan_config c = config();
    struct probe_spec *spec = given_file(FILE_TEXT);
    struct plan *plan;

    (void)state;
    c.dynamic = false;
    given_regions(2, 1);
    plan = given_plan(&c, spec);
    assert_string_equal(shown(plan, 0), "dns:192.0.2.53,example.org;dns:192.0.2.54;r01:192.0.2.1;"
                                        "web:http://example.org");
    assert_string_equal(shown(plan, 1), "dns:192.0.2.53,example.org;dns:192.0.2.54;"
                                        "web:http://example.org");
    plan_put(plan);
    probe_spec_destroy(spec);
}

static void an_agent_never_probes_itself(void **state)
{
    struct plan_config c = config();
    struct plan *plan;

    (void)state;
    c.probe_self = true;
    given_agent("a", "10.0.0.1");
    given_agent("a", "10.0.0.2");
    given_agent("b", "10.0.0.3");
    given_agent("b", "10.0.0.1"); /* the host of the first, seen under another name */
    plan = given_plan(&c, NULL);
    assert_string_equal(shown(plan, 0), "a:10.0.0.2;b:10.0.0.3");
    assert_string_equal(shown(plan, 1), "a:10.0.0.1;b:10.0.0.3,10.0.0.1");
    assert_false(plan_is_common(plan, &fleet.agents[0]));
    plan_put(plan);
    /* Without probe_self too, when a target of another region is the agent's own address. */
    c.probe_self = false;
    plan = given_plan(&c, NULL);
    assert_string_equal(shown(plan, 0), "b:10.0.0.3");
    assert_false(plan_is_common(plan, &fleet.agents[0]));
    assert_true(plan_is_common(plan, &fleet.agents[1]));
    plan_put(plan);
}

static void two_agents_at_one_address_are_one_target(void **state)
{
    struct plan_config c = config();
    struct plan *plan;

    (void)state;
    given_agent("a", "10.0.0.1");
    given_agent("b", "10.0.0.2");
    given_agent("b", "10.0.0.2");
    plan = given_plan(&c, NULL);
    assert_string_equal(shown(plan, 0), "b:10.0.0.2");
    plan_put(plan);
}

static void pairs_are_covered_where_there_is_something_to_probe(void **state)
{
    struct plan_config c = config();
    struct plan *plan;
    const struct plan_region *a, *b;

    (void)state;
    given_agent("a", "10.0.0.1");
    given_agent("b", "10.0.0.2");
    given_agent("b", "10.0.0.3");
    plan = given_plan(&c, NULL);
    a = plan_region_find(plan, "a");
    b = plan_region_find(plan, "b");
    assert_true(plan_covers(plan, a, b));
    assert_true(plan_covers(plan, b, a));
    assert_false(plan_covers(plan, a, a));
    assert_null(plan_region_find(plan, "c"));
    plan_put(plan);
    c.probe_self = true;
    plan = given_plan(&c, NULL);
    assert_false(plan_covers(plan, plan_region_find(plan, "a"), plan_region_find(plan, "a")));
    assert_true(plan_covers(plan, plan_region_find(plan, "b"), plan_region_find(plan, "b")));
    plan_put(plan);
}

static void the_same_content_has_the_same_revision(void **state)
{
    struct plan_config c = config();
    struct plan *plan, *other;

    (void)state;
    given_regions(3, 2);
    plan = given_plan(&c, NULL);
    other = given_plan_at(&c, NULL, NOW_NS + HOUR_NS);
    assert_int_equal(plan->digest, other->digest);
    assert_true(revision(plan, 0) != 0);
    assert_int_equal(revision(plan, 0), revision(other, 0));
    assert_int_equal(revision(plan, 0), revision(plan, 1));
    assert_true(revision(plan, 0) != revision(plan, 2));
    plan_put(other);
    /* Another agent of r00 is nothing new to r00's own agents. */
    given_agent("r00", "10.0.0.77");
    other = given_plan(&c, NULL);
    assert_true(plan->digest != other->digest);
    assert_int_equal(revision(plan, 0), revision(other, 0));
    assert_true(revision(plan, 2) != revision(other, 2));
    plan_put(other);
    plan_put(plan);
}

static void a_region_that_the_plan_does_not_know_gets_all_others(void **state)
{
    struct plan_config c = config();
    struct plan *plan;

    (void)state;
    given_regions(2, 1);
    plan = given_plan(&c, NULL);
    given_agent("new", "10.9.9.9");
    assert_string_equal(shown(plan, 2), "r00:10.0.0.0;r01:10.1.0.0");
    plan_put(plan);
}

/* How many agents of region `source` probe region `target`, and at how many addresses each. */
static void count_cover(const struct plan *plan, const char *source, const char *target,
                        size_t *agents, size_t *targets)
{
    *agents = *targets = 0;
    for (size_t i = 0; i < fleet.count; i++) {
        struct plan_view view;

        if (strcmp(fleet.agents[i].region, source) != 0)
            continue;
        assert_int_equal(plan_view_create(&view, plan, &fleet.agents[i]), PROBER_OK);
        for (size_t k = 0; k < view.wire.entry_count; k++)
            if (strcmp(view.wire.entries[k].region, target) == 0) {
                ++*agents;
                *targets = view.wire.entries[k].target_count;
            }
        plan_view_free(&view);
    }
}

static void a_large_mesh_covers_each_pair_just_enough(void **state)
{
    struct plan_config c = config();
    struct plan *plan;

    (void)state;
    given_regions(5, 40);
    plan = given_plan(&c, NULL);
    assert_true(plan->thinned);
    for (size_t s = 0; s < 5; s++)
        for (size_t t = 0; t < 5; t++) {
            char source[8], target[8];
            size_t agents, targets;

            snprintf(source, sizeof(source), "r%02zu", s);
            snprintf(target, sizeof(target), "r%02zu", t);
            count_cover(plan, source, target, &agents, &targets);
            assert_int_equal(agents, s == t ? 0 : 3);
            assert_int_equal(targets, s == t ? 0 : 2);
        }
    plan_put(plan);
    fleet.count--; /* one agent fewer than full_below: everybody probes everybody */
    plan = given_plan(&c, NULL);
    assert_false(plan->thinned);
    plan_put(plan);
}

static void small_regions_of_a_large_mesh_are_covered_by_all_they_have(void **state)
{
    struct plan_config c = config();
    struct plan *plan;
    size_t agents, targets;

    (void)state;
    c.full_below = 0;
    c.probe_self = true;
    given_agent("a", "10.0.0.1");
    given_agent("a", "10.0.0.2");
    given_agent("b", "10.0.0.3");
    plan = given_plan(&c, NULL);
    count_cover(plan, "a", "b", &agents, &targets);
    assert_int_equal(agents, 2);
    assert_int_equal(targets, 1);
    count_cover(plan, "a", "a", &agents, &targets);
    assert_int_equal(agents, 2);
    assert_int_equal(targets, 1);
    plan_put(plan);
}

static void targets_of_the_file_are_never_thinned_out(void **state)
{
    struct plan_config c = config();
    struct probe_spec *spec =
        given_file("prober_configs:\n- prober_type: icmp\n  region: dns\n"
                   "  targets: [a.example, b.example, c.example, d.example]\n");
    struct plan *plan;
    size_t agents, targets;

    (void)state;
    c.full_below = 0;
    given_regions(2, 10);
    plan = given_plan(&c, spec);
    count_cover(plan, "r00", "dns", &agents, &targets);
    assert_int_equal(agents, 10);
    assert_int_equal(targets, 4);
    plan_put(plan);
    probe_spec_destroy(spec);
}

static void a_new_agent_moves_few_of_the_choices(void **state)
{
    struct plan_config c = config();
    struct plan *before, *after;
    size_t changed = 0;

    (void)state;
    given_regions(10, 30);
    before = given_plan(&c, NULL);
    given_agent("r03", "10.3.9.9");
    after = given_plan(&c, NULL);
    for (size_t i = 0; i < fleet.count - 1; i++)
        changed += revision(before, i) != revision(after, i);
    /* It is expected in 2 of 31 places as a target, for 3 agents of each of 9 regions, and takes
     * 3 of 31 places as a source of 9 pairs. */
    assert_true(changed < 30);
    plan_put(before);
    plan_put(after);
}

static void choices_rotate_in_turns(void **state)
{
    struct plan_config c = config();
    struct plan *now, *next, *later;
    size_t changed = 0;

    (void)state;
    given_regions(10, 30);
    now = given_plan(&c, NULL);
    assert_true(now->rotates_at_real_ns > NOW_NS);
    assert_true(now->rotates_at_real_ns <= NOW_NS + HOUR_NS / PLAN_ROTATION_SLOTS);
    next = given_plan_at(&c, NULL, now->rotates_at_real_ns - 1);
    assert_int_equal(now->digest, next->digest);
    plan_put(next);
    next = given_plan_at(&c, NULL, now->rotates_at_real_ns);
    assert_true(now->digest != next->digest);
    later = given_plan_at(&c, NULL, NOW_NS + HOUR_NS);
    for (size_t i = 0; i < fleet.count; i++) {
        changed += revision(now, i) != revision(later, i);
    }
    assert_true(changed > fleet.count / 2);
    changed = 0;
    for (size_t i = 0; i < fleet.count; i++)
        changed += revision(now, i) != revision(next, i);
    assert_true(changed < fleet.count / 2);
    plan_put(now);
    plan_put(next);
    plan_put(later);
}

static void nobody_there_makes_an_empty_plan(void **state)
{
    struct plan_config c = config();
    struct plan *plan = given_plan(&c, NULL);

    (void)state;
    assert_int_equal(plan->region_count, 0);
    assert_int_equal(plan->rotates_at_real_ns, UINT64_MAX);
    given_agent("a", "10.0.0.1");
    assert_string_equal(shown(plan, 0), "");
    assert_true(plan_is_common(plan, &fleet.agents[0]));
    plan_put(plan_get(plan));
    plan_put(plan);
    plan_put(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, empty_fleet)
    const struct CMUnitTest tests[] = {
        TEST(every_agent_probes_every_other_region),
        TEST(live_agents_take_the_place_of_the_files_icmp_targets),
        TEST(static_discovery_probes_the_file_alone),
        TEST(an_agent_never_probes_itself),
        TEST(two_agents_at_one_address_are_one_target),
        TEST(pairs_are_covered_where_there_is_something_to_probe),
        TEST(the_same_content_has_the_same_revision),
        TEST(a_region_that_the_plan_does_not_know_gets_all_others),
        TEST(a_large_mesh_covers_each_pair_just_enough),
        TEST(small_regions_of_a_large_mesh_are_covered_by_all_they_have),
        TEST(targets_of_the_file_are_never_thinned_out),
        TEST(a_new_agent_moves_few_of_the_choices),
        TEST(choices_rotate_in_turns),
        TEST(nobody_there_makes_an_empty_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
