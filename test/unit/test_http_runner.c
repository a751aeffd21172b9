#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/http_runner.h"
#include "test/unit/fakes/fake_http_engine.h"
#include "test/unit/fakes/fake_log.h"
#include "test/unit/given_http_plan.h"

#define S(n) ((uint64_t)((n)*CLOCK_NS_PER_S))
#define INTERVAL_NS S(10)
#define MANY 200

static const char *const urls[] = {"http://a.test/", "http://user:pass@b.test/x",
                                   "http://127.1.2.3/"};

struct fixture {
    struct spool *spool;
    struct agent_stats *stats;
    struct http_runner *runner;
    struct clock_reading now;
    uint64_t next_ns;
    struct http_totals spooled; /* of the batches that were taken */
    unsigned batches;
    uint64_t oldest_age_ns; /* of a row, when its batch was spooled */
};

static struct policy *given_policy(const char *denied)
{
    struct option_list none = {NULL, 0}, deny = {(char **)&denied, denied ? 1 : 0};
    struct policy *policy = NULL;

    assert_int_equal(policy_create(&policy, &none, &deny, NULL), PROBER_OK);
    return policy;
}

static void make_runner(struct fixture *f, int64_t running_max)
{
    static struct agentd_settings settings;
    struct http_runner_config config = {.settings = &settings, .agent_id = {{1}}};
    struct prober_failure why;

    settings = (struct agentd_settings){
        .probe_interval_ns = INTERVAL_NS, .http_timeout_ns = S(8), .http_max_running = running_max};
    http_runner_destroy(f->runner);
    f->now = clock_read();
    config.spool = f->spool;
    config.stats = f->stats;
    config.policy = given_policy(NULL);
    assert_int_equal(http_runner_create(&f->runner, &config, &why), PROBER_OK);
    policy_put(config.policy);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(spool_create(&f->spool, 64 << 20, NULL), PROBER_OK);
    assert_int_equal(agent_stats_create(&f->stats), PROBER_OK);
    make_runner(f, 1000);
    fake_log_count = 0;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_runner_destroy(f->runner);
    spool_destroy(f->spool);
    agent_stats_destroy(f->stats);
    free(f);
    return 0;
}

static void offer(struct fixture *f, const char *block, const char *const *some, size_t count)
{
    http_runner_offer_plan(f->runner, given_http_plan(1, block, 0, some, count));
}

static void pass(struct fixture *f, uint64_t ns)
{
    f->now.mono_ns += ns;
    f->now.real_ns += ns;
    f->now.boot_ns += ns;
}

static void take_batches(struct fixture *f)
{
    struct batch *batch;

    while ((batch = spool_oldest(f->spool))) {
        assert_int_equal(batch->kind, WIRE_KIND_HTTP);
        assert_int_equal(batch->rows + batch->totals.http.unsent_late,
                         http_totals_scheduled(&batch->totals.http));
        for (size_t i = 0; i < batch->rows; i++) {
            uint64_t age_ns = f->now.boot_ns - batch->ended_boot_ns +
                              (batch->http.age_ns ? batch->http.age_ns[i] : 0);

            if (age_ns > f->oldest_age_ns)
                f->oldest_age_ns = age_ns;
        }
        http_totals_merge(&f->spooled, &batch->totals.http);
        f->batches++;
        spool_remove(f->spool);
    }
}

static void turn(struct fixture *f)
{
    f->next_ns = http_runner_turn(f->runner, &f->now);
    take_batches(f);
}

/* Lives for so long, each turn when the last one wanted it. */
static void live(struct fixture *f, uint64_t ns)
{
    uint64_t end_ns = f->now.mono_ns + ns;

    turn(f);
    while (!http_runner_is_over(f->runner)) {
        uint64_t next = f->next_ns > f->now.mono_ns ? f->next_ns : f->now.mono_ns;

        if (next > end_ns)
            break;
        pass(f, next - f->now.mono_ns);
        turn(f);
    }
    if (f->now.mono_ns < end_ns)
        pass(f, end_ns - f->now.mono_ns);
}

/* Lives until so many probes were started. */
static void await_start(struct fixture *f, size_t count)
{
    for (unsigned i = 0; i < 10000 && fake_http_engine->count < count; i++)
        live(f, S(0.01));
    assert_int_equal(fake_http_engine->count, count);
}

static struct agent_stats_http counts(struct fixture *f)
{
    struct agent_stats_copy copy;

    live(f, S(1.1)); /* an idle turn publishes them */
    agent_stats_read(f->stats, &copy);
    return copy.http;
}

/* The laws, and that what was counted is what was spooled or waits to be. */
static void check_laws(struct fixture *f)
{
    struct agent_stats_copy copy;
    uint64_t unsent = 0;

    agent_stats_read(f->stats, &copy);
    for (unsigned i = 0; i < HTTP_UNSENT_COUNT; i++)
        unsent += copy.http.unsent[i];
    assert_int_equal(unsent, http_totals_unsent(&copy.http.totals));
    assert_int_equal(http_totals_scheduled(&copy.http.totals),
                     http_totals_probed(&copy.http.totals) + unsent);
    assert_memory_equal(&copy.http.totals, &f->spooled, sizeof(f->spooled));
    assert_int_equal(copy.http.rows_lost, 0);
}

static void stop(struct fixture *f, uint64_t grace_ns)
{
    http_runner_finish(f->runner, grace_ns);
    live(f, grace_ns + S(1));
    assert_true(http_runner_is_over(f->runner));
    check_laws(f);
}

static bool log_has(const char *text)
{
    for (size_t i = 0; i < fake_log_count; i++)
        if (strstr(fake_log_messages[i], text))
            return true;
    return false;
}

static unsigned log_times(const char *text)
{
    unsigned count = 0;

    for (size_t i = 0; i < fake_log_count; i++)
        count += strstr(fake_log_messages[i], text) != NULL;
    return count;
}

static void each_url_is_probed_once_in_an_interval(void **state)
{
    struct fixture *f = *state;

    offer(f, GIVEN_BLOCK, urls, 3);
    fake_http_engine->answers_after_ns = S(0.2);
    live(f, S(0.1));
    live(f, 4 * INTERVAL_NS);
    assert_in_range(fake_http_engine->count, 12, 12);
    assert_int_equal(fake_http_engine->probes[0].timeout_ns, S(8));
    stop(f, S(1));
    assert_int_equal(f->spooled.by_reason[HTTP_SUCCEEDED], 12);
    assert_int_equal(http_totals_scheduled(&f->spooled), 12);
}

static void rows_are_spooled_within_two_seconds(void **state)
{
    struct fixture *f = *state;
    static char texts[MANY][32];
    const char *many[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof(texts[i]), "http://%u.test/", i);
        many[i] = texts[i];
    }
    offer(f, GIVEN_BLOCK, many, MANY);
    fake_http_engine->answers_after_ns = S(0.05);
    live(f, 3 * INTERVAL_NS);
    assert_in_range(f->batches, 25, 31); /* about one a second */
    assert_true(f->oldest_age_ns <= S(2));
    stop(f, S(1));
    assert_in_range(http_totals_scheduled(&f->spooled), 3 * MANY - 5, 3 * MANY);
}

static void what_finds_no_place_to_run_waits_and_is_unsent_after_an_interval(void **state)
{
    struct fixture *f = *state;
    static char texts[20][32];
    const char *many[20];
    struct agent_stats_http c;

    make_runner(f, 5);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(texts[i], sizeof(texts[i]), "http://%u.test/", i);
        many[i] = texts[i];
    }
    offer(f, GIVEN_BLOCK, many, 20); /* none of which answers: each takes 8 s of 10 */
    live(f, 20 * INTERVAL_NS);
    c = counts(f);
    assert_int_equal(c.in_flight, 5);
    assert_true(c.unsent[HTTP_UNSENT_LATE] > 200);
    assert_true(c.totals.by_reason[HTTP_FAILED_TIMEOUT] > 100);
    assert_true(log_has("not started in time"));
    assert_int_equal(log_times("not started in time"), 1);
    stop(f, S(1));
    /* Every probe that was due is accounted for. */
    assert_in_range(http_totals_scheduled(&f->spooled), 20 * 20, 20 * 21);
}

static void nothing_is_started_while_the_engine_is_busy(void **state)
{
    struct fixture *f = *state;

    offer(f, GIVEN_BLOCK, urls, 3);
    turn(f);
    fake_http_engine->is_busy = true;
    pass(f, INTERVAL_NS);
    turn(f);
    assert_int_equal(fake_http_engine->count, 0);
    assert_true(f->next_ns <= f->now.mono_ns); /* it looks again at once */
    fake_http_engine->is_busy = false;
    turn(f);
    assert_int_equal(fake_http_engine->count, 3);
    stop(f, S(1));
}

static void a_target_that_went_has_its_running_probe_reported(void **state)
{
    struct fixture *f = *state;
    const struct http_result result = {.status = 200, .content_length = -1};
    struct agent_stats_http c;

    offer(f, GIVEN_BLOCK, urls, 1);
    await_start(f, 1);
    offer(f, "{\"method\":\"HEAD\"}", urls + 1, 1);
    live(f, S(0.1));
    fake_http_engine_end(0, &result);
    c = counts(f);
    assert_int_equal(c.totals.by_reason[HTTP_SUCCEEDED], 1);
    assert_int_equal(c.targets.planned, 1);
    live(f, INTERVAL_NS);
    assert_string_equal(fake_http_engine->probes[1].target, urls[1]);
    stop(f, 0);
}

static void stopping_waits_for_an_answer_that_comes(void **state)
{
    struct fixture *f = *state;
    const struct http_result result = {.status = 200, .content_length = -1};
    struct agent_stats_copy copy;

    offer(f, GIVEN_BLOCK, urls, 3);
    await_start(f, 3);
    http_runner_finish(f->runner, S(1));
    live(f, S(0.5));
    assert_false(http_runner_is_over(f->runner));
    fake_http_engine_end(2, &result);
    live(f, S(2));
    assert_true(http_runner_is_over(f->runner));
    check_laws(f);
    agent_stats_read(f->stats, &copy);
    assert_int_equal(copy.http.totals.by_reason[HTTP_SUCCEEDED], 1);
    assert_int_equal(http_totals_scheduled(&f->spooled), fake_http_engine->count);
    assert_int_equal(copy.http.in_flight, 0);
    assert_false(copy.http.running);
}

static void what_still_runs_when_the_grace_is_over_is_unsent(void **state)
{
    struct fixture *f = *state;
    struct agent_stats_copy copy;
    uint64_t begun_ns;

    offer(f, GIVEN_BLOCK, urls, 1);
    await_start(f, 1);
    begun_ns = f->now.mono_ns;
    http_runner_finish(f->runner, S(1.5));
    while (!http_runner_is_over(f->runner))
        live(f, S(0.1));
    assert_in_range(f->now.mono_ns, begun_ns + S(1.5), begun_ns + S(1.6));
    check_laws(f);
    agent_stats_read(f->stats, &copy);
    assert_int_equal(copy.http.unsent[HTTP_UNSENT_STOPPED], 1);
    assert_int_equal(http_totals_scheduled(&f->spooled), 1);
}

static void stopping_with_nothing_in_flight_is_over_at_once(void **state)
{
    struct fixture *f = *state;

    offer(f, GIVEN_BLOCK, urls, 3);
    turn(f);
    http_runner_finish(f->runner, S(100));
    turn(f);
    assert_true(http_runner_is_over(f->runner));
}

static void what_runs_while_the_agent_stands_still_says_nothing_about_its_target(void **state)
{
    struct fixture *f = *state;
    struct agent_stats_http c;

    offer(f, GIVEN_BLOCK, urls, 1);
    await_start(f, 1);
    pass(f, S(9)); /* and nobody came round */
    c = counts(f);
    assert_int_equal(c.unsent[HTTP_UNSENT_DISTURBED], 1);
    assert_int_equal(http_totals_probed(&c.totals), 0);
    live(f, S(12));
    assert_true(log_has("stood still"));
    assert_int_equal(counts(f).unsent[HTTP_UNSENT_DISTURBED], 1);
    stop(f, 0);
}

static void what_runs_through_a_suspend_says_nothing_about_its_target(void **state)
{
    struct fixture *f = *state;
    const struct http_result result = {.reason = HTTP_FAILED_NO_RESPONSE, .content_length = -1};
    struct agent_stats_http c;

    offer(f, GIVEN_BLOCK, urls, 1);
    await_start(f, 1);
    f->now.boot_ns += S(3600);
    f->now.real_ns += S(3600);
    turn(f);
    fake_http_engine_end(0, &result);
    c = counts(f);
    assert_int_equal(c.unsent[HTTP_UNSENT_DISTURBED], 1);
    assert_int_equal(http_totals_failed(&c.totals), 0);
    stop(f, 0);
}

static void what_cannot_be_honoured_is_unsent_and_told_once(void **state)
{
    struct fixture *f = *state;
    struct agent_stats_http c;

    offer(f, "{\"body_file\":\"/secrets/body\"}", urls, 3);
    live(f, 3 * INTERVAL_NS);
    c = counts(f);
    assert_int_equal(fake_http_engine->count, 0);
    assert_in_range(c.unsent[HTTP_UNSENT_UNUSABLE], 6, 9);
    assert_int_equal(c.targets.unusable, 3);
    assert_int_equal(log_times("this agent cannot probe"), 1);
    stop(f, 0);
    assert_int_equal(http_totals_failed(&f->spooled), 0);
}

static void what_the_policy_denies_is_unsent(void **state)
{
    struct fixture *f = *state;
    struct policy *policy = given_policy("127.0.0.0/8");
    const struct http_result result = {.reason = HTTP_FAILED_LOCAL,
                                       .is_forbidden = true,
                                       .trouble = "the address is not permitted",
                                       .content_length = -1};
    struct prober_addr denied, other;
    struct agent_stats_http c;

    assert_int_equal(prober_addr_parse("127.1.2.3", &denied), PROBER_OK);
    assert_int_equal(prober_addr_parse("192.0.2.1", &other), PROBER_OK);
    offer(f, GIVEN_BLOCK, urls + 2, 1);
    await_start(f, 1);
    assert_true(fake_http_engine->permits(fake_http_engine->permits_context, &denied));
    http_runner_set_policy(f->runner, policy);
    policy_put(policy);
    turn(f);
    assert_false(fake_http_engine->permits(fake_http_engine->permits_context, &denied));
    assert_true(fake_http_engine->permits(fake_http_engine->permits_context, &other));
    fake_http_engine_end(0, &result);
    c = counts(f);
    assert_int_equal(c.unsent[HTTP_UNSENT_DENIED], 1);
    live(f, S(2));
    assert_true(log_has("forbids"));
    assert_false(log_has("not the target's"));
    stop(f, 0);
}

static void a_probe_that_fails_inside_its_start_is_counted(void **state)
{
    struct fixture *f = *state;

    fake_http_engine->at_once = HTTP_FAILED_BAD_URL;
    offer(f, GIVEN_BLOCK, urls, 2);
    live(f, INTERVAL_NS);
    stop(f, 0);
    assert_int_equal(f->spooled.by_reason[HTTP_FAILED_BAD_URL], 2);
}

static void a_trouble_of_this_side_is_told_once_and_when_it_is_over(void **state)
{
    struct fixture *f = *state;
    const struct http_result bad = {.reason = HTTP_FAILED_LOCAL, .trouble = "no such file"},
                             good = {.status = 200, .content_length = -1};

    offer(f, GIVEN_BLOCK, urls, 1);
    for (size_t i = 0; i < 8; i++) {
        live(f, INTERVAL_NS);
        fake_http_engine_end(i, i < 3 ? &bad : &good);
    }
    live(f, S(1));
    assert_int_equal(log_times("not the target's"), 1);
    assert_int_equal(log_times("do not fail for that cause"), 1);
    stop(f, 0);
}

/* Whatever happens, each probe that was due has one end. */
static void the_laws_hold_in_any_course_of_events(void **state)
{
    struct fixture *f = *state;
    static char texts[30][32];
    const char *many[30];
    uint64_t dice = 12345;

    for (unsigned i = 0; i < 30; i++) {
        snprintf(texts[i], sizeof(texts[i]), "http://%u.test/", i);
        many[i] = texts[i];
    }
    for (unsigned round = 0; round < 20; round++) {
        memset(&f->spooled, 0, sizeof(f->spooled));
        agent_stats_destroy(f->stats);
        f->stats = NULL;
        assert_int_equal(agent_stats_create(&f->stats), PROBER_OK);
        make_runner(f, 1 + round);
        for (unsigned step = 0; step < 60; step++) {
            dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            switch (dice >> 61) {
            case 0:
                offer(f, dice >> 50 & 1 ? GIVEN_BLOCK : "{\"body_file\":\"/x\"}", many,
                      1 + (dice >> 40) % 30);
                break;
            case 1:
                pass(f, (dice >> 30) % S(40));
                break;
            case 2:
                fake_http_engine->answers_after_ns = (dice >> 30) % S(10);
                break;
            default:
                live(f, (dice >> 30) % S(4));
            }
        }
        stop(f, (dice >> 30) % S(3));
        assert_true(http_totals_probed(&f->spooled) <= fake_http_engine->count);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_url_is_probed_once_in_an_interval),
        TEST(rows_are_spooled_within_two_seconds),
        TEST(what_finds_no_place_to_run_waits_and_is_unsent_after_an_interval),
        TEST(nothing_is_started_while_the_engine_is_busy),
        TEST(a_target_that_went_has_its_running_probe_reported),
        TEST(stopping_waits_for_an_answer_that_comes),
        TEST(what_still_runs_when_the_grace_is_over_is_unsent),
        TEST(stopping_with_nothing_in_flight_is_over_at_once),
        TEST(what_runs_while_the_agent_stands_still_says_nothing_about_its_target),
        TEST(what_runs_through_a_suspend_says_nothing_about_its_target),
        TEST(what_cannot_be_honoured_is_unsent_and_told_once),
        TEST(what_the_policy_denies_is_unsent),
        TEST(a_probe_that_fails_inside_its_start_is_counted),
        TEST(a_trouble_of_this_side_is_told_once_and_when_it_is_over),
        TEST(the_laws_hold_in_any_course_of_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
