#include "agentd/probe_trace.h"

#include <stdio.h>
#include <string.h>

#include "agentd/probe_command.h"
#include "common/array.h"
#include "common/clock.h"
#include "fakes/fake_probe_trace_run.h"
#include "unit.h"

#define WORDS_MAX 24

static int set_up(void **state)
{
    (void)state;
    memset(&fake_probe_trace_run, 0, sizeof(fake_probe_trace_run));
    fake_probe_trace_run.reached = 1;
    return 0;
}

/* Runs `probe trace` with the words of `line`. */
static int run(const char *line)
{
    static char copy[512];
    char *argv[WORDS_MAX], *save = NULL;
    int argc = 0;

    snprintf(copy, sizeof(copy), "trace %s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    return probe_command(argc, argv);
}

static void the_defaults_are_those_of_the_help(void **state)
{
    const struct probe_trace_config *c = &fake_probe_trace_run.config;

    (void)state;
    assert_int_equal(run("192.0.2.1"), PROBE_EXIT_OK);
    assert_int_equal(c->like.protocol, TRACE_ICMP);
    assert_int_equal(c->like.port, TRACE_PORT_DEFAULT);
    assert_int_equal(c->like.limits.count, 10);
    assert_int_equal(c->like.limits.max_hops, 30);
    assert_int_equal(c->like.limits.silent_max, 5);
    assert_int_equal(c->like.limits.timeout_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(c->like.interval_ns, CLOCK_NS_PER_S);
    assert_int_equal(c->rate, TRACE_RATE_DEFAULT);
    assert_int_equal(c->family, PROBER_FAMILY_NONE);
    assert_false(c->json);
    assert_string_equal(fake_probe_trace_run.dns_servers, "(system)");
    assert_string_equal(fake_probe_trace_run.targets, "192.0.2.1 ");
}

static void every_flag_says_how_to_trace(void **state)
{
    const struct probe_trace_config *c = &fake_probe_trace_run.config;

    (void)state;
    fake_probe_trace_run.reached = 2;
    assert_int_equal(
        run("-protocol udp -port 53 a -count 3 -interval 200ms -timeout=4s -max-hops 9 "
            "-silent 2 -rate 7 -6 -json -dns 127.0.0.1:5353 b"),
        PROBE_EXIT_OK);
    assert_string_equal(fake_probe_trace_run.targets, "a b ");
    assert_int_equal(c->like.protocol, TRACE_UDP);
    assert_int_equal(c->like.port, 53);
    assert_int_equal(c->like.limits.count, 3);
    assert_int_equal(c->like.limits.max_hops, 9);
    assert_int_equal(c->like.limits.silent_max, 2);
    assert_int_equal(c->like.limits.timeout_ns, 4 * CLOCK_NS_PER_S);
    assert_int_equal(c->like.interval_ns, 200 * CLOCK_NS_PER_MS);
    assert_int_equal(c->rate, 7);
    assert_int_equal(c->family, PROBER_FAMILY_IPV6);
    assert_true(c->json);
    assert_string_equal(fake_probe_trace_run.dns_servers, "127.0.0.1:5353");
}

static void a_target_that_is_not_reached_fails_the_command(void **state)
{
    (void)state;
    assert_int_equal(run("-4 a b"), PROBE_EXIT_FAILED);
    assert_int_equal(fake_probe_trace_run.config.family, PROBER_FAMILY_IPV4);
    fake_probe_trace_run.err = PROBER_ERR_DENIED;
    assert_int_equal(run("a"), PROBE_EXIT_USAGE);
}

static void a_wrong_command_line_traces_nothing(void **state)
{
    static const char *const lines[] = {"",
                                        "-4 -6 a",
                                        "-protocol tcp a",
                                        "-protocol ICMP a",
                                        "-count 0 a",
                                        "-count 1001 a",
                                        "-max-hops 65 a",
                                        "-max-hops 0 a",
                                        "-silent 0 a",
                                        "-rate 1001 a",
                                        "-rate 0 a",
                                        "-port 0 a",
                                        "-port 65536 a",
                                        "-timeout 61s a",
                                        "-interval 0s a",
                                        "-flood a",
                                        "-count"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(run(lines[i]), PROBE_EXIT_USAGE);
    assert_int_equal(fake_probe_trace_run.calls, 0);
}

static void help_traces_nothing(void **state)
{
    (void)state;
    assert_int_equal(run("-h"), PROBE_EXIT_OK);
    assert_int_equal(run("a --help"), PROBE_EXIT_OK);
    assert_int_equal(fake_probe_trace_run.calls, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_defaults_are_those_of_the_help, set_up),
        cmocka_unit_test_setup(every_flag_says_how_to_trace, set_up),
        cmocka_unit_test_setup(a_target_that_is_not_reached_fails_the_command, set_up),
        cmocka_unit_test_setup(a_wrong_command_line_traces_nothing, set_up),
        cmocka_unit_test_setup(help_traces_nothing, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
