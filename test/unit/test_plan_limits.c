#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/wire.h"
#include "serverd/plan.h"
#include "serverd/plan_limits.h"

static struct problems *problems;
static struct strbuf text;

static int set_up(void **state)
{
    (void)state;
    return problems_create(&problems);
}

static int tear_down(void **state)
{
    (void)state;
    problems_destroy(problems);
    strbuf_free(&text);
    return 0;
}

static void given_entry(const char *head)
{
    if (text.len == 0)
        strbuf_puts(&text, "prober_configs:\n");
    strbuf_printf(&text, "- prober_type: http\n%s", head);
}

/* URLs of a thousand bytes and some, each another. */
static void given_urls(size_t count)
{
    static char path[1000];
    static unsigned number;

    memset(path, 'x', sizeof(path) - 1);
    strbuf_puts(&text, "  targets:\n");
    for (size_t i = 0; i < count; i++)
        strbuf_printf(&text, "  - http://host-%u.test/%s\n", number++, path);
}

static enum prober_error check(bool probe_self)
{
    struct probe_spec *spec = NULL;
    enum prober_error err;

    assert_true(strbuf_ok(&text));
    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", text.bytes, text.len, problems),
                     PROBER_OK);
    err = plan_limits_check(spec, "p.yaml", probe_self, problems);
    probe_spec_destroy(spec);
    return err;
}

static void what_fits_is_fine(void **state)
{
    (void)state;
    given_entry("  region: web\n");
    given_urls(4000);
    assert_int_equal(check(false), PROBER_OK);
    assert_int_equal(problems_count(problems), 0);
}

static void what_is_within_the_limit_can_be_encoded(void **state)
{
    struct plan_config config = {.agents_per_pair = 1, .targets_per_pair = 1};
    struct plan_agent agent = {.region = "a"};
    struct wire_reply reply = {.protocol = WIRE_PROTOCOL, .call = WIRE_SYNC};
    struct strbuf body = STRBUF_INIT;
    struct probe_spec *spec = NULL;
    struct plan *plan;
    struct plan_view view;

    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        given_entry("  region: web\n  http: {body: ping}\n");
        given_urls(2);
    }
    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", text.bytes, text.len, problems),
                     PROBER_OK);
    /* As much as is allowed, but for less than one entry. */
    while (plan_limits_check(spec, "p.yaml", false, problems))
        spec->count--;
    assert_int_equal(plan_create(&plan, &config, spec, &agent, 1, 0), PROBER_OK);
    assert_int_equal(plan_view_create(&view, plan, &agent), PROBER_OK);
    reply.as.sync =
        (struct wire_sync_reply){.plan_revision = 1, .has_plan = true, .plan = view.wire};
    assert_int_equal(wire_reply_encode(&reply, &body), PROBER_OK);
    assert_true(body.len > WIRE_BYTES_MAX * 9 / 10);
    spec->count = 2000;
    plan_view_free(&view);
    plan_put(plan);
    probe_spec_destroy(spec);
    strbuf_free(&body);
}

static void more_than_one_agent_can_be_sent_is_refused(void **state)
{
    (void)state;
    given_entry("  region: web\n");
    given_urls(5000);
    assert_int_equal(check(false), PROBER_ERR_RANGE);
    assert_int_equal(problems_count(problems), 1);
    assert_non_null(strstr(problems_text(problems, 0),
                           "p.yaml:prober_configs: what agents of any region would have"));
}

static void source_regions_spread_what_is_too_much_for_one(void **state)
{
    (void)state;
    given_entry("  region: web\n  source_regions: [a]\n");
    given_urls(3000);
    given_entry("  region: web\n  source_regions: [b]\n");
    given_urls(3000);
    assert_int_equal(check(false), PROBER_OK);
    given_entry("  region: web\n  source_regions: ['=~[bc]']\n");
    given_urls(3000);
    assert_int_equal(check(false), PROBER_ERR_RANGE);
    assert_non_null(strstr(problems_text(problems, 0), "agents of region 'b' would have"));
}

static void the_targets_of_the_own_region_count_only_where_they_are_probed(void **state)
{
    (void)state;
    given_entry("  region: a\n  source_regions: [a]\n");
    given_urls(3000);
    given_entry("  region: b\n  source_regions: [a]\n");
    given_urls(3000);
    assert_int_equal(check(false), PROBER_OK);
    assert_int_equal(check(true), PROBER_ERR_RANGE);
}

static void a_block_that_is_too_long_is_refused_with_its_place(void **state)
{
    char *body = calloc(1, WIRE_HTTP_BLOCK_MAX + 1);

    (void)state;
    given_entry("  targets: [a]\n");
    memset(body, 'x', WIRE_HTTP_BLOCK_MAX);
    given_entry("  http: {body: ");
    strbuf_printf(&text, "%s}\n  targets: [b]\n", body);
    free(body);
    assert_int_equal(check(false), PROBER_ERR_RANGE);
    assert_string_equal(problems_text(problems, 0),
                        "p.yaml:4:prober_configs[1].http: takes 262155 bytes as JSON, at most "
                        "262144 can be sent");
}

/* ---- series ---- */

#define THREE_URLS "prober_configs:\n- {prober_type: http, region: web, targets: [x, y, z]}\n"

static enum prober_error check_urls(const char *yaml, uint64_t urls_max, bool probe_self,
                                    const char *const *sources, size_t count)
{
    const struct plan_config config = {.probe_self = probe_self, .urls_max = urls_max};
    struct probe_spec *spec = NULL;
    enum prober_error err;

    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", yaml, strlen(yaml), problems),
                     PROBER_OK);
    err = plan_limits_check_urls(spec, "p.yaml", &config, sources, count, problems);
    probe_spec_destroy(spec);
    return err;
}

static void urls_count_once_for_each_region_that_probes_them(void **state)
{
    static const char *const sources[] = {"a", "b", "web"};

    (void)state;
    assert_int_equal(check_urls(THREE_URLS, 6, false, sources, 3), PROBER_OK);
    assert_int_equal(check_urls(THREE_URLS, 9, true, sources, 3), PROBER_OK);
    assert_int_equal(check_urls(THREE_URLS, 0, true, sources, 3), PROBER_OK);
    assert_int_equal(
        check_urls("prober_configs:\n- {prober_type: http, source_regions: ['=~[ab]'], "
                   "targets: [x, y, z]}\n",
                   6, true, sources, 3),
        PROBER_OK);
    assert_int_equal(problems_count(problems), 0);
    assert_int_equal(check_urls(THREE_URLS, 5, false, sources, 3), PROBER_ERR_RANGE);
    assert_int_equal(check_urls(THREE_URLS, 8, true, sources, 3), PROBER_ERR_RANGE);
    assert_int_equal(problems_count(problems), 2);
}

static void of_a_file_alone_the_least_that_there_can_be_counts(void **state)
{
    (void)state;
    assert_int_equal(check_urls(THREE_URLS, 3, false, NULL, 0), PROBER_OK);
    assert_int_equal(check_urls(THREE_URLS, 2, false, NULL, 0), PROBER_ERR_RANGE);
    assert_int_equal(
        check_urls("prober_configs:\n- {prober_type: http, source_regions: [a, b, '=~c'], "
                   "targets: [x]}\n",
                   1, false, NULL, 0),
        PROBER_ERR_RANGE);
}

static void too_many_series_are_told_with_their_number_and_the_setting(void **state)
{
    static const char *const sources[] = {"a", "b"};

    (void)state;
    assert_int_equal(check_urls(THREE_URLS, 2, false, sources, 2), PROBER_ERR_RANGE);
    assert_string_equal(problems_text(problems, 0),
                        "p.yaml:prober_configs: 3 HTTP targets (source regions: 2) make about "
                        "222 series, more than -server.http.series.max allows: fewer targets, "
                        "source_regions that spread them, or a greater limit");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_fits_is_fine),
        TEST(what_is_within_the_limit_can_be_encoded),
        TEST(more_than_one_agent_can_be_sent_is_refused),
        TEST(source_regions_spread_what_is_too_much_for_one),
        TEST(the_targets_of_the_own_region_count_only_where_they_are_probed),
        TEST(a_block_that_is_too_long_is_refused_with_its_place),
        TEST(urls_count_once_for_each_region_that_probes_them),
        TEST(of_a_file_alone_the_least_that_there_can_be_counts),
        TEST(too_many_series_are_told_with_their_number_and_the_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
