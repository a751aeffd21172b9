#include "test/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* A test gets in the store's way behind its back. */
#include <sqlite3.h>

#include "common/array.h"
#include "serverd/gate.h"
#include "serverd/store.h"

#define OPERATOR "operator-0123456789"

static struct {
    char dir[64];
    struct problems *problems;
    struct store *store;
    struct store_audit *audit;
    struct gate *gate;
    struct web_server *web;
    struct prober_failure why;
    atomic_int changed;
    int first_status; /* of the record of the change, while the change is being made */
    char answer[8192], seen[8192];
} world;

/* ---- what the gate stands before ---- */

static void note(void *context, const struct store_audit_row *row)
{
    (void)context;
    snprintf(world.seen, sizeof(world.seen), "%s %s %s %s %s", row->record.who, row->record.client,
             row->record.method, row->record.target, row->record.body);
    world.first_status = row->status;
}

static void read_newest(void)
{
    world.seen[0] = '\0';
    assert_int_equal(store_audit_read(world.audit, INT64_MAX, 1, note, NULL, &world.why),
                     PROBER_OK);
}

static void change(struct web_exchange *x, void *context)
{
    (void)context;
    atomic_fetch_add(&world.changed, 1);
    if (world.audit)
        read_newest();
    web_reply_text(x, 201, ((const struct access_caller *)web_caller(x))->who);
}

static void look(struct web_exchange *x, void *context)
{
    (void)context;
    web_reply_text(x, 200, "seen");
}

static void wait_for_leave(struct web_exchange *x, void *context);

static const struct web_route routes[] = {
    {"/wait", WEB_GET, ROLE_READ, wait_for_leave},
    {"/look", WEB_GET, ROLE_READ, look},
    {"/secret", WEB_GET, ROLE_ADMIN, look},
    {"/change", WEB_GET | WEB_POST, ROLE_OPERATE, change},
};

/* ---- givens ---- */

static struct access_rules *given_rules(void)
{
    struct serverd_settings settings = {.config = NULL};
    char path[128], flag[] = "-server.http.tokens", *argv[] = {flag, path};
    struct access_rules *rules;
    FILE *f;

    snprintf(path, sizeof(path), "%s/tokens", world.dir);
    f = fopen(path, "w");
    fputs("ci operate " OPERATOR "\n", f);
    fchmod(fileno(f), 0600);
    fclose(f);
    assert_int_equal(serverd_settings_load(&settings, 2, argv, NULL, world.problems), PROBER_OK);
    assert_int_equal(access_rules_create(&rules, &settings, world.problems), PROBER_OK);
    serverd_settings_free(&settings);
    return rules;
}

static int begin(void **state)
{
    struct web_config config = {.listen = "127.0.0.1:0", .threads = 3, .gate = gate_serve};

    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_gate.XXXXXX");
    if (!mkdtemp(world.dir) || problems_create(&world.problems) ||
        store_open(&world.store, world.dir, &world.why) || world.why.code ||
        store_audit_open(&world.audit, world.dir, &world.why) ||
        gate_create(&world.gate, given_rules(), world.audit, 2))
        return -1;
    config.gate_context = world.gate;
    return web_open(&world.web, &config, routes, ARRAY_LEN(routes), &world.why);
}

static int end(void **state)
{
    char command[128];

    (void)state;
    web_close(world.web);
    gate_destroy(world.gate);
    store_audit_close(world.audit);
    store_close(world.store);
    problems_destroy(world.problems);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static int connect_web(void)
{
    const struct timeval patience = {20, 0};
    struct sockaddr_storage sa;
    struct prober_addr addr;
    socklen_t len;
    int fd;

    prober_addr_parse("127.0.0.1", &addr);
    len = prober_addr_to_sockaddr(&addr, web_port(world.web), &sa);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

/* The status of the answer to "LINE HTTP/1.1", Host, and `more`, which ends with the body. */
static int ask(const char *line, const char *more)
{
    char request[16384];
    size_t len = 0;
    ssize_t n;
    int fd = connect_web(), status = 0;

    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", line, more);
    send(fd, request, strlen(request), MSG_NOSIGNAL);
    while ((n = recv(fd, world.answer + len, sizeof(world.answer) - 1 - len, 0)) > 0)
        len += (size_t)n;
    world.answer[len] = '\0';
    close(fd);
    sscanf(world.answer, "HTTP/1.%*d %d", &status);
    return status;
}

static uint64_t metric(const char *series)
{
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer w = {.out = &text};
    const char *at;
    uint64_t value;

    gate_write_metrics(world.gate, &w);
    at = strstr(text.bytes, series);
    assert_non_null(at);
    value = strtoull(at + strlen(series), NULL, 10);
    strbuf_free(&text);
    return value;
}

#define WITH_TOKEN "Authorization: Bearer " OPERATOR "\r\n"

/* ---- tests ---- */

static void a_change_is_on_record_before_it_is_made_and_before_it_is_acknowledged(void **state)
{
    (void)state;
    assert_int_equal(ask("POST /change?why=%20x", WITH_TOKEN "Content-Length: 9\r\n\r\n{\"a\":\n1}\x01"),
                     201);
    assert_non_null(strstr(world.answer, "\r\n\r\ntoken:ci"));
    assert_int_equal(world.changed, 1);
    assert_string_equal(world.seen, "token:ci 127.0.0.1 POST /change?why=%20x {\"a\":\\n1}\\x01");
    assert_int_equal(world.first_status, 0);
    read_newest();
    assert_int_equal(world.first_status, 201);
    assert_int_equal(metric("prober_server_changes_total{outcome=\"made\"} "), 1);
}

static void a_long_body_is_cut_between_characters_in_the_record(void **state)
{
    char more[9000], *at = more;

    (void)state;
    at += snprintf(at, 200, WITH_TOKEN "Content-Length: 5002\r\n\r\n" "ab");
    while (at < more + 8000 && strlen(strstr(more, "ab")) < 5002)
        at += snprintf(at, 8, "华北");
    assert_int_equal(ask("POST /change", more), 201);
    assert_int_equal(strlen(strstr(world.seen, "ab")), 4094 / 3 * 3 + 2 + strlen("…"));
    assert_string_equal(world.seen + strlen(world.seen) - strlen("北…"), "北…");
}

static void reading_leaves_no_record(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /look", "\r\n"), 200);
    read_newest();
    assert_string_equal(world.seen, "");
}

static void a_refusal_changes_nothing_and_is_counted(void **state)
{
    (void)state;
    assert_int_equal(ask("POST /change", "Content-Length: 0\r\n\r\n"), 401);
    assert_non_null(strstr(world.answer, "WWW-Authenticate: Bearer realm=\"probermesh\"\r\n"));
    assert_int_equal(ask("GET /change", "Authorization: Bearer no\r\n\r\n"), 401);
    assert_non_null(strstr(world.answer, "error=\"invalid_token\""));
    assert_int_equal(ask("GET /secret", WITH_TOKEN "\r\n"), 403);
    assert_null(strstr(world.answer, "WWW-Authenticate"));
    assert_int_equal(ask("GET /none", "Host: evil.example\r\n\r\n"), 403);
    assert_int_equal(world.changed, 0);
    read_newest();
    assert_string_equal(world.seen, "");
    assert_int_equal(metric("prober_server_http_denied_total{reason=\"missing\"} "), 1);
    assert_int_equal(metric("prober_server_http_denied_total{reason=\"unknown\"} "), 1);
    assert_int_equal(metric("prober_server_http_denied_total{reason=\"role\"} "), 1);
    assert_int_equal(metric("prober_server_http_denied_total{reason=\"host\"} "), 1);
    assert_int_equal(metric("\nprober_server_tokens "), 1);
}

static void a_change_that_cannot_be_recorded_is_not_made(void **state)
{
    char path[128];
    sqlite3 *db;

    (void)state;
    snprintf(path, sizeof(path), "%s/" STORE_FILE, world.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ask("POST /change", WITH_TOKEN "\r\n"), 503);
    assert_int_equal(world.changed, 0);
    assert_int_equal(metric("prober_server_changes_total{outcome=\"unrecorded\"} "), 1);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(ask("POST /change", WITH_TOKEN "\r\n"), 201);
}

static struct {
    atomic_int inside;
    atomic_bool go_on;
} crowd;

static void wait_for_leave(struct web_exchange *x, void *context)
{
    (void)context;
    atomic_fetch_add(&crowd.inside, 1);
    while (!atomic_load(&crowd.go_on))
        sched_yield();
    web_reply_text(x, 200, "left");
}

static void *ask_slowly(void *context)
{
    char bytes[512];
    int fd = connect_web();

    (void)context;
    snprintf(bytes, sizeof(bytes), "GET /wait HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(fd, bytes, strlen(bytes), MSG_NOSIGNAL);
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        continue;
    close(fd);
    return NULL;
}

static void one_client_has_no_more_requests_answered_at_a_time_than_allowed(void **state)
{
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_slowly, NULL), 0);
    while (atomic_load(&crowd.inside) < 2)
        sched_yield();
    assert_int_equal(ask("GET /look", "\r\n"), 429);
    assert_non_null(strstr(world.answer, "Retry-After: 1\r\n"));
    atomic_store(&crowd.go_on, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    while (ask("GET /look", "\r\n") == 429) /* until they have left */
        continue;
    assert_int_equal(ask("GET /look", "\r\n"), 200);
    assert_true(metric("prober_server_http_denied_total{reason=\"crowd\"} ") >= 1);
}

static void without_a_store_changes_are_made_all_the_same(void **state)
{
    struct web_config config = {.listen = "127.0.0.1:0", .threads = 2, .gate = gate_serve};

    (void)state;
    web_close(world.web);
    gate_destroy(world.gate);
    store_audit_close(world.audit);
    world.web = NULL;
    world.audit = NULL;
    assert_int_equal(gate_create(&world.gate, given_rules(), NULL, 2), PROBER_OK);
    config.gate_context = world.gate;
    assert_int_equal(web_open(&world.web, &config, routes, ARRAY_LEN(routes), &world.why),
                     PROBER_OK);
    assert_int_equal(ask("POST /change", WITH_TOKEN "\r\n"), 201);
    assert_int_equal(world.changed, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_on_record_before_it_is_made_and_before_it_is_acknowledged),
        TEST(a_long_body_is_cut_between_characters_in_the_record),
        TEST(reading_leaves_no_record),
        TEST(a_refusal_changes_nothing_and_is_counted),
        TEST(a_change_that_cannot_be_recorded_is_not_made),
        TEST(one_client_has_no_more_requests_answered_at_a_time_than_allowed),
        TEST(without_a_store_changes_are_made_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
