#include "agentd/probe_icmp.h"

#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/probe_command.h"
#include "common/array.h"
#include "common/clock.h"
#include "fakes/fake_probe_run.h"
#include "unit.h"

#define WORDS_MAX 16

static int set_up(void **state)
{
    (void)state;
    memset(&fake_probe_run, 0, sizeof(fake_probe_run));
    fake_probe_run.answered = 1;
    return 0;
}

/* Runs `probe icmp` with the words of `line`. */
static int run(const char *line)
{
    static char copy[512];
    char *argv[WORDS_MAX], *save = NULL;
    int argc = 0;

    snprintf(copy, sizeof(copy), "icmp %s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    return probe_command(argc, argv);
}

static void the_defaults_are_those_of_the_help(void **state)
{
    const struct probe_run_config *c = &fake_probe_run.config;

    (void)state;
    assert_int_equal(run("192.0.2.1"), PROBE_EXIT_OK);
    assert_int_equal(c->count, 5);
    assert_int_equal(c->interval_ns, CLOCK_NS_PER_S);
    assert_int_equal(c->timeout_ns, CLOCK_NS_PER_S);
    assert_int_equal(c->payload_size, 64);
    assert_int_equal(c->family, PROBER_FAMILY_NONE);
    assert_false(c->summary);
    assert_string_equal(fake_probe_run.dns_servers, "(system)");
    assert_string_equal(fake_probe_run.targets, "192.0.2.1 ");
}

static void text_is_for_people_unless_objects_are_asked_for_too(void **state)
{
    (void)state;
    run("192.0.2.1");
    assert_false(fake_probe_run.config.text);
    run("-text 192.0.2.1");
    assert_true(fake_probe_run.config.text);
    run("-text -json 192.0.2.1");
    assert_false(fake_probe_run.config.text);
}

static void flags_may_stand_before_between_and_after_the_hosts(void **state)
{
    const struct probe_run_config *c = &fake_probe_run.config;

    (void)state;
    fake_probe_run.answered = 3;
    assert_int_equal(run("-count 3 a --interval=200ms b -timeout=2s -summary -size 100 -6 "
                         "-dns 127.0.0.1:5353 c"),
                     PROBE_EXIT_OK);
    assert_string_equal(fake_probe_run.targets, "a b c ");
    assert_int_equal(c->count, 3);
    assert_int_equal(c->interval_ns, 200 * CLOCK_NS_PER_MS);
    assert_int_equal(c->timeout_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(c->payload_size, 100);
    assert_int_equal(c->family, PROBER_FAMILY_IPV6);
    assert_true(c->summary);
    assert_string_equal(fake_probe_run.dns_servers, "127.0.0.1:5353");
}

static void after_two_dashes_all_are_hosts(void **state)
{
    (void)state;
    assert_int_equal(run("-4 -- -count a"), PROBE_EXIT_FAILED);
    assert_string_equal(fake_probe_run.targets, "-count a ");
    assert_int_equal(fake_probe_run.config.family, PROBER_FAMILY_IPV4);
}

static void the_exit_status_tells_whether_all_answered(void **state)
{
    (void)state;
    assert_int_equal(run("a b"), PROBE_EXIT_FAILED);
    fake_probe_run.answered = 2;
    assert_int_equal(run("a b"), PROBE_EXIT_OK);
    fake_probe_run.err = PROBER_ERR_DENIED;
    assert_int_equal(run("a b"), PROBE_EXIT_USAGE);
}

static void a_wrong_command_line_probes_nothing(void **state)
{
    static const char *const lines[] = {
        "",
        "-count 0 a",
        "-count 65536 a",
        "-count x a",
        "-count",
        "-interval 0 a",
        "-interval 1 a",
        "-timeout 61s a",
        "-size 23 a",
        "-size 65001 a",
        "-4 -6 a",
        "-unknown a",
        "-summary=perhaps a",
        "-file /nonexistent/list",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(run(lines[i]), PROBE_EXIT_USAGE);
    assert_int_equal(fake_probe_run.calls, 0);
}

static void a_file_adds_to_the_hosts(void **state)
{
    char path[] = "/tmp/test_probe_icmp.XXXXXX", line[64];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "b\nc\n", 4), 4);
    snprintf(line, sizeof(line), "-file %s a", path);
    run(line);
    unlink(path);
    close(fd);
    assert_string_equal(fake_probe_run.targets, "a b c ");
}

static void help_goes_to_stdout_and_succeeds(void **state)
{
    char word[] = "-h", *argv[] = {word};

    (void)state;
    assert_int_equal(run("-h"), PROBE_EXIT_OK);
    assert_int_equal(run("a -help"), PROBE_EXIT_OK);
    assert_int_equal(probe_command(1, argv), PROBE_EXIT_OK);
    assert_int_equal(fake_probe_run.calls, 0);
}

static void an_unknown_kind_of_probe_is_refused(void **state)
{
    char word[] = "telepathy", *argv[] = {word};

    (void)state;
    assert_int_equal(probe_command(1, argv), PROBE_EXIT_USAGE);
    assert_int_equal(probe_command(0, argv), PROBE_EXIT_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(the_defaults_are_those_of_the_help),
        TEST(text_is_for_people_unless_objects_are_asked_for_too),
        TEST(flags_may_stand_before_between_and_after_the_hosts),
        TEST(after_two_dashes_all_are_hosts),
        TEST(the_exit_status_tells_whether_all_answered),
        TEST(a_wrong_command_line_probes_nothing),
        TEST(a_file_adds_to_the_hosts),
        TEST(help_goes_to_stdout_and_succeeds),
        TEST(an_unknown_kind_of_probe_is_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
