#include "test/unit/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "serverd/api.h"
#include "serverd/role.h"
#include "test/unit/fakes/fake_tasks.h"

static struct web_server *web;
static struct api api;
static struct strbuf answer;
static struct json *said;

/* ---- givens ---- */

static int open_web(void **state)
{
    const struct web_config config = {
        .listen = "127.0.0.1:0", .threads = 8, .timeout_ns = CLOCK_NS_PER_S, .context = &api};
    struct prober_failure why;
    (void)state;

    return web_open(&web, &config, api_routes, api_routes_count, &why) ? -1 : 0;
}

static int close_web(void **state)
{
    (void)state;
    web_close(web);
    fake_tasks_reset();
    return 0;
}

static int set_up(void **state)
{
    static char some;
    (void)state;

    fake_tasks_reset();
    api.tasks = (struct tasks *)&some; /* the fake does not look at it */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&answer);
    json_free(said);
    said = NULL;
    return 0;
}

static int send_request(const char *line, const char *body)
{
    const struct timeval patience = {20, 0};
    struct prober_addr addr;
    struct sockaddr_storage sa;
    socklen_t len;
    char request[8192];
    int fd;

    prober_addr_parse("127.0.0.1", &addr);
    len = prober_addr_to_sockaddr(&addr, web_port(web), &sa);
    fd = socket(sa.ss_family, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
             line, strlen(body), body);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    return fd;
}

/* Reads until `text` is there; NULL: until the end. */
static void read_until(int fd, const char *text)
{
    char bytes[4096];
    ssize_t n;

    while (!text || !answer.bytes || !strstr(answer.bytes, text)) {
        n = recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0)
            break;
        strbuf_put(&answer, bytes, (size_t)n);
    }
    if (text && (!answer.bytes || !strstr(answer.bytes, text)))
        fail_msg("no '%s' in: %s", text, answer.bytes ? answer.bytes : "");
}

static int ask(const char *line, const char *body)
{
    int fd = send_request(line, body), status = 0;

    strbuf_clear(&answer);
    read_until(fd, NULL);
    close(fd);
    assert_non_null(answer.bytes);
    sscanf(answer.bytes, "HTTP/1.%*d %d", &status);
    return status;
}

static const char *body_of_answer(void)
{
    return strstr(answer.bytes, "\r\n\r\n") + 4;
}

static const struct json *read_json(void)
{
    struct prober_failure why = {.text = ""};
    const char *text = body_of_answer();

    json_free(said);
    said = NULL;
    if (json_parse(&said, text, strlen(text), &why))
        fail_msg("%s: %s", why.text, text);
    return said;
}

static uint64_t number(const struct json *object, const char *key)
{
    uint64_t value = UINT64_MAX;

    json_u64(json_get(object, key), &value);
    return value;
}

static void assert_text(const struct json *object, const char *key, const char *text)
{
    assert_non_null(json_string(json_get(object, key)));
    assert_string_equal(json_string(json_get(object, key)), text);
}

#define ORDER "{\"region\": \"eu|us\", \"expr\": \"=~\", \"cmd\": \"ping x\","

/* ---- tests ---- */

static void a_task_is_taken_with_the_originals_reply(void **state)
{
    (void)state;
    assert_int_equal(ask("POST /-/task", ORDER "}"), 200);
    assert_string_equal(body_of_answer(), "{\"code\":200,\"msg\":\"success\",\"data\":\"success\","
                                          "\"task\":\"t1\",\"agents\":2}");
    assert_string_equal(fake_tasks_asked.region, "eu|us");
    assert_string_equal(fake_tasks_asked.expr, "=~");
    assert_string_equal(fake_tasks_asked.line, "ping x");
    assert_int_equal(fake_tasks_asked.timeout_ns, 0);
    assert_int_equal(ask("POST /-/task", ORDER "\"timeout\":\"90s\"}"), 200);
    assert_int_equal(fake_tasks_asked.timeout_ns, 90 * CLOCK_NS_PER_S);
}

static void without_the_option_nothing_is_open(void **state)
{
    static const char *const lines[] = {"GET /api/v1/tasks", "GET /api/v1/tasks/t1",
                                        "GET /api/v1/tasks/t1/events", "DELETE /api/v1/tasks/t1",
                                        ("GET /api/v1/tasks/t1/output/" FAKE_AGENT)};
    (void)state;

    api.tasks = NULL;
    assert_int_equal(ask("POST /-/task", ORDER "}"), 503);
    assert_string_equal(body_of_answer(), "{\"code\":-1,\"msg\":\"error\",\"data\":"
                                          "\"Interface not open, use -server.task to open func\"}");
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(ask(lines[i], ""), 503);
}

static void what_cannot_be_is_refused_and_changes_nothing(void **state)
{
    static const struct {
        enum prober_error err;
        int status;
    } cases[] = {{PROBER_ERR_SYNTAX, 400}, {PROBER_ERR_RANGE, 400}, {PROBER_ERR_NOT_FOUND, 404},
                 {PROBER_ERR_FULL, 503},   {PROBER_ERR_IO, 503},    {PROBER_ERR_CLOSED, 503}};
    (void)state;

    assert_int_equal(ask("POST /-/task", "{\"region\": 1}"), 400);
    assert_text(read_json(), "msg", "task req json decode failed");
    assert_text(said, "data", "\"region\": expected a string");
    assert_int_equal(ask("POST /-/task", ""), 400);
    assert_int_equal(ask("POST /-/task?wait=1y", ORDER "}"), 400);
    assert_int_equal(ask("GET /-/task", ""), 405);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_tasks_error = cases[i].err;
        assert_int_equal(ask("POST /-/task", ORDER "}"), cases[i].status);
        assert_text(read_json(), "data", "the fake says no");
        assert_int_equal(number(said, "code"), cases[i].status);
    }
    assert_int_equal(fake_tasks_asked.created, 0);
}

static void *end_both(void *context)
{
    (void)context;
    usleep(50000);
    fake_tasks_set(0, TASK_STATE_RUNNING, 0);
    fake_tasks_write(0, TASK_STREAM_STDOUT, "out\0\xff", 5);
    fake_tasks_set(1, TASK_STATE_REFUSED, 0);
    fake_tasks_set(0, TASK_STATE_DONE, 7);
    return NULL;
}

static void waiting_answers_with_the_results_when_all_have_ended(void **state)
{
    pthread_t thread;
    const struct json *result, *row;
    (void)state;

    pthread_create(&thread, NULL, end_both, NULL);
    assert_int_equal(ask("POST /-/task?wait=30s", ORDER "}"), 200);
    pthread_join(thread, NULL);
    result = json_get(read_json(), "result");
    assert_int_equal(number(result, "ended_count"), 2);
    assert_int_equal(number(json_get(result, "counts"), task_state_text(TASK_STATE_REFUSED)), 1);
    row = json_at(json_get(result, "agents"), 0);
    assert_text(row, "agent", FAKE_AGENT);
    assert_text(row, "state", "done");
    assert_text(row, "stdout", "out\xef\xbf\xbd\xef\xbf\xbd");
    assert_text(row, "stderr", "");
    assert_int_equal(number(row, "exit_code"), 7);
    assert_true(json_is_null(json_get(row, "signal")));
    row = json_at(json_get(result, "agents"), 1);
    assert_true(json_is_null(json_get(row, "exit_code")));
    assert_true(json_is_null(json_get(row, "duration")));
}

static void waiting_ends_when_the_time_is_up(void **state)
{
    bool ended = true;
    (void)state;

    assert_int_equal(ask("POST /-/task?wait=20ms", ORDER "}"), 200);
    assert_int_equal(json_bool(json_get(json_get(read_json(), "result"), "ended"), &ended),
                     PROBER_OK);
    assert_false(ended);
    fake_tasks_await_error = PROBER_ERR_FULL;
    assert_int_equal(ask("POST /-/task?wait=5m", ORDER "}"), 200);
}

static void a_task_is_shown_with_the_beginning_of_its_outputs(void **state)
{
    const struct json *row;
    (void)state;

    fake_tasks_write(1, TASK_STREAM_STDERR, "abcdef", 6);
    assert_int_equal(ask("GET /api/v1/tasks/t1?output=3", ""), 200);
    assert_text(read_json(), "id", "t1");
    assert_text(said, "cmd", "ping x");
    assert_int_equal(number(said, "agent_count"), 2);
    row = json_at(json_get(said, "agents"), 1);
    assert_text(row, "region", "us");
    assert_text(row, "state", "queued");
    assert_text(row, "stderr", "abc");
    assert_int_equal(number(row, "stderr_bytes"), 6);
    assert_int_equal(ask("GET /api/v1/tasks/t1?output=0", ""), 200);
    assert_true(json_is_null(json_get(json_at(json_get(read_json(), "agents"), 1), "stderr")));
    assert_int_equal(ask("GET /api/v1/tasks/t2", ""), 404);
    assert_int_equal(ask("GET /api/v1/tasks/t1?output=x", ""), 400);
    assert_int_equal(ask("GET /api/v1/tasks/t1?wait=6m", ""), 400);
    assert_int_equal(ask("GET /api/v1/tasks/t1?seen=-2", ""), 400);
}

static void *run_one(void *context)
{
    (void)context;
    usleep(50000);
    fake_tasks_set(0, TASK_STATE_RUNNING, 0);
    return NULL;
}

static void news_can_be_waited_for(void **state)
{
    pthread_t thread;
    char line[128];
    (void)state;

    assert_int_equal(ask("GET /api/v1/tasks/t1", ""), 200);
    snprintf(line, sizeof(line), "GET /api/v1/tasks/t1?wait=30s&seen=%llu",
             (unsigned long long)number(read_json(), "version"));
    pthread_create(&thread, NULL, run_one, NULL);
    assert_int_equal(ask(line, ""), 200);
    pthread_join(thread, NULL);
    assert_text(json_at(json_get(read_json(), "agents"), 0), "state", "running");
    assert_int_equal(ask(line, ""), 200); /* at once: what was seen is old */
}

static void tasks_are_listed_in_pages(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /api/v1/tasks", ""), 200);
    assert_int_equal(json_count(json_get(read_json(), "tasks")), 3);
    assert_null(json_get(json_at(json_get(said, "tasks"), 0), "agents"));
    assert_int_equal(ask("GET /api/v1/tasks?limit=1", ""), 200);
    assert_int_equal(json_count(json_get(read_json(), "tasks")), 1);
    assert_int_equal(ask("GET /api/v1/tasks?before=t1", ""), 200);
    assert_int_equal(json_count(json_get(read_json(), "tasks")), 0);
    assert_int_equal(ask("GET /api/v1/tasks?before=t0", ""), 404);
    assert_int_equal(ask("GET /api/v1/tasks?limit=0", ""), 400);
    assert_int_equal(ask("GET /api/v1/tasks?limit=1001", ""), 400);
}

static void outputs_are_given_as_they_are(void **state)
{
    (void)state;
    fake_tasks_write(0, TASK_STREAM_STDOUT, "<b>华</b>\n", 11);
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/" FAKE_AGENT, ""), 200);
    assert_string_equal(body_of_answer(), "<b>华</b>\n");
    assert_non_null(strstr(answer.bytes, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(answer.bytes, "X-Content-Type-Options: nosniff\r\n"));
    fake_tasks_write(0, TASK_STREAM_STDERR, "\xff", 1);
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/" FAKE_AGENT "?stream=stderr", ""), 200);
    assert_string_equal(body_of_answer(), "\xff");
    assert_non_null(strstr(answer.bytes, "Content-Type: application/octet-stream\r\n"));
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/" FAKE_AGENT "?stream=stdlog", ""), 400);
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/" FAKE_AGENT "00", ""), 404);
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/..%2f..", ""), 404);
    assert_int_equal(ask("GET /api/v1/tasks/t1/output/ffffffffffffffffffffffffffffffff", ""), 404);
    assert_int_equal(ask("GET /api/v1/tasks/t0/output/" FAKE_AGENT, ""), 404);
}

static void a_task_is_cancelled(void **state)
{
    (void)state;
    fake_tasks_set(1, TASK_STATE_DONE, 0);
    assert_int_equal(ask("DELETE /api/v1/tasks/t1", ""), 200);
    assert_string_equal(body_of_answer(), "{\"task\":\"t1\",\"cancelled\":1}");
    assert_int_equal(fake_tasks_asked.cancels, 1);
    fake_tasks_error = PROBER_ERR_IO;
    assert_int_equal(ask("DELETE /api/v1/tasks/t1", ""), 503);
    assert_int_equal(ask("DELETE /api/v1/tasks/t0", ""), 404);
}

static void a_task_can_be_followed_to_its_end(void **state)
{
    int fd = send_request("GET /api/v1/tasks/t1/events", "");
    (void)state;

    read_until(fd, "\"address\":\"192.0.2.2\",\"state\":\"queued\"");
    assert_non_null(strstr(answer.bytes, "Content-Type: text/event-stream\r\n"));
    fake_tasks_set(0, TASK_STATE_RUNNING, 0);
    read_until(fd, "\"state\":\"running\"");
    fake_tasks_write(0, TASK_STREAM_STDOUT, "\xe5\x8d\x8e\xe5\x8d", 5);
    read_until(fd, "event: output\ndata: {\"agent\":\"" FAKE_AGENT
                   "\",\"stream\":\"stdout\",\"offset\":0,\"text\":\"华\"}\n\n");
    fake_tasks_write(0, TASK_STREAM_STDOUT, "\x8e\n", 2);
    read_until(fd, "\"offset\":3,\"text\":\"华\\n\"}\n\n");
    fake_tasks_set(0, TASK_STATE_DONE, 0);
    fake_tasks_set(1, TASK_STATE_CANCELLED, 0);
    read_until(fd, "event: end\ndata: {\"id\":\"t1\"");
    read_until(fd, NULL);
    close(fd);
}

static void following_ends_with_the_tasks(void **state)
{
    int fd = send_request("GET /api/v1/tasks/t1/events", "");
    (void)state;

    read_until(fd, "\"state\":\"queued\"");
    fake_tasks_await_error = PROBER_ERR_CLOSED;
    fake_tasks_set(0, TASK_STATE_RUNNING, 0);
    read_until(fd, NULL);
    assert_null(strstr(answer.bytes, "event: end"));
    close(fd);
    assert_int_equal(ask("GET /api/v1/tasks/t0/events", ""), 404);
}

static void all_routes_of_tasks_need_an_operator(void **state)
{
    size_t found = 0;
    (void)state;

    for (size_t i = 0; i < api_routes_count; i++)
        if (strstr(api_routes[i].path, "/task")) {
            assert_int_equal(api_routes[i].role, ROLE_OPERATE);
            found++;
        }
    assert_int_equal(found, 6);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_task_is_taken_with_the_originals_reply),
        TEST(without_the_option_nothing_is_open),
        TEST(what_cannot_be_is_refused_and_changes_nothing),
        TEST(waiting_answers_with_the_results_when_all_have_ended),
        TEST(waiting_ends_when_the_time_is_up),
        TEST(a_task_is_shown_with_the_beginning_of_its_outputs),
        TEST(news_can_be_waited_for),
        TEST(tasks_are_listed_in_pages),
        TEST(outputs_are_given_as_they_are),
        TEST(a_task_is_cancelled),
        TEST(a_task_can_be_followed_to_its_end),
        TEST(following_ends_with_the_tasks),
        TEST(all_routes_of_tasks_need_an_operator),
    };

    return cmocka_run_group_tests(tests, open_web, close_web);
}
