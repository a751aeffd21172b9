#include "agentd/probe_trace_run.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "fakes/dns_server.h"
#include "fakes/fake_trace_socket.h"
#include "unit.h"

static const struct dns_record zone[] = {
    {.name = "good.test", .a = "192.0.2.1", .aaaa = "2001:db8::1"},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {0},
};

static volatile sig_atomic_t stop;

struct fixture {
    struct dns_server *dns;
    struct probe_trace_config config;
    sigset_t mask;
    int pipe[2];
    struct probe_targets targets;
    size_t reached;
    struct prober_failure why;
    char output[65536];
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    fake_hosts_reset();
    stop = 0;
    f.dns = dns_server_start(zone);
    sigemptyset(&f.mask);
    assert_int_equal(pipe(f.pipe), 0);
    f.config = (struct probe_trace_config){
        .like =
            {.port = TRACE_PORT_DEFAULT,
             .limits = {.count = 1, .max_hops = 2, .silent_max = 1, .timeout_ns = CLOCK_NS_PER_MS},
             .interval_ns = CLOCK_NS_PER_MS},
        .rate = TRACE_RATE_MAX,
        .dns_servers = dns_server_address(f.dns),
        .json = true,
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

    probe_targets_free(&f->targets);
    dns_server_stop(f->dns);
    close(f->pipe[0]);
    close(f->pipe[1]);
    assert_int_equal(fake_hosts.ears, 0);
    assert_int_equal(fake_hosts.mouths, 0);
    return 0;
}

/* Traces the targets and returns what was printed. */
static const char *run(struct fixture *f, const char *const *names, enum prober_error expected)
{
    ssize_t n;

    for (; *names; names++)
        assert_int_equal(probe_targets_add(&f->targets, *names, &f->why), PROBER_OK);
    assert_int_equal(probe_trace_run(&f->config, &f->targets, &f->reached, &f->why), expected);
    fcntl(f->pipe[0], F_SETFL, O_NONBLOCK);
    n = read(f->pipe[0], f->output, sizeof(f->output) - 1);
    f->output[n > 0 ? n : 0] = 0;
    return f->output;
}

static size_t lines_in(const char *text)
{
    size_t n = 0;

    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

static void a_silent_path_is_printed_and_not_reached(void **state)
{
    const char *out = run(*state, (const char *[]){"good.test", NULL}, PROBER_OK);

    assert_non_null(strstr(out, "{\"target\":\"good.test\",\"address\":\"192.0.2.1\""));
    assert_non_null(strstr(out, "\"reached\":false,\"end\":\"silent\""));
    assert_int_equal(((struct fixture *)*state)->reached, 0);
    assert_int_equal(fake_hosts.sent_count, 1);
}

static void a_target_that_cannot_be_traced_keeps_no_other_from_it(void **state)
{
    const char *out = run(
        *state,
        (const char *[]){"none.test", "224.0.0.1", "300.1.1.1", "192.0.2.7", "2001:db8::7", NULL},
        PROBER_OK);

    assert_int_equal(lines_in(out), 5);
    assert_non_null(strstr(out, "(nxdomain)"));
    assert_non_null(strstr(out, "not the address of a single host"));
    assert_non_null(strstr(out, "(bad_name)"));
    assert_non_null(strstr(out, "\"address\":\"2001:db8::7\",\"resolve_seconds\":0,\"protocol\""));
}

static void a_target_without_a_route_says_so(void **state)
{
    struct fixture *f = *state;
    const char *out;

    fake_hosts.no_route = true;
    f->config.json = false;
    out = run(f, (const char *[]){"192.0.2.7", NULL}, PROBER_OK);
    assert_string_equal(out, "192.0.2.7 (192.0.2.7): no way there\n");
}

static void more_targets_than_run_at_once_are_all_traced(void **state)
{
    const char *names[PROBE_TRACE_AT_ONCE * 2 + 2] = {0};

    for (size_t i = 0; i < ARRAY_LEN(names) - 1; i++)
        names[i] = i % 2 ? "192.0.2.7" : "good.test";
    assert_int_equal(lines_in(run(*state, names, PROBER_OK)), ARRAY_LEN(names) - 1);
}

static void no_permission_ends_the_run_and_prints_no_result(void **state)
{
    struct fixture *f = *state;

    fake_hosts.denied = true;
    assert_string_equal(run(f, (const char *[]){"192.0.2.7", "good.test", NULL}, PROBER_ERR_DENIED),
                        "");
    assert_string_equal(f->why.text, "denied");
}

static void an_interrupt_waits_for_no_name(void **state)
{
    struct fixture *f = *state;
    const char *out;

    stop = 1;
    out = run(f, (const char *[]){"silent.test", "192.0.2.7", NULL}, PROBER_OK);
    assert_int_equal(lines_in(out), 2);
    assert_non_null(strstr(out, "interrupted"));
    assert_int_equal(fake_hosts.sent_count, 0);
}

static void a_result_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;

    f->config.out_fd = -1;
    run(f, (const char *[]){"192.0.2.7", NULL}, PROBER_ERR_IO);
    assert_non_null(strstr(f->why.text, "cannot write the results"));
}

static void wrong_settings_trace_nothing(void **state)
{
    struct fixture *f = *state;

    f->config.rate = 0;
    run(f, (const char *[]){"192.0.2.7", NULL}, PROBER_ERR_RANGE);
    f->config.dns_servers = "nonsense:x";
    run(f, (const char *[]){"192.0.2.7", NULL}, PROBER_ERR_SYNTAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_silent_path_is_printed_and_not_reached),
        TEST(a_target_that_cannot_be_traced_keeps_no_other_from_it),
        TEST(a_target_without_a_route_says_so),
        TEST(more_targets_than_run_at_once_are_all_traced),
        TEST(no_permission_ends_the_run_and_prints_no_result),
        TEST(an_interrupt_waits_for_no_name),
        TEST(a_result_that_cannot_be_written_is_an_error),
        TEST(wrong_settings_trace_nothing),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
