#include "agentd/probe_http_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/json.h"
#include "fakes/dns_server.h"
#include "fakes/http_server.h"
#include "given_http_spec.h"
#include "unit.h"

#define JOBS_MAX 600

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .body = "good day"},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {0},
};

static const struct dns_record records[] = {
    {.name = "a.test", .a = "127.0.0.1"},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {0},
};

static volatile sig_atomic_t stop;

struct fixture {
    struct http_server *server;
    struct dns_server *dns;
    struct http_spec spec;
    struct http_kind *kind;
    struct probe_http_job jobs[JOBS_MAX];
    struct probe_http_run_config config;
    struct probe_http_summary summary;
    struct prober_failure why;
    sigset_t mask;
    int pipe[2];
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    stop = 0;
    f.server = http_server_start(routes);
    f.dns = dns_server_start(records);
    f.spec = given_http_spec();
    assert_int_equal(http_kind_create(&f.kind, &f.spec, NULL, NULL), PROBER_OK);
    assert_int_equal(pipe2(f.pipe, O_NONBLOCK), 0);
    sigemptyset(&f.mask);
    f.config = (struct probe_http_run_config){.jobs = f.jobs,
                                              .dns_servers = dns_server_address(f.dns),
                                              .out_fd = f.pipe[1],
                                              .stop = &stop,
                                              .sleep_mask = &f.mask};
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_kind_destroy(f->kind);
    http_server_stop(f->server);
    dns_server_stop(f->dns);
    close(f->pipe[0]);
    return close(f->pipe[1]);
}

static void given_job(struct fixture *f, const char *target, uint64_t timeout_ns)
{
    f->jobs[f->config.count++] = (struct probe_http_job){target, f->kind, &f->spec, timeout_ns};
}

/* Runs it; what it printed is a list of objects, to be freed. */
static struct json *run(struct fixture *f)
{
    static char text[1 << 16];
    struct json *list = json_array(), *object;
    char *save = NULL;
    ssize_t n;

    assert_int_equal(probe_http_run(&f->config, &f->summary, &f->why), PROBER_OK);
    n = read(f->pipe[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_int_equal(json_parse(&object, line, strlen(line), NULL), PROBER_OK);
        json_append(list, object);
    }
    return list;
}

static void each_target_is_printed_as_it_ends(void **state)
{
    struct fixture *f = *state;
    struct json *list;
    char silent[128], named[128];

    snprintf(silent, sizeof(silent), "%s/silent", http_server_url(f->server));
    snprintf(named, sizeof(named), "http://a.test%s/", strrchr(http_server_url(f->server), ':'));
    given_job(f, silent, 100 * CLOCK_NS_PER_MS);
    given_job(f, "ftp://a/", CLOCK_NS_PER_S);
    given_job(f, named, 20 * CLOCK_NS_PER_S);
    list = run(f);
    assert_int_equal(json_count(list), 3);
    assert_string_equal(json_string(json_get(json_at(list, 0), "target")), "ftp://a/");
    assert_string_equal(json_string(json_get(json_at(list, 1), "target")), named);
    assert_true(json_is_null(json_get(json_at(list, 1), "failed_reason")));
    assert_string_equal(json_string(json_get(json_at(list, 2), "failed_reason")), "timeout");
    assert_int_equal(f->summary.ended, 3);
    assert_int_equal(f->summary.succeeded, 1);
    json_free(list);
}

static void more_targets_than_run_at_once_are_all_probed(void **state)
{
    struct fixture *f = *state;

    f->config.out_fd = open("/dev/null", O_WRONLY);
    for (size_t i = 0; i < JOBS_MAX; i++)
        given_job(f, http_server_url(f->server), 20 * CLOCK_NS_PER_S);
    assert_int_equal(probe_http_run(&f->config, &f->summary, &f->why), PROBER_OK);
    assert_int_equal(f->summary.succeeded, JOBS_MAX);
    assert_int_equal(http_server_requests(f->server), JOBS_MAX);
    close(f->config.out_fd);
}

static void what_runs_when_it_is_stopped_has_no_result(void **state)
{
    struct fixture *f = *state;
    struct json *list;
    char silent[128];

    snprintf(silent, sizeof(silent), "%s/silent", http_server_url(f->server));
    given_job(f, silent, 20 * CLOCK_NS_PER_S);
    given_job(f, "http://silent.test/", 20 * CLOCK_NS_PER_S);
    f->config.is_traced = true;
    stop = 1;
    list = run(f);
    assert_int_equal(json_count(list), 0);
    assert_int_equal(f->summary.ended, 0);
    json_free(list);
}

static void each_result_shows_its_hops_when_wanted(void **state)
{
    struct fixture *f = *state;
    const struct json *hops;
    struct json *list;

    f->config.is_traced = true;
    given_job(f, "http://a:b:c/", CLOCK_NS_PER_S);
    given_job(f, http_server_url(f->server), 20 * CLOCK_NS_PER_S);
    list = run(f);
    assert_true(json_is_null(json_get(json_at(list, 1), "error")));
    hops = json_get(json_at(list, 1), "hops");
    assert_int_equal(json_count(hops), 1);
    assert_string_equal(json_string(json_get(json_at(hops, 0), "body")), "good day");
    assert_string_equal(json_string(json_get(json_at(list, 0), "failed_reason")), "bad_url");
    assert_non_null(json_string(json_get(json_at(list, 0), "error")));
    assert_int_equal(json_count(json_get(json_at(list, 0), "hops")), 0);
    json_free(list);
}

static void a_lookup_may_last_as_long_as_its_probe(void **state)
{
    struct fixture *f = *state;
    struct json *list;

    given_job(f, "http://silent.test/", 50 * CLOCK_NS_PER_MS);
    list = run(f);
    assert_string_equal(json_string(json_get(json_at(list, 0), "failed_reason")), "dns_timeout");
    json_free(list);
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;

    f->config.out_fd = open("/dev/full", O_WRONLY);
    given_job(f, "ftp://a/", CLOCK_NS_PER_S);
    assert_int_equal(probe_http_run(&f->config, &f->summary, &f->why), PROBER_ERR_IO);
    assert_non_null(strstr(f->why.text, "No space left"));
    close(f->config.out_fd);
}

static void name_servers_that_are_none_are_an_error(void **state)
{
    struct fixture *f = *state;

    f->config.dns_servers = "not an address";
    given_job(f, "ftp://a/", CLOCK_NS_PER_S);
    assert_int_equal(probe_http_run(&f->config, &f->summary, &f->why), PROBER_ERR_SYNTAX);
    assert_true(f->why.text[0]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_target_is_printed_as_it_ends),
        CASE(more_targets_than_run_at_once_are_all_probed),
        CASE(what_runs_when_it_is_stopped_has_no_result),
        CASE(each_result_shows_its_hops_when_wanted),
        CASE(a_lookup_may_last_as_long_as_its_probe),
        CASE(output_that_cannot_be_written_is_an_error),
        CASE(name_servers_that_are_none_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
