#include "test/unit/unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/runner.h"
#include "test/unit/fakes/fake_icmp_engine.h"

#define WINDOW_NS (20 * CLOCK_NS_PER_MS)

struct fixture {
    struct wakeup pushed;
    struct spool *spool;
    struct agent_stats *stats;
    struct runner *runner;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct agentd_settings settings = {
        .probe_interval_ns = WINDOW_NS, .icmp_timeout_ns = WINDOW_NS / 2, .icmp_arrivals = true};
    struct runner_config config = {.settings = &settings, .agent_id = {{1}}};
    struct prober_failure why;

    assert_int_equal(wakeup_open(&f->pushed, &why), PROBER_OK);
    assert_int_equal(spool_create(&f->spool, 1 << 20, &f->pushed), PROBER_OK);
    assert_int_equal(agent_stats_create(&f->stats), PROBER_OK);
    assert_int_equal(policy_create(&config.policy, &settings.allow, &settings.deny, NULL),
                     PROBER_OK);
    config.spool = f->spool;
    config.stats = f->stats;
    assert_int_equal(runner_create(&f->runner, &config, &why), PROBER_OK);
    policy_put(config.policy);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    runner_stop(f->runner, CLOCK_NS_PER_S);
    runner_destroy(f->runner);
    spool_destroy(f->spool);
    agent_stats_destroy(f->stats);
    wakeup_close(&f->pushed);
    free(f);
    return 0;
}

static void offer(struct fixture *f, uint64_t revision, const char *const *targets, size_t count)
{
    struct wire_plan_entry entry = {.kind = WIRE_KIND_ICMP,
                                    .region = "far",
                                    .targets = targets,
                                    .target_count = count,
                                    .icmp = {.packet_count = 10}};
    struct wire_plan message = {&entry, 1};
    struct agent_plan *plan = NULL;

    assert_int_equal(agent_plan_create(&plan, revision, &message), PROBER_OK);
    runner_offer_plan(f->runner, plan);
}

/* Waits until a batch of `rows` rows is the oldest; drops those before it. */
static struct batch *await_rows(struct fixture *f, size_t rows)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct batch *batch = spool_oldest(f->spool);

        if (batch && batch->rows == rows)
            return batch;
        if (batch)
            spool_remove(f->spool);
        else
            wakeup_wait(&f->pushed, -1, CLOCK_NS_PER_S);
    }
    fail_msg("no batch of %zu rows came", rows);
    return NULL;
}

static void start(struct fixture *f)
{
    struct prober_failure why;

    assert_int_equal(runner_start(f->runner, &why), PROBER_OK);
}

static void a_window_of_the_plan_becomes_a_batch(void **state)
{
    struct fixture *f = *state;
    static const char *const targets[] = {"100.127.83.1", "100.127.83.2"};
    struct batch *batch;

    offer(f, 8, targets, 2);
    start(f);
    batch = await_rows(f, 2);
    assert_int_equal(batch->totals.icmp.sent, 20);
    assert_int_equal(batch->totals.icmp.received, 20);
    assert_int_equal(batch->window_ns, WINDOW_NS);
    assert_int_equal(batch->arrivals.length, 1);
    assert_int_equal(batch->arrivals.sender[0], 7);
    assert_string_equal(batch->names[0]->region, "far");
}

static void the_results_of_a_target_that_went_are_still_spooled(void **state)
{
    struct fixture *f = *state;
    static const char *const targets[] = {"100.127.83.1", "100.127.83.2", "100.127.83.3"};
    struct agent_stats_copy stats;
    uint64_t sent = 0;
    struct batch *batch;

    offer(f, 1, targets, 3);
    start(f);
    await_rows(f, 3);
    offer(f, 2, targets + 2, 1);
    await_rows(f, 1);
    runner_stop(f->runner, CLOCK_NS_PER_S);
    while ((batch = spool_oldest(f->spool))) {
        sent += batch->totals.icmp.sent;
        assert_true(icmp_totals_are_lawful(&batch->totals.icmp));
        spool_remove(f->spool);
    }
    agent_stats_read(f->stats, &stats);
    assert_int_equal(stats.probing.plan_revision, 2);
    assert_int_equal(stats.probing.targets.planned, 0);
    assert_true(stats.probing.totals.sent >= sent && sent > 0);
    assert_false(stats.probing.running);
}

static void stopping_spools_the_window_that_was_running(void **state)
{
    struct fixture *f = *state;
    static const char *const targets[] = {"100.127.83.1"};
    struct agent_stats_copy stats;
    struct spool_counts spool;
    uint64_t pushed;

    offer(f, 1, targets, 1);
    start(f);
    await_rows(f, 1);
    runner_stop(f->runner, CLOCK_NS_PER_S);
    agent_stats_read(f->stats, &stats);
    spool_counts(f->spool, &spool);
    pushed = spool.pushed_total;
    assert_true(icmp_engine_is_finished(fake_engine_last));
    assert_int_equal(stats.probing.windows + 1, pushed); /* and the arrivals since */
    assert_int_equal(stats.probing.arrivals_missed, 2);
}

static void the_server_s_number_marks_the_probes_and_its_view_of_us_is_not_probed(void **state)
{
    struct fixture *f = *state;
    static const char *const targets[] = {"100.127.83.1", "100.127.83.2"};
    struct prober_addr observed;
    struct agent_stats_copy stats;

    prober_addr_parse("100.127.83.2", &observed);
    offer(f, 1, targets, 2);
    start(f);
    await_rows(f, 2);
    runner_set_presence(f->runner, 77, &observed);
    await_rows(f, 1);
    /* In the window after, the thread has put down what it did in the one before. */
    spool_remove(f->spool);
    await_rows(f, 1);
    for (unsigned i = 0; i < 200; i++) {
        agent_stats_read(f->stats, &stats);
        if (stats.probing.targets.own == 1)
            break;
        spool_remove(f->spool);
        await_rows(f, 1);
    }
    assert_int_equal(stats.probing.targets.own, 1);
    runner_stop(f->runner, CLOCK_NS_PER_S);
    assert_int_equal(fake_engine_last->sender, 77);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_window_of_the_plan_becomes_a_batch),
        T(the_results_of_a_target_that_went_are_still_spooled),
        T(stopping_spools_the_window_that_was_running),
        T(the_server_s_number_marks_the_probes_and_its_view_of_us_is_not_probed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
