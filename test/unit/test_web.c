#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/strbuf.h"
#include "common/web.h"

#define SECOND UINT64_C(1000000000)
#define LARGE (8u << 20)

static struct web_server *shared, *server;
static struct prober_failure why;
static struct strbuf answer;
static char *large;
static char world[] = "world";
static atomic_int followed, given_up; /* by handlers */

/* ---- the routes ---- */

static void say_hello(struct web_exchange *x, void *context)
{
    char name[16];

    if (!web_query(x, "name", name, sizeof(name)))
        snprintf(name, sizeof(name), "%s", (const char *)context);
    web_reply_text(x, 200, name);
}

static void say_rest(struct web_exchange *x, void *context)
{
    (void)context;
    web_reply_text(x, 200, web_path_rest(x));
}

static void say_body(struct web_exchange *x, void *context)
{
    size_t len;
    const char *body = web_body(x, &len);
    (void)context;

    web_reply(x, 201, "application/json", body, len);
}

static void say_gzip(struct web_exchange *x, void *context)
{
    (void)context;
    if (web_accepts_gzip(x))
        web_reply_encoded(x, 200, "text/plain", "gzip", "zipped", 6);
    else
        web_reply_text(x, 200, "plain");
}

static void say_peer(struct web_exchange *x, void *context)
{
    struct prober_addr peer = web_peer(x);
    char text[PROBER_ADDR_TEXT_MAX];
    (void)context;

    web_reply_text(x, 200, prober_addr_format(&peer, text));
}

static void say_much(struct web_exchange *x, void *context)
{
    (void)context;
    web_reply(x, 200, "text/plain", large, LARGE);
}

static void say_caller(struct web_exchange *x, void *context)
{
    (void)context;
    web_reply_text(x, 200, web_caller(x) ? web_caller(x) : "nobody");
}

static void say_part(struct web_exchange *x, void *context)
{
    char id[8], agent[8], none[8], text[32];
    (void)context;

    if (!web_path_part(x, "id", id, sizeof(id)))
        snprintf(id, sizeof(id), "(long)");
    if (!web_path_part(x, "agent", agent, sizeof(agent)))
        snprintf(agent, sizeof(agent), "(none)");
    assert_false(web_path_part(x, "age", none, sizeof(none)));
    snprintf(text, sizeof(text), "%s %s", id, agent);
    web_reply_text(x, 200, text);
}

/* Follows until the client goes, or the server. */
static void say_on(struct web_exchange *x, void *context)
{
    (void)context;
    if (!web_stream(x, "text/event-stream"))
        return;
    atomic_fetch_add(&followed, 1);
    while (web_stream_put(x, "tick\n\n", 6))
        usleep(20000);
    atomic_fetch_sub(&followed, 1);
}

/* As fast as it goes. */
static void say_on_and_on(struct web_exchange *x, void *context)
{
    (void)context;
    if (!web_stream(x, "text/plain"))
        return;
    while (web_stream_put(x, large, LARGE))
        ;
    atomic_fetch_add(&given_up, 1);
}

static void say_nothing(struct web_exchange *x, void *context)
{
    (void)x;
    (void)context;
}

static const struct web_route routes[] = {
    {"/hello", WEB_GET, 0, say_hello},    {"/things/*", WEB_GET | WEB_DELETE, 0, say_rest},
    {"/body", WEB_POST, 0, say_body},     {"/body", WEB_PUT, 0, say_body},
    {"/gzip", WEB_GET, 0, say_gzip},      {"/change", WEB_GET | WEB_POST, 7, say_caller},
    {"/peer", WEB_GET, 0, say_peer},      {"/large", WEB_GET, 0, say_much},
    {"/nothing", WEB_GET, 0, say_nothing},
    {"/tasks/{id}", WEB_GET, 0, say_part},
    {"/tasks/{id}", WEB_DELETE, 0, say_nothing},
    {"/tasks/{id}/output/{agent}", WEB_GET, 0, say_part},
    {"/follow", WEB_GET, 0, say_on},      {"/flood", WEB_GET, 0, say_on_and_on}};

/* ---- a gate ---- */

static char caller[] = "alice";
static int hooked_status, gate_headers;
static size_t body_at_gate;

static void note_status(void *context, int status)
{
    assert_string_equal(context, "hook");
    hooked_status = status;
}

/* Refuses all that says X-Evil, before its body is read. */
static void keep_gate(struct web_exchange *x, void *context)
{
    static char hook_context[] = "hook";
    const char *name, *value;

    assert_string_equal(context, "gate");
    if (web_header(x, "X-Evil")) {
        web_refuse(x, 401, "WWW-Authenticate", "Bearer", "no\n");
        return;
    }
    for (gate_headers = 0; web_header_at(x, (size_t)gate_headers, &name, &value);)
        gate_headers++;
    web_body(x, &body_at_gate);
    if (web_matched(x) && web_matched(x)->role == 7)
        web_set_caller(x, caller);
    web_before_reply(x, note_status, hook_context);
    if (web_header(x, "X-Receive") && web_receive(x))
        web_body(x, &body_at_gate);
    web_pass(x);
}

/* ---- givens ---- */

/* Stopping civetweb takes two seconds: the tests share a server where they can. */
static int given_a_shared_server(void **state)
{
    const struct web_config config = {.listen = "localhost:0",
                                      .threads = 4,
                                      .timeout_ns = SECOND,
                                      .body_max = 1000,
                                      .context = world};
    (void)state;
    large = malloc(LARGE);
    memset(large, 'x', LARGE);
    if (web_open(&shared, &config, routes, ARRAY_LEN(routes), &why))
        return -1;
    server = shared;
    return 0;
}

static int close_the_shared_server(void **state)
{
    (void)state;
    web_close(shared);
    strbuf_free(&answer);
    free(large);
    return 0;
}

static enum prober_error given_a_server_of_its_own(const char *listen)
{
    const struct web_config config = {
        .listen = listen, .threads = 2, .timeout_ns = SECOND, .context = world};

    return web_open(&server, &config, routes, ARRAY_LEN(routes), &why);
}

static int use_the_shared_server_again(void **state)
{
    (void)state;
    if (server != shared)
        web_close(server);
    server = shared;
    return 0;
}

static int connect_to(const char *host)
{
    const struct timeval patience = {20, 0};
    struct prober_addr addr;
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;

    prober_addr_parse(host, &addr);
    len = prober_addr_to_sockaddr(&addr, web_port(server), &sa);
    fd = socket(sa.ss_family, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads until the server ends the connection. */
static void read_answer(int fd)
{
    char bytes[65536];
    ssize_t n;

    strbuf_clear(&answer);
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        strbuf_put(&answer, bytes, (size_t)n);
    strbuf_put(&answer, "", 0);
    if (!answer.bytes)
        strbuf_putc(&answer, ' ');
    close(fd);
}

/* Sends "LINE HTTP/1.1", Host, Connection: close and `more` headers and body. */
static void ask_of(const char *host, const char *line, const char *more)
{
    char request[2048];
    int fd = connect_to(host);

    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n%s", line, web_port(server),
             more);
    send_text(fd, request);
    read_answer(fd);
}

static void ask(const char *line, const char *more)
{
    ask_of("127.0.0.1", line, more);
}

static void assert_status(int status)
{
    int found = 0;

    sscanf(answer.bytes, "HTTP/1.%*d %d", &found);
    assert_int_equal(found, status);
}

static const char *body(void)
{
    const char *end = strstr(answer.bytes, "\r\n\r\n");

    return end ? end + 4 : "(no body)";
}

/* ---- tests ---- */

static void a_route_answers(void **state)
{
    (void)state;
    ask("GET /hello", "\r\n");
    assert_status(200);
    assert_string_equal(body(), "world");
    assert_non_null(strstr(answer.bytes, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(answer.bytes, "Content-Length: 5\r\n"));
    assert_null(strcasestr(answer.bytes, "civetweb"));
    assert_null(strcasestr(answer.bytes, "\nServer:"));
}

static void a_query_parameter_is_decoded_and_bounded(void **state)
{
    (void)state;
    ask("GET /hello?x=1&name=a%20b+c%E5%8D%8E", "\r\n");
    assert_string_equal(body(), "a b c华");
    ask("GET /hello?name=0123456789abcdef0123456789", "\r\n");
    assert_string_equal(body(), "world");
    ask("GET /hello?name=a%00b", "\r\n");
    assert_string_equal(body(), "world");
    ask("GET /hello?nam=a", "\r\n");
    assert_string_equal(body(), "world");
}

static void head_is_get_without_a_body(void **state)
{
    (void)state;
    ask("HEAD /hello", "\r\n");
    assert_status(200);
    assert_non_null(strstr(answer.bytes, "Content-Length: 5\r\n"));
    assert_string_equal(body(), "");
}

static void an_unknown_path_is_404_and_no_file_is_served(void **state)
{
    static const char *const lines[] = {"GET /",
                                        "GET /hello/",
                                        "GET /hell",
                                        "GET /things",
                                        "GET /../../../etc/passwd",
                                        "GET /things/../../etc/passwd",
                                        "GET /web.c",
                                        "POST /none"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        ask(lines[i], "\r\n");
        assert_status(404);
    }
}

static void a_method_that_a_path_lacks_is_405_with_those_it_has(void **state)
{
    (void)state;
    ask("POST /hello", "Content-Length: 0\r\n\r\n");
    assert_status(405);
    assert_non_null(strstr(answer.bytes, "Allow: GET, HEAD\r\n"));
    ask("GET /body", "\r\n");
    assert_status(405);
    assert_non_null(strstr(answer.bytes, "Allow: POST, PUT\r\n"));
    ask("OPTIONS /things/x", "\r\n");
    assert_status(405);
    assert_non_null(strstr(answer.bytes, "Allow: GET, HEAD, DELETE\r\n"));
}

static void a_prefix_route_gets_the_rest_of_the_path(void **state)
{
    (void)state;
    ask("GET /things/one/two?x=y", "\r\n");
    assert_string_equal(body(), "one/two");
    ask("DELETE /things/", "\r\n");
    assert_status(200);
    assert_string_equal(body(), "");
}

static void parts_of_a_path_are_given_by_name(void **state)
{
    (void)state;
    ask("GET /tasks/t1", "\r\n");
    assert_string_equal(body(), "t1 (none)");
    ask("GET /tasks/t1/output/%E5%8D%8E?x=/", "\r\n");
    assert_string_equal(body(), "t1 华");
    ask("GET /tasks/12345678/output/a", "\r\n");
    assert_string_equal(body(), "(long) a");
    ask("DELETE /tasks/t1", "\r\n");
    assert_status(500);
    ask("POST /tasks/t1", "\r\n");
    assert_status(405);
    assert_non_null(strstr(answer.bytes, "Allow: GET, HEAD, DELETE\r\n"));
}

static void a_part_of_a_path_is_one_and_not_empty(void **state)
{
    static const char *const lines[] = {"GET /tasks", "GET /tasks/", "GET /tasks/a/",
                                        "GET /tasks/a/output", "GET /tasks/a/output/",
                                        "GET /tasks/a%2foutput%2fb/c", "GET /tasks/a/output/b/c",
                                        "GET /tasks/a/outpub/b"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        ask(lines[i], "\r\n");
        assert_status(404);
    }
}

/* Until what the handlers count is so much. */
static void wait_for(atomic_int *counter, int value)
{
    uint64_t until_ns = clock_monotonic_ns() + 20 * SECOND;

    while (atomic_load(counter) != value) {
        assert_true(clock_monotonic_ns() < until_ns);
        usleep(1000);
    }
}

static void a_stream_goes_on_until_its_client_leaves(void **state)
{
    char bytes[4096];
    size_t len = 0;
    int fd = connect_to("127.0.0.1");
    (void)state;

    send_text(fd, "GET /follow HTTP/1.1\r\nHost: x\r\n\r\n");
    while (len < 7 || memcmp(bytes + len - 6, "tick\n\n", 6) != 0) {
        ssize_t n = recv(fd, bytes + len, 1, 0);

        assert_true(n == 1 && len + 1 < sizeof(bytes));
        bytes[++len] = '\0';
    }
    assert_non_null(strstr(bytes, " 200 "));
    assert_non_null(strstr(bytes, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(bytes, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(bytes, "Connection: close\r\n"));
    assert_null(strstr(bytes, "Content-Length"));
    assert_int_equal(atomic_load(&followed), 1);
    close(fd);
    wait_for(&followed, 0);
}

/* The shared server has 4 connections: one may be followed. */
static void few_may_follow_at_a_time_so_that_others_are_served(void **state)
{
    int fd = connect_to("127.0.0.1");
    (void)state;

    send_text(fd, "GET /follow HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&followed, 1);
    ask("GET /follow", "\r\n");
    assert_status(503);
    assert_non_null(strstr(answer.bytes, "Retry-After: 10\r\n"));
    ask("GET /hello", "\r\n");
    assert_status(200);
    close(fd);
    wait_for(&followed, 0);
    ask("HEAD /follow", "\r\n");
    assert_status(200);
    assert_string_equal(body(), "");
}

static void a_client_that_takes_nothing_is_followed_for_no_longer_than_the_timeout(void **state)
{
    int fd = connect_to("127.0.0.1");
    (void)state;

    send_text(fd, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&given_up, 1);
    close(fd);
}

static void closing_ends_what_is_followed(void **state)
{
    uint64_t start_ns;
    int fd;
    (void)state;

    assert_int_equal(given_a_server_of_its_own("127.0.0.1:0"), PROBER_OK);
    fd = connect_to("127.0.0.1");
    send_text(fd, "GET /follow HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&followed, 1);
    start_ns = clock_monotonic_ns();
    web_close(server);
    server = NULL;
    assert_true(clock_monotonic_ns() - start_ns < 15 * SECOND);
    assert_int_equal(atomic_load(&followed), 0);
    close(fd);
}

static void a_body_arrives_whole(void **state)
{
    (void)state;
    ask("POST /body", "Content-Length: 11\r\n\r\n{\"a\": true}");
    assert_status(201);
    assert_string_equal(body(), "{\"a\": true}");
    ask("PUT /body", "\r\n");
    assert_status(201);
    assert_string_equal(body(), "");
}

static void a_client_that_waits_for_100_is_told_not_to(void **state)
{
    (void)state;
    ask("POST /body", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_status(417);
}

static void a_body_over_the_bound_is_413_without_being_read(void **state)
{
    (void)state;
    ask("POST /body", "Content-Length: 1001\r\n\r\n");
    assert_status(413);
    ask("GET /hello", "Content-Length: 999999999999\r\n\r\n");
    assert_status(413);
    ask("POST /body", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_status(411);
    ask("POST /body", "Content-Length: 2\r\ncontent-length: 3\r\n\r\nabc");
    assert_status(400);
}

static void a_body_that_does_not_come_is_408(void **state)
{
    (void)state;
    ask("POST /body", "Content-Length: 10\r\n\r\nhalf");
    assert_status(408);
}

static void what_is_no_request_is_refused(void **state)
{
    char *request = malloc(30000);
    int fd = connect_to("127.0.0.1");
    (void)state;

    send_text(fd, "\x16\x03\x01garbage\r\n\r\n");
    read_answer(fd);
    assert_status(400);
    memset(request, 'a', 30000);
    memcpy(request, "GET /hello HTTP/1.1\r\nX: ", 24);
    request[29999] = '\0';
    fd = connect_to("127.0.0.1");
    send_text(fd, request);
    read_answer(fd);
    assert_int_not_equal(strncmp(answer.bytes, "HTTP/1.1 2", 10), 0);
    free(request);
}

static void a_handler_that_says_nothing_is_500(void **state)
{
    (void)state;
    ask("GET /nothing", "\r\n");
    assert_status(500);
}

static void gzip_is_used_where_it_is_welcome(void **state)
{
    static const struct {
        const char *header;
        bool gzip;
    } cases[] = {{"Accept-Encoding: gzip\r\n\r\n", true},
                 {"Accept-Encoding: deflate, GZIP;q=0.5\r\n\r\n", true},
                 {"Accept-Encoding: br;q=1.0, *;q=0.1\r\n\r\n", true},
                 {"Accept-Encoding: gzip;q=0, *\r\n\r\n", false},
                 {"Accept-Encoding: gzip;q=0.000\r\n\r\n", false},
                 {"Accept-Encoding: identity\r\n\r\n", false},
                 {"Accept-Encoding: \r\n\r\n", false},
                 {"\r\n", false}};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask("GET /gzip", cases[i].header);
        assert_string_equal(body(), cases[i].gzip ? "zipped" : "plain");
        assert_int_equal(strstr(answer.bytes, "Content-Encoding: gzip\r\n") != NULL, cases[i].gzip);
    }
}

static void a_connection_serves_several_requests(void **state)
{
    int fd = connect_to("127.0.0.1");
    char bytes[4096];
    size_t len = 0;
    ssize_t n;
    (void)state;

    send_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    do {
        n = recv(fd, bytes + len, sizeof(bytes) - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        bytes[len] = '\0';
    } while (!strstr(bytes, "\r\n\r\nworld"));
    send_text(fd, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    read_answer(fd);
    assert_string_equal(body(), "127.0.0.1");
}

static void an_ipv6_address_is_served_or_refused_with_the_reason(void **state)
{
    enum prober_error err;
    (void)state;

    server = NULL;
    err = given_a_server_of_its_own("[::1]:0");
    if (err) {
        assert_true(err == PROBER_ERR_UNSUPPORTED || err == PROBER_ERR_NOT_FOUND);
        assert_true(strlen(why.text) > 0);
        return;
    }
    ask_of("::1", "GET /peer", "\r\n");
    assert_string_equal(body(), "::1");
}

static enum prober_error given_a_server_with_a_gate(void)
{
    static char context[] = "gate";
    const struct web_config config = {.listen = "127.0.0.1:0",
                                      .threads = 2,
                                      .timeout_ns = SECOND,
                                      .body_max = 1000,
                                      .context = world,
                                      .gate = keep_gate,
                                      .gate_context = context};

    return web_open(&server, &config, routes, ARRAY_LEN(routes), &why);
}

static void a_gate_comes_before_body_and_handler(void **state)
{
    (void)state;
    assert_int_equal(given_a_server_with_a_gate(), PROBER_OK);
    ask("POST /change", "Content-Length: 2\r\n\r\nab");
    assert_status(200);
    assert_string_equal(body(), "alice");
    assert_int_equal(hooked_status, 200);
    assert_int_equal(gate_headers, 3);
    assert_int_equal(body_at_gate, 0);
    ask("POST /body", "X-Receive: 1\r\nContent-Length: 2\r\n\r\nab");
    assert_string_equal(body(), "ab");
    assert_int_equal(body_at_gate, 2);
    ask("GET /none", "\r\n");
    assert_status(404);
    assert_int_equal(hooked_status, 404);
    ask("DELETE /hello", "\r\n");
    assert_status(405);
    ask("GET /nothing", "\r\n");
    assert_status(500);
    assert_int_equal(hooked_status, 500);
}

static void what_a_gate_refuses_is_not_read_and_ends_the_connection(void **state)
{
    int fd;
    (void)state;

    assert_int_equal(given_a_server_with_a_gate(), PROBER_OK);
    hooked_status = 0;
    fd = connect_to("127.0.0.1");
    send_text(fd, "POST /change HTTP/1.1\r\nHost: x\r\nX-Evil: 1\r\nContent-Length: 900\r\n\r\n");
    read_answer(fd); /* though it waits for 900 bytes, and was not told to close */
    assert_status(401);
    assert_non_null(strstr(answer.bytes, "WWW-Authenticate: Bearer\r\n"));
    assert_string_equal(body(), "no\n");
    assert_int_equal(hooked_status, 0);
}

static void slow_clients_do_not_block_others_for_long(void **state)
{
    int slow[8];
    uint64_t start_ns;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        slow[i] = connect_to("127.0.0.1");
        send_text(slow[i], "GET /he");
    }
    start_ns = clock_monotonic_ns();
    ask("GET /hello", "\r\n");
    assert_status(200);
    assert_true(clock_monotonic_ns() - start_ns < 15 * SECOND);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        close(slow[i]);
}

static void a_large_answer_arrives_whole(void **state)
{
    (void)state;
    ask("GET /large", "\r\n");
    assert_status(200);
    assert_int_equal(strlen(body()), LARGE);
}

static void closing_does_not_wait_for_a_client_that_does_not_read(void **state)
{
    uint64_t start_ns;
    int fd;
    char byte;
    (void)state;

    assert_int_equal(given_a_server_of_its_own("127.0.0.1:0"), PROBER_OK);
    fd = connect_to("127.0.0.1");
    send_text(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    start_ns = clock_monotonic_ns();
    web_close(server);
    server = NULL;
    assert_true(clock_monotonic_ns() - start_ns < 15 * SECOND);
    close(fd);
}

static void requests_are_counted_by_class(void **state)
{
    uint64_t before[6] = {0}, after[6] = {0};
    uint64_t refused[WEB_REFUSAL_COUNT] = {0}, later[WEB_REFUSAL_COUNT] = {0};
    (void)state;

    web_add_counts(server, before, refused);
    ask("GET /hello", "\r\n");
    ask("GET /none", "\r\n");
    ask("POST /body", "Content-Length: 99999\r\n\r\n");
    ask("GET /nothing", "\r\n");
    web_add_counts(server, after, later);
    assert_int_equal(later[WEB_REFUSED_BODY] - refused[WEB_REFUSED_BODY], 1);
    assert_int_equal(after[2] - before[2], 1);
    assert_int_equal(after[4] - before[4], 2);
    assert_int_equal(after[5] - before[5], 1);
}

static void a_port_in_use_is_told(void **state)
{
    struct web_config config = {.context = world};
    struct web_server *second = NULL;
    char listen[32];
    (void)state;

    snprintf(listen, sizeof(listen), "127.0.0.1:%u", web_port(server));
    config.listen = listen;
    assert_int_equal(web_open(&second, &config, routes, ARRAY_LEN(routes), &why),
                     PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "Address already in use"));
    config.listen = "localhost";
    assert_int_equal(web_open(&second, &config, routes, ARRAY_LEN(routes), &why),
                     PROBER_ERR_SYNTAX);
    config.listen = "192.0.2.1:0";
    assert_int_equal(web_open(&second, &config, routes, ARRAY_LEN(routes), &why),
                     PROBER_ERR_NOT_FOUND);
    assert_null(second);
    web_close(NULL);
}

static void every_address_includes_loopback(void **state)
{
    (void)state;
    assert_int_equal(given_a_server_of_its_own(":0"), PROBER_OK);
    ask("GET /peer", "\r\n");
    assert_string_equal(body(), "127.0.0.1");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, use_the_shared_server_again)
    const struct CMUnitTest tests[] = {
        TEST(a_route_answers),
        TEST(a_query_parameter_is_decoded_and_bounded),
        TEST(head_is_get_without_a_body),
        TEST(an_unknown_path_is_404_and_no_file_is_served),
        TEST(a_method_that_a_path_lacks_is_405_with_those_it_has),
        TEST(a_prefix_route_gets_the_rest_of_the_path),
        TEST(parts_of_a_path_are_given_by_name),
        TEST(a_part_of_a_path_is_one_and_not_empty),
        TEST(a_stream_goes_on_until_its_client_leaves),
        TEST(few_may_follow_at_a_time_so_that_others_are_served),
        TEST(a_client_that_takes_nothing_is_followed_for_no_longer_than_the_timeout),
        TEST(closing_ends_what_is_followed),
        TEST(a_body_arrives_whole),
        TEST(a_client_that_waits_for_100_is_told_not_to),
        TEST(a_body_over_the_bound_is_413_without_being_read),
        TEST(a_body_that_does_not_come_is_408),
        TEST(what_is_no_request_is_refused),
        TEST(a_handler_that_says_nothing_is_500),
        TEST(gzip_is_used_where_it_is_welcome),
        TEST(a_connection_serves_several_requests),
        TEST(an_ipv6_address_is_served_or_refused_with_the_reason),
        TEST(a_gate_comes_before_body_and_handler),
        TEST(what_a_gate_refuses_is_not_read_and_ends_the_connection),
        TEST(slow_clients_do_not_block_others_for_long),
        TEST(a_large_answer_arrives_whole),
        TEST(closing_does_not_wait_for_a_client_that_does_not_read),
        TEST(requests_are_counted_by_class),
        TEST(a_port_in_use_is_told),
        TEST(every_address_includes_loopback),
    };

    return cmocka_run_group_tests(tests, given_a_shared_server, close_the_shared_server);
}
