#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "libprober/spec.h"
#include "serverd/target_fetch.h"
#include "test/unit/fakes/http_server.h"

#define JSON "Content-Type: application/json\r\n"
#define LONG_NS (20 * CLOCK_NS_PER_S)

static const struct http_route routes[] = {
    {.method = "GET", .path = "/good", .headers = JSON, .body = "[{\"targets\":[\"a\",\"b\"]}]"},
    {.method = "GET",
     .path = "/charset",
     .headers = "Content-Type: Application/JSON; charset=UTF-8\r\n",
     .body = "[]"},
    {.method = "GET", .path = "/html", .headers = "Content-Type: text/html\r\n", .body = "[]"},
    {.method = "GET",
     .path = "/latin",
     .headers = "Content-Type: application/json; charset=latin-1\r\n",
     .body = "[]"},
    {.method = "GET", .path = "/untyped", .body = "[]"},
    {.method = "GET", .path = "/broken", .status = 503, .headers = JSON, .body = "[]"},
    {.method = "GET", .path = "/empty", .status = 204, .headers = JSON},
    {.method = "GET", .path = "/moved", .status = 302, .headers = JSON "Location: /good\r\n"},
    {.method = "GET", .path = "/faulty", .headers = JSON, .body = "[\n{\"targets\":[7]}]"},
    {.method = "GET", .path = "/cut", .headers = JSON, .body = "[{\"targets\":"},
    {.method = "GET",
     .path = "/large",
     .headers = JSON,
     .body = "                ",
     .repeat = 700000},
    {.method = "GET",
     .path = "/bearer",
     .needs = "Authorization: Token hush",
     .headers = JSON,
     .body = "[]"},
    {.method = "GET",
     .path = "/basic",
     .needs = "Authorization: Basic bWU6aHVzaA==",
     .headers = JSON,
     .body = "[]"},
    {.method = "GET", .path = "/headers", .needs = "X-Key: hush", .headers = JSON, .body = "[]"},
    {0},
};

static struct {
    char dir[64], path[128];
    struct http_server *server;
    struct http_fetcher *fetcher;
    struct problems *problems;
    struct probe_spec *spec;
    struct prober_failure why;
} world;

static void write_file(const char *name, const char *text)
{
    FILE *f;

    snprintf(world.path, sizeof(world.path), "%s/%s", world.dir, name);
    f = fopen(world.path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make_world(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_target_fetch.XXXXXX");
    world.server = http_server_start(routes);
    return !mkdtemp(world.dir) || problems_create(&world.problems) ||
           http_fetcher_create(&world.fetcher);
}

static int end_world(void **state)
{
    char command[128];

    (void)state;
    http_fetcher_destroy(world.fetcher);
    probe_spec_destroy(world.spec);
    problems_destroy(world.problems);
    http_server_stop(world.server);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static const struct target_source *given_source(const char *path, const char *more)
{
    char text[512];

    snprintf(text, sizeof(text),
             "prober_configs:\n- prober_type: http\n  http_sd_configs:\n  - url: %s%s\n%s",
             http_server_url(world.server), path, more);
    write_file("probe.yaml", text);
    probe_spec_destroy(world.spec);
    world.spec = NULL;
    if (probe_spec_read_file(&world.spec, world.path, world.problems))
        fail_msg("%s", problems_text(world.problems, 0));
    return world.spec->entries[0].lists[0];
}

/* Fetches; the number of targets, or -1 with the failure in world.why. */
static int fetch(const char *path, const char *more)
{
    const struct target_source *source = given_source(path, more);
    struct target_fetch *fetch;
    struct target_list *list = NULL;
    int count = -1;

    world.why.code = PROBER_OK;
    if (target_fetch_start(&fetch, world.fetcher, source, 90 * CLOCK_NS_PER_S, LONG_NS, &world.why))
        return count;
    http_fetcher_wait(world.fetcher, NULL, 0, LONG_NS);
    assert_ptr_equal(http_fetcher_take(world.fetcher), target_fetch_answer(fetch));
    if (!target_fetch_read(fetch, PROBE_HTTP, &list, &world.why))
        count = (int)list->count;
    target_list_put(list);
    target_fetch_destroy(fetch);
    return count;
}

static void expect_failure(const char *path, const char *says)
{
    assert_int_equal(fetch(path, ""), -1);
    if (!strstr(world.why.text, says))
        fail_msg("%s: %s", path, world.why.text);
}

static void a_good_answer_is_a_list(void **state)
{
    const char *asked;

    (void)state;
    assert_int_equal(fetch("/good", ""), 2);
    asked = http_server_last(world.server);
    assert_non_null(strstr(asked, "Accept: application/json\r\n"));
    assert_non_null(strstr(asked, "X-Prometheus-Refresh-Interval-Seconds: 90\r\n"));
    assert_non_null(strstr(asked, "User-Agent: probermesh/"));
    assert_int_equal(fetch("/charset", ""), 0);
}

static void any_other_answer_says_what_is_wrong(void **state)
{
    (void)state;
    expect_failure("/broken", "status 503 instead of 200");
    expect_failure("/empty", "status 204");
    expect_failure("/moved", "status 302");
    expect_failure("/nowhere", "status 404");
    expect_failure("/html", "type 'text/html' instead of application/json");
    expect_failure("/latin", "charset=latin-1");
    expect_failure("/untyped", "type ''");
    expect_failure("/faulty", "/faulty:[0].targets[0]: a target must be a text");
    expect_failure("/cut", "JSON, line 1");
    expect_failure("/large", "larger than 10485760 bytes");
}

static void credentials_are_shown(void **state)
{
    (void)state;
    assert_int_equal(fetch("/bearer", ""), -1);
    assert_int_equal(fetch("/bearer", "    authorization: {type: Token, credentials: hush}\n"), 0);
    assert_int_equal(fetch("/basic", "    basic_auth: {username: me, password: hush}\n"), 0);
    assert_int_equal(fetch("/headers", "    http_headers: {X-Key: {secrets: [hush]}}\n"), 0);
}

static void credentials_are_read_from_files_each_time(void **state)
{
    (void)state;
    assert_int_equal(fetch("/bearer", "    authorization: {type: Token, credentials_file: t}\n"),
                     -1);
    assert_non_null(strstr(world.why.text, "/t: No such file"));
    write_file("t", "stale\n");
    assert_int_equal(fetch("/bearer", "    authorization: {type: Token, credentials_file: t}\n"),
                     -1);
    write_file("t", " hush\n");
    write_file("u", "me\n");
    assert_int_equal(fetch("/bearer", "    authorization: {type: Token, credentials_file: t}\n"),
                     0);
    assert_int_equal(fetch("/basic", "    basic_auth: {username_file: u, password_file: t}\n"), 0);
    assert_int_equal(fetch("/headers", "    http_headers: {X-Key: {files: [t]}}\n"), 0);
}

static void a_secret_with_a_line_break_is_not_sent(void **state)
{
    (void)state;
    write_file("t", "hush\r\nX-Evil: 1");
    assert_int_equal(fetch("/bearer", "    authorization: {type: Token, credentials_file: t}\n"),
                     -1);
    assert_non_null(strstr(world.why.text, "line break"));
    assert_null(strstr(world.why.text, "hush"));
    assert_int_equal(http_server_requests(world.server), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(a_good_answer_is_a_list),
        TEST(any_other_answer_says_what_is_wrong),
        TEST(credentials_are_shown),
        TEST(credentials_are_read_from_files_each_time),
        TEST(a_secret_with_a_line_break_is_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
