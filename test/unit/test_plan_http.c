/* What the probe file's HTTP entries and source_regions make of a plan. */
#include "test/unit/given_fleet.h"

#define HTTP "- prober_type: http\n"

static struct plan *given_plan_of(const char *yaml, bool probe_self)
{
    struct plan_config c = config();
    struct probe_spec *spec = given_file(yaml);
    struct plan *plan;

    c.probe_self = probe_self;
    plan = given_plan(&c, spec);
    probe_spec_destroy(spec);
    return plan;
}

static struct plan_view view_of(const struct plan *plan, size_t agent)
{
    struct plan_view view;

    assert_int_equal(plan_view_create(&view, plan, &fleet.agents[agent]), PROBER_OK);
    return view;
}

static bool reaches(const struct plan *plan, const char *source, const char *target, size_t entry)
{
    const struct plan_region *to = plan_region_find(plan, target);

    return plan_reaches(plan, plan_region_find(plan, source), to, &to->entries[entry]);
}

static void agents_outside_the_region_probe_its_urls(void **state)
{
    const char *yaml = "prober_configs:\n" HTTP "  region: r01\n  timeout: 7s\n"
                       "  http: {method: HEAD}\n  targets: [x.test, 'http://10.0.0.0']\n";
    struct plan *plan;
    struct plan_view view;

    (void)state;
    given_regions(2, 1);
    plan = given_plan_of(yaml, false);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0;r01:x.test,http://10.0.0.0");
    assert_string_equal(shown(plan, 1), "r00:10.0.0.0");
    view = view_of(plan, 0);
    assert_int_equal(view.wire.entries[1].kind, WIRE_KIND_HTTP);
    assert_string_equal(view.wire.entries[1].http.block, "{\"method\":\"HEAD\"}");
    assert_int_equal(view.wire.entries[1].http.timeout_ns, 7 * CLOCK_NS_PER_S);
    plan_view_free(&view);
    assert_int_equal(plan->http_target_count, 2);
    assert_int_equal(plan->target_count, 2);
    assert_true(reaches(plan, "r00", "r01", 1));
    assert_false(reaches(plan, "r01", "r01", 1));
    plan_put(plan);
    plan = given_plan_of(yaml, true);
    assert_string_equal(shown(plan, 1), "r00:10.0.0.0;r01:x.test,http://10.0.0.0");
    assert_true(reaches(plan, "r01", "r01", 1));
    plan_put(plan);
}

static void what_listens_at_an_agents_own_address_is_probed(void **state)
{
    struct plan *plan;

    (void)state;
    given_agent("a", "10.0.0.1");
    plan = given_plan_of("prober_configs:\n" HTTP "  region: b\n  targets: [10.0.0.1]\n", false);
    assert_string_equal(shown(plan, 0), "b:10.0.0.1");
    assert_true(plan_is_common(plan, &fleet.agents[0]));
    plan_put(plan);
}

static void every_entry_of_a_region_is_kept(void **state)
{
    struct plan *plan;

    (void)state;
    given_agent("a", "10.0.0.1");
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n  targets: [x, y]\n" HTTP
                         "  region: web\n  http: {method: HEAD}\n  targets: [z]\n",
                         false);
    assert_string_equal(shown(plan, 0), "web:x,y;web:z");
    assert_int_equal(plan->shadowed, 0);
    plan_put(plan);
}

static void a_target_of_two_entries_is_probed_as_the_first_says(void **state)
{
    struct plan *plan;

    (void)state;
    given_agent("a", "10.0.0.1");
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n  targets: [x, y]\n" HTTP
                         "  region: web\n  http: {method: HEAD}\n  targets: [z, y]\n" HTTP
                         "  region: far\n  targets: [y]\n"
                         "- {prober_type: icmp, region: web, targets: [y]}\n",
                         false);
    assert_string_equal(shown(plan, 0), "far:y;web:x,y;web:z;web:y");
    assert_int_equal(plan->shadowed, 1);
    assert_string_equal(plan->shadowed_target, "y");
    assert_int_equal(plan->shadowed_entry->line, 5);
    plan_put(plan);
    /* The same settings twice shadow nothing. */
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n  targets: [x, y]\n" HTTP
                         "  region: web\n  targets: [y]\n",
                         false);
    assert_string_equal(shown(plan, 0), "web:x,y");
    assert_int_equal(plan->shadowed, 0);
    plan_put(plan);
}

static void targets_that_are_shown_alike_are_one(void **state)
{
    struct plan *plan;

    (void)state;
    given_agent("a", "10.0.0.1");
    fleet.agents[0].is_private = true;
    plan = given_plan_of(
        "prober_configs:\n" HTTP
        "  region: web\n  targets: ['http://u:p@x/', 'http://y/', 'http://v@y/']\n" HTTP
        "  region: web\n  targets: ['http://x/', 'http://u:p@x/']\n",
        false);
    assert_string_equal(shown(plan, 0), "web:http://u:p@x/,http://y/");
    assert_string_equal(plan_region_find(plan, "web")->entries[0].targets[0].shown, "http://x/");
    assert_int_equal(plan->shadowed, 3);
    assert_string_equal(plan->shadowed_target, "http://x/");
    plan_put(plan);
}

static void source_regions_say_who_probes(void **state)
{
    struct plan *plan;

    (void)state;
    given_regions(3, 1);
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n"
                         "  source_regions: [r00, '=~r.2']\n  targets: [x]\n"
                         "- {prober_type: icmp, region: dns, source_regions: [r01], targets: "
                         "[192.0.2.53]}\n",
                         false);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0;r02:10.2.0.0;web:x");
    assert_string_equal(shown(plan, 1), "dns:192.0.2.53;r00:10.0.0.0;r02:10.2.0.0");
    assert_string_equal(shown(plan, 2), "r00:10.0.0.0;r01:10.1.0.0;web:x");
    assert_true(reaches(plan, "r02", "web", 0));
    assert_false(reaches(plan, "r01", "web", 0));
    assert_true(plan_covers(plan, plan_region_find(plan, "r01"), plan_region_find(plan, "dns")));
    assert_false(plan_covers(plan, plan_region_find(plan, "r00"), plan_region_find(plan, "dns")));
    /* An agent of a region that the plan does not know yet waits for the next plan. */
    given_agent("r92", "10.9.0.1");
    assert_string_equal(shown(plan, 3), "r00:10.0.0.0;r01:10.1.0.0;r02:10.2.0.0");
    plan_put(plan);
}

static void source_regions_hold_for_discovered_targets_too(void **state)
{
    struct plan *plan;

    (void)state;
    given_regions(3, 1);
    plan = given_plan_of("prober_configs:\n- prober_type: icmp\n  region: r02\n  timeout: 2s\n"
                         "  source_regions: [r00]\n  targets: [192.0.2.1]\n",
                         false);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0;r02:10.2.0.0");
    assert_string_equal(shown(plan, 1), "r00:10.0.0.0");
    plan_put(plan);
}

static void a_target_goes_to_each_agent_by_the_first_entry_that_is_for_it(void **state)
{
    struct plan *plan;
    struct plan_view view;

    (void)state;
    given_regions(3, 1);
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n  source_regions: [r00]\n"
                         "  timeout: 1s\n  targets: [x]\n" HTTP
                         "  region: web\n  source_regions: [r01]\n  timeout: 2s\n"
                         "  targets: [x, y]\n" HTTP
                         "  region: web\n  timeout: 3s\n  targets: [y, x]\n",
                         false);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0;r02:10.2.0.0;web:x;web:y");
    assert_string_equal(shown(plan, 1), "r00:10.0.0.0;r02:10.2.0.0;web:x,y");
    assert_string_equal(shown(plan, 2), "r00:10.0.0.0;r01:10.1.0.0;web:y,x");
    view = view_of(plan, 1);
    assert_int_equal(view.wire.entries[2].http.timeout_ns, 2 * CLOCK_NS_PER_S);
    plan_view_free(&view);
    assert_int_equal(plan->shadowed, 2);
    plan_put(plan);
}

#define SECRET_TEXT                                                                                \
    "prober_configs:\n" HTTP                                                                       \
    "  region: web\n  name: shop\n  http: {bearer_token: hush}\n  targets: [x]\n" HTTP             \
    "  region: web\n  targets: ['http://u:hush@y/']\n" HTTP "  region: web\n  targets: [z]\n"

static void secrets_go_over_private_links_alone(void **state)
{
    struct plan *plan;
    const struct plan_region *web;

    (void)state;
    given_regions(2, 2);
    fleet.agents[1].is_private = true;
    plan = given_plan_of(SECRET_TEXT, false);
    assert_string_equal(shown(plan, 0), "r01:10.1.0.0,10.1.0.1;web:z");
    assert_string_equal(shown(plan, 1), "r01:10.1.0.0,10.1.0.1;web:x;web:http://u:hush@y/;web:z");
    web = plan_region_find(plan, "web");
    assert_int_equal(web->entries[0].withheld, 3);
    assert_string_equal(web->entries[0].name, "shop");
    assert_int_equal(web->entries[2].withheld, 0);
    assert_int_equal(plan->withheld_entries, 2);
    assert_true(reaches(plan, "r00", "web", 0));
    assert_false(reaches(plan, "r01", "web", 0));
    assert_true(reaches(plan, "r01", "web", 2));
    plan_put(plan);
}

static void a_target_of_a_withheld_entry_is_taken_from_the_next(void **state)
{
    struct plan *plan;

    (void)state;
    given_regions(1, 2);
    fleet.agents[1].is_private = true;
    plan = given_plan_of("prober_configs:\n" HTTP
                         "  region: web\n  http: {bearer_token: hush}\n  targets: [x]\n" HTTP
                         "  region: web\n  targets: [y, x]\n",
                         false);
    assert_string_equal(shown(plan, 0), "web:y,x");
    assert_string_equal(shown(plan, 1), "web:x;web:y");
    plan_put(plan);
}

static void the_kind_of_link_and_every_setting_make_another_plan(void **state)
{
    static const char *const others[] = {
        "prober_configs:\n" HTTP "  region: web\n  timeout: 1s\n  targets: [x]\n",
        "prober_configs:\n" HTTP "  region: web\n  http: {method: HEAD}\n  targets: [x]\n",
        "prober_configs:\n" HTTP "  region: web\n  source_regions: [r00]\n  targets: [x]\n",
        "prober_configs:\n" HTTP "  region: web\n  targets: [y]\n",
        "prober_configs:\n- prober_type: icmp\n  region: web\n  targets: [x]\n",
    };
    struct plan *plan, *other;

    (void)state;
    given_regions(2, 1);
    plan = given_plan_of("prober_configs:\n" HTTP "  region: web\n  targets: [x]\n", false);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        other = given_plan_of(others[i], false);
        assert_true(plan->digest != other->digest);
        /* To r00, who probes beside it is nothing new. */
        assert_true((revision(plan, 0) != revision(other, 0)) == (i != 2));
        plan_put(other);
    }
    fleet.agents[0].is_private = true;
    other = given_plan_of("prober_configs:\n" HTTP "  region: web\n  targets: [x]\n", false);
    assert_true(plan->digest != other->digest);
    assert_int_equal(revision(plan, 0), revision(other, 0));
    plan_put(other);
    plan_put(plan);
}

static void a_revision_cannot_be_computed_without_the_key(void **state)
{
    struct plan_config c = config();
    struct probe_spec *spec = given_file(SECRET_TEXT);
    struct plan *plan, *other;

    (void)state;
    given_regions(1, 1);
    fleet.agents[0].is_private = true;
    plan = given_plan(&c, spec);
    c.content_key.k1 = 1;
    other = given_plan(&c, spec);
    assert_true(revision(plan, 0) != revision(other, 0));
    plan_put(other);
    plan_put(plan);
    probe_spec_destroy(spec);
}

static struct plan *given_limited(uint64_t urls_max)
{
    struct plan_config c = config();
    struct probe_spec *spec =
        given_file("prober_configs:\n" HTTP "  targets: [x.test, y.test]\n" HTTP
                   "  source_regions: [r01]\n  targets: [z.test]\n");
    struct plan *plan;

    c.urls_max = urls_max;
    plan = given_plan(&c, spec);
    probe_spec_destroy(spec);
    return plan;
}

static void with_too_many_urls_the_regions_that_came_last_get_none(void **state)
{
    struct plan *all, *limited, *none;

    (void)state;
    given_agent("r02", "10.2.0.0");
    given_agent("r01", "10.1.0.0");
    given_agent("r00", "10.0.0.0");
    given_agent("r02", "10.2.0.1");
    all = given_limited(7);
    limited = given_limited(6);
    none = given_limited(1);
    assert_int_equal(all->refused_count, 0);
    assert_int_equal(limited->refused_count, 1);
    assert_int_equal(none->refused_count, 3);
    assert_true(plan_region_find(limited, "r00")->urls_refused);
    assert_int_equal(plan_region_find(limited, "r00")->url_count, 2);
    assert_false(plan_region_find(limited, "r01")->urls_refused);
    assert_int_equal(plan_region_find(limited, "r01")->url_count, 3);
    assert_non_null(strstr(shown(all, 2), "x.test"));
    assert_null(strstr(shown(limited, 2), "x.test"));
    assert_non_null(strstr(shown(limited, 2), "10.1.0.0"));
    assert_non_null(strstr(shown(limited, 3), "x.test"));
    assert_false(reaches(limited, "r00", "", 0));
    assert_true(reaches(limited, "r02", "", 0));
    assert_true(all->digest != limited->digest);
    plan_put(all);
    plan_put(limited);
    plan_put(none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, empty_fleet)
    const struct CMUnitTest tests[] = {
        TEST(agents_outside_the_region_probe_its_urls),
        TEST(what_listens_at_an_agents_own_address_is_probed),
        TEST(every_entry_of_a_region_is_kept),
        TEST(a_target_of_two_entries_is_probed_as_the_first_says),
        TEST(targets_that_are_shown_alike_are_one),
        TEST(source_regions_say_who_probes),
        TEST(source_regions_hold_for_discovered_targets_too),
        TEST(a_target_goes_to_each_agent_by_the_first_entry_that_is_for_it),
        TEST(secrets_go_over_private_links_alone),
        TEST(a_target_of_a_withheld_entry_is_taken_from_the_next),
        TEST(the_kind_of_link_and_every_setting_make_another_plan),
        TEST(a_revision_cannot_be_computed_without_the_key),
        TEST(with_too_many_urls_the_regions_that_came_last_get_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
