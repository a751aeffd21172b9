#include "agentd/probe_run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "fakes/dns_server.h"
#include "fakes/scripted_engine.h"
#include "unit.h"

static const struct dns_record zone[] = {
    {.name = "good.test", .a = "192.0.2.1", .aaaa = "2001:db8::1"},
    {.name = "six.test", .aaaa = "2001:db8::1"},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {0},
};

static volatile sig_atomic_t stop;

struct fixture {
    struct dns_server *dns;
    struct probe_run_config config;
    sigset_t mask;
    int pipe[2];
    struct probe_targets targets;
    struct probe_summary summary;
    struct prober_failure why;
    char output[65536];
    struct json *lines[64];
    size_t line_count;
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    memset(&scripted_engine, 0, sizeof(scripted_engine));
    stop = 0;
    f.dns = dns_server_start(zone);
    sigemptyset(&f.mask);
    assert_int_equal(pipe(f.pipe), 0);
    f.config = (struct probe_run_config){
        .count = 4,
        .interval_ns = CLOCK_NS_PER_S,
        .timeout_ns = CLOCK_NS_PER_S,
        .payload_size = 64,
        .dns_servers = dns_server_address(f.dns),
        .out_fd = f.pipe[1],
        .stop = &stop,
        .sleep_mask = &f.mask,
    };
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->line_count; i++)
        json_free(f->lines[i]);
    probe_targets_free(&f->targets);
    dns_server_stop(f->dns);
    close(f->pipe[0]);
    if (f->pipe[1] >= 0)
        close(f->pipe[1]);
    return 0;
}

static void given_targets(struct fixture *f, const char *text)
{
    char *copy = strdup(text);

    assert_int_equal(probe_targets_take_text(&f->targets, "test", copy, strlen(copy), NULL),
                     PROBER_OK);
}

/* Runs it and reads the lines that it printed. */
static void run(struct fixture *f)
{
    ssize_t n;
    char *line, *save = NULL;

    assert_int_equal(probe_run(&f->config, &f->targets, &f->summary, &f->why), PROBER_OK);
    close(f->pipe[1]);
    f->pipe[1] = -1;
    n = read(f->pipe[0], f->output, sizeof(f->output) - 1);
    assert_true(n >= 0);
    f->output[n] = 0;
    for (line = strtok_r(f->output, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        assert_int_equal(json_parse(&f->lines[f->line_count++], line, strlen(line), NULL),
                         PROBER_OK);
}

static const struct json *result(struct fixture *f, const char *target)
{
    for (size_t i = 0; i < f->line_count; i++)
        if (strcmp(json_string(json_get(f->lines[i], "target")), target) == 0)
            return f->lines[i];
    fail_msg("no result of %s", target);
    return NULL;
}

static uint64_t count(const struct json *object, const char *key)
{
    uint64_t n = UINT64_MAX;

    assert_int_equal(json_u64(json_get(object, key), &n), PROBER_OK);
    return n;
}

static double seconds(const struct json *object, const char *key)
{
    double s = -1;

    assert_int_equal(json_number(json_get(object, key), &s), PROBER_OK);
    return s;
}

static void a_target_that_answers_has_its_round_trip_times(void **state)
{
    struct fixture *f = *state;
    const struct json *r, *rtt;

    given_targets(f, "192.0.2.1");
    run(f);
    r = result(f, "192.0.2.1");
    rtt = json_get(r, "rtt");
    assert_string_equal(json_string(json_get(r, "address")), "192.0.2.1");
    assert_int_equal(count(r, "sent"), 4);
    assert_int_equal(count(r, "received"), 4);
    assert_int_equal(count(r, "lost"), 0);
    assert_true(seconds(r, "loss_ratio") == 0);
    assert_true(seconds(r, "resolve_seconds") == 0);
    assert_true(seconds(rtt, "min") == 0.001);
    assert_true(seconds(rtt, "mean") == 0.0025);
    assert_true(seconds(rtt, "max") == 0.004);
    assert_true(seconds(rtt, "p50") > 0.0019 && seconds(rtt, "p50") < 0.0021);
    assert_true(seconds(rtt, "p99") <= 0.004);
    assert_null(json_get(r, "error"));
    assert_int_equal(f->summary.answered, 1);
}

static void a_silent_target_has_no_round_trip_times(void **state)
{
    struct fixture *f = *state;
    const struct json *r;

    given_targets(f, "192.0.2.2");
    run(f);
    r = result(f, "192.0.2.2");
    assert_int_equal(count(r, "lost"), 4);
    assert_true(seconds(r, "loss_ratio") == 1);
    assert_true(json_is_null(json_get(json_get(r, "rtt"), "mean")));
    assert_true(json_is_null(json_get(json_get(r, "rtt"), "p99")));
    assert_int_equal(f->summary.answered, 0);
}

static void what_was_not_sent_is_not_lost(void **state)
{
    struct fixture *f = *state;
    const struct json *r;

    given_targets(f, "192.0.2.4\n192.0.2.3");
    run(f);
    r = result(f, "192.0.2.4");
    assert_int_equal(count(r, "sent"), 0);
    assert_int_equal(count(r, "unsent"), 4);
    assert_int_equal(count(r, "lost"), 0);
    assert_true(json_is_null(json_get(r, "loss_ratio")));
    assert_non_null(json_string(json_get(r, "error")));
    assert_string_equal(json_string(json_get(result(f, "192.0.2.3"), "error")),
                        "destination unreachable");
}

static void a_name_that_does_not_resolve_is_unsent_with_a_reason(void **state)
{
    struct fixture *f = *state;
    const struct json *r;

    given_targets(f, "nowhere.test\ngood.test\nsix.test\nno/name");
    run(f);
    r = result(f, "nowhere.test");
    assert_int_equal(count(r, "sent"), 0);
    assert_int_equal(count(r, "unsent"), 4);
    assert_true(json_is_null(json_get(r, "address")));
    assert_non_null(strstr(json_string(json_get(r, "error")), "nxdomain"));
    assert_non_null(strstr(json_string(json_get(result(f, "no/name"), "error")), "bad_name"));
    assert_string_equal(json_string(json_get(result(f, "good.test"), "address")), "192.0.2.1");
    assert_string_equal(json_string(json_get(result(f, "six.test"), "address")), "2001:db8::1");
    assert_int_equal(f->summary.answered, 2);
    assert_int_equal(f->summary.targets, 4);
}

static void a_family_that_was_asked_for_is_the_only_one(void **state)
{
    struct fixture *f = *state;

    f->config.family = PROBER_FAMILY_IPV6;
    given_targets(f, "192.0.2.1\ngood.test");
    run(f);
    assert_int_equal(count(result(f, "192.0.2.1"), "sent"), 0);
    assert_string_equal(json_string(json_get(result(f, "good.test"), "address")), "2001:db8::1");
    assert_true(scripted_engine.config.ipv6);
    assert_false(scripted_engine.config.ipv4);
}

static void without_an_address_no_engine_is_needed(void **state)
{
    struct fixture *f = *state;

    scripted_engine.refuse = PROBER_ERR_DENIED;
    given_targets(f, "nowhere.test");
    run(f);
    assert_int_equal(count(result(f, "nowhere.test"), "unsent"), 4);
}

static void a_host_that_cannot_probe_says_why(void **state)
{
    struct fixture *f = *state;

    scripted_engine.refuse = PROBER_ERR_DENIED;
    given_targets(f, "192.0.2.1");
    assert_int_equal(probe_run(&f->config, &f->targets, &f->summary, &f->why), PROBER_ERR_DENIED);
    assert_non_null(strstr(f->why.text, "CAP_NET_RAW"));
}

static void a_target_given_twice_is_probed_twice(void **state)
{
    struct fixture *f = *state;

    given_targets(f, "192.0.2.1\n192.0.2.1\n");
    run(f);
    assert_int_equal(f->line_count, 2);
    assert_int_equal(scripted_engine.targets, 2);
}

static void one_window_holds_all_probes(void **state)
{
    struct fixture *f = *state;
    char text[60 * 10 + 1] = "";

    for (int i = 0; i < 60; i++)
        strcat(text, "192.0.2.1\n");
    given_targets(f, text);
    run(f);
    assert_int_equal(scripted_engine.config.window_ns, 3 * CLOCK_NS_PER_S + 60 * PROBE_PACE_NS);
    assert_int_equal(scripted_engine.last_target.gap_ns, CLOCK_NS_PER_S);
    assert_int_equal(scripted_engine.last_target.count, 4);
}

static void many_targets_are_spread_over_the_interval_and_no_further(void **state)
{
    struct fixture *f = *state;

    f->config.interval_ns = CLOCK_NS_PER_MS;
    given_targets(f, "192.0.2.1\n192.0.2.1\n");
    run(f);
    assert_int_equal(scripted_engine.config.window_ns, 4 * CLOCK_NS_PER_MS);
}

static void a_summary_is_one_object_for_all(void **state)
{
    struct fixture *f = *state;
    const struct json *s;

    f->config.summary = true;
    given_targets(f, "192.0.2.1\n192.0.2.2\n192.0.2.4\n192.0.2.5\nnowhere.test");
    run(f);
    assert_int_equal(f->line_count, 1);
    s = f->lines[0];
    assert_int_equal(count(s, "targets"), 5);
    assert_int_equal(count(s, "answered"), 2);
    assert_int_equal(count(s, "sent"), 12);
    assert_int_equal(count(s, "received"), 5);
    assert_int_equal(count(s, "lost"), 7);
    assert_int_equal(count(s, "unsent"), 8);
    assert_true(seconds(json_get(s, "rtt"), "max") == 0.004);
    assert_true(seconds(s, "elapsed_seconds") > 0);
}

static void people_get_lines_with_milliseconds(void **state)
{
    struct fixture *f = *state;
    ssize_t n;

    f->config.text = true;
    given_targets(f, "192.0.2.1\n192.0.2.2");
    assert_int_equal(probe_run(&f->config, &f->targets, &f->summary, &f->why), PROBER_OK);
    n = read(f->pipe[0], f->output, sizeof(f->output) - 1);
    assert_true(n > 0);
    f->output[n] = 0;
    assert_non_null(strstr(f->output,
                           "192.0.2.1: 4 sent, 4 received, 0.0 % loss; RTT min 1.000 avg "
                           "2.500 max 4.000 stddev 1.118 ms\n"));
    assert_non_null(strstr(f->output, "192.0.2.2: 4 sent, 0 received, 100.0 % loss\n"));
}

static void a_summary_for_people_is_one_line(void **state)
{
    struct fixture *f = *state;
    ssize_t n;

    f->config.text = f->config.summary = true;
    given_targets(f, "192.0.2.1\nnowhere.test");
    assert_int_equal(probe_run(&f->config, &f->targets, &f->summary, &f->why), PROBER_OK);
    n = read(f->pipe[0], f->output, sizeof(f->output) - 1);
    assert_true(n > 0);
    f->output[n] = 0;
    assert_non_null(strstr(f->output, "1 of 2 targets answered: 4 sent, 4 received, 0.0 % loss, 4 "
                                      "unsent; RTT min "));
}

static void stopping_prints_what_is_known(void **state)
{
    struct fixture *f = *state;

    scripted_engine.set_at_step = &stop;
    given_targets(f, "192.0.2.6\n192.0.2.1");
    run(f);
    assert_int_equal(f->line_count, 2);
    assert_int_equal(count(result(f, "192.0.2.6"), "sent"), 1);
    assert_int_equal(count(result(f, "192.0.2.6"), "received"), 1);
    assert_int_equal(count(result(f, "192.0.2.1"), "received"), 4);
}

static void stopping_before_the_names_are_known_sends_nothing(void **state)
{
    struct fixture *f = *state;
    const struct json *r;

    stop = 1;
    given_targets(f, "silent.test\n192.0.2.1");
    run(f);
    assert_int_equal(f->line_count, 2);
    r = result(f, "silent.test");
    assert_int_equal(count(r, "sent") + count(r, "unsent"), 0);
    assert_string_equal(json_string(json_get(r, "error")), "interrupted");
    assert_int_equal(count(result(f, "192.0.2.1"), "sent"), 0);
    assert_int_equal(scripted_engine.targets, 0);
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;

    f->config.out_fd = -1;
    given_targets(f, "192.0.2.1");
    assert_int_equal(probe_run(&f->config, &f->targets, &f->summary, &f->why), PROBER_ERR_IO);
    assert_non_null(strstr(f->why.text, "write"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_target_that_answers_has_its_round_trip_times),
        TEST(a_silent_target_has_no_round_trip_times),
        TEST(what_was_not_sent_is_not_lost),
        TEST(a_name_that_does_not_resolve_is_unsent_with_a_reason),
        TEST(a_family_that_was_asked_for_is_the_only_one),
        TEST(without_an_address_no_engine_is_needed),
        TEST(a_host_that_cannot_probe_says_why),
        TEST(a_target_given_twice_is_probed_twice),
        TEST(one_window_holds_all_probes),
        TEST(many_targets_are_spread_over_the_interval_and_no_further),
        TEST(a_summary_is_one_object_for_all),
        TEST(people_get_lines_with_milliseconds),
        TEST(a_summary_for_people_is_one_line),
        TEST(stopping_prints_what_is_known),
        TEST(stopping_before_the_names_are_known_sends_nothing),
        TEST(output_that_cannot_be_written_is_an_error),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
