#include "agentd/probe_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/probe_command.h"
#include "common/array.h"
#include "common/clock.h"
#include "fakes/fake_probe_http_run.h"
#include "unit.h"

#define WORDS_MAX 16

static const char text[] =
    "prober_configs:\n"
    "- {prober_type: http, region: r, name: one, targets: [x, y]}\n"
    "- {prober_type: http, region: r, name: two, timeout: 3s, targets: [x]}\n"
    "- {prober_type: http, region: s, name: two, targets: [z]}\n"
    "- {prober_type: http, region: s, name: none, "
    "file_sd_configs: [{files: [a.yaml]}]}\n";
static char path[] = "/tmp/test_probe_http.XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake_probe_http_run, 0, sizeof(fake_probe_http_run));
    return 0;
}

/* Runs `probe http` with the words of `line`, FILE being the probe file. */
static int run(const char *line)
{
    static char copy[512];
    char *argv[WORDS_MAX], *save = NULL;
    int argc = 0;

    snprintf(copy, sizeof(copy), "http %s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = strcmp(w, "FILE") == 0 ? path : w;
    return probe_command(argc, argv);
}

static void urls_are_probed_by_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(run("http://a/ b:8080"), PROBE_EXIT_OK);
    assert_string_equal(fake_probe_http_run.targets, "http://a/ b:8080 ");
    assert_string_equal(fake_probe_http_run.dns_servers, "(system)");
    assert_int_equal(fake_probe_http_run.timeouts_ns[1], 10 * CLOCK_NS_PER_S);
    assert_false(fake_probe_http_run.is_traced);
    assert_int_equal(run("-v a"), PROBE_EXIT_OK);
    assert_true(fake_probe_http_run.is_traced);
}

static void the_entrys_targets_are_probed_without_urls_alone(void **state)
{
    (void)state;
    assert_int_equal(run("-config FILE -prober one"), PROBE_EXIT_OK);
    assert_string_equal(fake_probe_http_run.targets, "x y ");
    assert_int_equal(run("-config FILE -prober one http://a/"), PROBE_EXIT_OK);
    assert_string_equal(fake_probe_http_run.targets, "http://a/ ");
}

static void several_entries_of_a_name_keep_each_their_timeout(void **state)
{
    (void)state;
    assert_int_equal(run("-config FILE -prober two"), PROBE_EXIT_OK);
    assert_string_equal(fake_probe_http_run.targets, "x z ");
    assert_int_equal(fake_probe_http_run.timeouts_ns[0], 3 * CLOCK_NS_PER_S);
    assert_int_equal(fake_probe_http_run.timeouts_ns[1], 10 * CLOCK_NS_PER_S);
    assert_int_equal(run("-config FILE -prober two -timeout 200ms"), PROBE_EXIT_OK);
    assert_int_equal(fake_probe_http_run.timeouts_ns[0], 200 * CLOCK_NS_PER_MS);
    assert_int_equal(fake_probe_http_run.timeouts_ns[1], 200 * CLOCK_NS_PER_MS);
}

static void the_exit_status_tells_whether_all_succeeded(void **state)
{
    (void)state;
    fake_probe_http_run.failed = 1;
    assert_int_equal(run("a b"), PROBE_EXIT_FAILED);
    fake_probe_http_run.failed = 0;
    fake_probe_http_run.unended = 1;
    assert_int_equal(run("a b"), PROBE_EXIT_FAILED);
    fake_probe_http_run.err = PROBER_ERR_IO;
    assert_int_equal(run("a b"), PROBE_EXIT_USAGE);
}

static void a_wrong_command_line_probes_nothing(void **state)
{
    static const char *const lines[] = {
        "",
        "-config FILE",
        "-config FILE a",
        "-config FILE -prober three a",
        "-config FILE -prober two a",
        "-config FILE -prober none",
        "-config /nonexistent/file -prober one a",
        "-prober one a",
        "-timeout 2h a",
        "-timeout soon a",
        "-4 -6 a",
        "-unknown a",
        "-file /nonexistent/list",
        "-method POST a",
        "-status 1000 a",
        "-allow 10.0.0.0/33 a",
        "-deny nonsense a",
        "-text -v a",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(run(lines[i]), PROBE_EXIT_USAGE);
    assert_int_equal(fake_probe_http_run.calls, 0);
}

static void help_is_no_failure(void **state)
{
    (void)state;
    assert_int_equal(run("-h"), PROBE_EXIT_OK);
    assert_int_equal(run("--help a"), PROBE_EXIT_OK);
    assert_int_equal(fake_probe_http_run.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(urls_are_probed_by_the_defaults, set_up),
        cmocka_unit_test_setup(the_entrys_targets_are_probed_without_urls_alone, set_up),
        cmocka_unit_test_setup(several_entries_of_a_name_keep_each_their_timeout, set_up),
        cmocka_unit_test_setup(the_exit_status_tells_whether_all_succeeded, set_up),
        cmocka_unit_test_setup(a_wrong_command_line_probes_nothing, set_up),
        cmocka_unit_test_setup(help_is_no_failure, set_up),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
