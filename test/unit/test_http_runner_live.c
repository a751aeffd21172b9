/* The http thread and the true engine, against a server on loopback. */
#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/http_runner.h"
#include "test/unit/fakes/http_server.h"
#include "test/unit/given_http_plan.h"

#define INTERVAL_NS (100 * CLOCK_NS_PER_MS)

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .body = "good day"},
    {.method = "GET", .path = "/broken", .status = 503},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {0},
};

struct fixture {
    struct http_server *server;
    struct wakeup pushed;
    struct spool *spool;
    struct agent_stats *stats;
    struct http_runner *runner;
    struct http_totals spooled;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static const struct agentd_settings settings = {
        .probe_interval_ns = INTERVAL_NS, .http_timeout_ns = INTERVAL_NS, .http_max_running = 100};
    struct http_runner_config config = {.settings = &settings, .agent_id = {{1}}};
    struct prober_failure why;

    f->server = http_server_start(routes);
    assert_int_equal(wakeup_open(&f->pushed, &why), PROBER_OK);
    assert_int_equal(spool_create(&f->spool, 1 << 20, &f->pushed), PROBER_OK);
    assert_int_equal(agent_stats_create(&f->stats), PROBER_OK);
    assert_int_equal(policy_create(&config.policy, &settings.allow, &settings.deny, NULL),
                     PROBER_OK);
    config.spool = f->spool;
    config.stats = f->stats;
    assert_int_equal(http_runner_create(&f->runner, &config, &why), PROBER_OK);
    policy_put(config.policy);
    *state = f;
    return 0;
}

static void stop(struct fixture *f)
{
    http_runner_finish(f->runner, 0);
    http_runner_join(f->runner);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    stop(f);
    http_runner_destroy(f->runner);
    http_server_stop(f->server);
    spool_destroy(f->spool);
    agent_stats_destroy(f->stats);
    wakeup_close(&f->pushed);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *path)
{
    char url[128];
    const char *urls[] = {url};
    struct prober_failure why;

    snprintf(url, sizeof(url), "%s%s", http_server_url(f->server), path);
    http_runner_offer_plan(f->runner, given_http_plan(1, GIVEN_BLOCK, 0, urls, 1));
    assert_int_equal(http_runner_start(f->runner, &why), PROBER_OK);
}

/* Waits for the batch of a probe that came to an end of its own; it is the oldest then. */
static struct batch *await_batch(struct fixture *f)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct batch *batch = spool_oldest(f->spool);

        if (batch && http_totals_probed(&batch->totals.http) > 0)
            return batch;
        if (batch) {
            http_totals_merge(&f->spooled, &batch->totals.http);
            spool_remove(f->spool);
        } else {
            wakeup_wait(&f->pushed, -1, CLOCK_NS_PER_S);
        }
    }
    fail_msg("no probe ended");
    return NULL;
}

static void an_answer_becomes_a_row(void **state)
{
    struct fixture *f = *state;
    struct batch *batch;

    start(f, "/");
    batch = await_batch(f);
    assert_int_equal(batch->kind, WIRE_KIND_HTTP);
    assert_int_equal(batch->window_ns, INTERVAL_NS);
    assert_true(batch->totals.http.by_reason[HTTP_SUCCEEDED] > 0);
    assert_true(batch->http.duration_ns[0] > 0 || batch->rows > 1);
    assert_string_equal(batch->names[0]->region, "far");
}

static void a_failure_has_its_reason(void **state)
{
    struct fixture *f = *state;

    start(f, "/broken");
    assert_true(await_batch(f)->totals.http.by_reason[HTTP_FAILED_STATUS_CODE] > 0);
}

static void what_never_answers_is_a_timeout_within_its_interval(void **state)
{
    struct fixture *f = *state;

    start(f, "/silent");
    assert_true(await_batch(f)->totals.http.by_reason[HTTP_FAILED_TIMEOUT] > 0);
}

static void stopping_spools_what_was_measured(void **state)
{
    struct fixture *f = *state;
    struct agent_stats_copy stats;
    struct batch *batch;

    start(f, "/");
    http_totals_merge(&f->spooled, &await_batch(f)->totals.http);
    spool_remove(f->spool);
    stop(f);
    while ((batch = spool_oldest(f->spool))) {
        http_totals_merge(&f->spooled, &batch->totals.http);
        spool_remove(f->spool);
    }
    agent_stats_read(f->stats, &stats);
    assert_memory_equal(&stats.http.totals, &f->spooled, sizeof(f->spooled));
    assert_false(stats.http.running);
    assert_true(stats.http_beat_ns > 0);
    assert_true(http_server_requests(f->server) >= f->spooled.by_reason[HTTP_SUCCEEDED]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_becomes_a_row),
        TEST(a_failure_has_its_reason),
        TEST(what_never_answers_is_a_timeout_within_its_interval),
        TEST(stopping_spools_what_was_measured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
