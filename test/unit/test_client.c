#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probermesh/client.h"
#include "test/unit/fakes/http_server.h"

#define SECOND UINT64_C(1000000000)

static const struct http_route routes[] = {
    {.method = "GET", .path = "/api/v1/mesh", .body = "{\"pairs\":[]}"},
    {.method = "GET",
     .path = "/refusing",
     .status = 503,
     .body = "not\x1b[2J \xc2\x9b"
             "2J now\nor ever"},
    {.method = "GET", .path = "/page", .body = "<html>"},
    {.method = "GET",
     .path = "/guarded",
     .needs = "Authorization: Bearer 0123456789abcdef",
     .body = "{}"},
    {.method = "POST", .path = "/-/task", .status = 400,
     .body = "{\"code\":400,\"data\":\"\\\"cmd\\\": is\\u001b[2J empty\"}"},
    {.method = "DELETE", .path = "/api/v1/tasks/t1", .body = "{}"},
    {.method = "GET", .path = "/one", .body = "1"},
    {.method = "GET", .path = "/two", .status = 404, .body = "22"},
    {.method = "GET", .path = "/never", .behaviour = HTTP_IS_SILENT},
    {0},
};
static struct http_server *server;
static const char *token; /* NULL: none */

static int set_up(void **state)
{
    (void)state;
    server = http_server_start(routes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(server);
    return 0;
}

static enum prober_error get(const char *path, char **text, struct prober_failure *why)
{
    struct json *json = NULL;
    const struct client_target target = {
        .server = http_server_url(server), .token = token, .timeout_ns = 5 * SECOND};
    enum prober_error err = client_get(&target, path, &json, text, why);

    json_free(json);
    return err;
}

static void an_answer_is_given_parsed_and_as_it_came(void **state)
{
    struct prober_failure why;
    char *text = NULL;

    (void)state;
    assert_int_equal(get("/api/v1/mesh", &text, &why), PROBER_OK);
    assert_string_equal(text, "{\"pairs\":[]}");
    free(text);
}

static void what_a_server_says_against_it_commands_no_terminal(void **state)
{
    struct prober_failure why;

    (void)state;
    assert_int_equal(get("/refusing", NULL, &why), PROBER_ERR_PROTOCOL);
    assert_non_null(strstr(why.text, "status 503: not\\x1b[2J \\u009b2J now"));
    assert_null(strpbrk(why.text, "\x1b\n\x9b"));
}

static void a_page_that_is_no_json_is_told_as_such(void **state)
{
    struct prober_failure why;

    (void)state;
    assert_int_not_equal(get("/page", NULL, &why), PROBER_OK);
    assert_non_null(strstr(why.text, "not the answer of a ProberMesh server"));
}

static void a_server_that_is_not_there_is_told_with_its_address(void **state)
{
    const struct client_target target = {.server = "127.0.0.1:1/", .timeout_ns = 5 * SECOND};
    struct prober_failure why;
    struct json *json = NULL;

    (void)state;
    assert_int_equal(client_get(&target, "/api/v1/mesh", &json, NULL, &why),
                     PROBER_ERR_UNREACHABLE);
    assert_non_null(strstr(why.text, "http://127.0.0.1:1/api/v1/mesh"));
}

static void a_token_is_sent_as_a_bearers(void **state)
{
    struct prober_failure why;

    (void)state;
    assert_int_equal(get("/guarded", NULL, &why), PROBER_ERR_PROTOCOL);
    assert_non_null(strstr(why.text, "status 401"));
    token = "0123456789abcdef";
    assert_int_equal(get("/guarded", NULL, &why), PROBER_OK);
    token = "0123456789abcdef\r\nX-More: 1";
    assert_int_equal(get("/guarded", NULL, &why), PROBER_ERR_SYNTAX);
    token = NULL;
}

static void a_token_does_not_go_over_plain_http_to_another_host(void **state)
{
    static const char *const others[] = {"192.0.2.1:1", "http://server.example", "[2001:db8::1]:1",
                                         "http://localhost@192.0.2.1/", "HTTP://192.0.2.1:1/"};
    struct prober_failure why;
    struct json *json = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct client_target target = {
            .server = others[i], .token = "0123456789abcdef", .timeout_ns = 1};

        assert_int_equal(client_get(&target, "/", &json, NULL, &why), PROBER_ERR_DENIED);
        assert_null(strstr(why.text, target.token));
    }
}

static void authorities_that_cannot_be_read_are_told(void **state)
{
    const struct client_target target = {
        .server = "https://localhost:1", .ca_file = "/nowhere/ca.pem", .timeout_ns = SECOND};
    struct prober_failure why;
    struct json *json = NULL;

    (void)state;
    assert_int_equal(client_get(&target, "/", &json, NULL, &why), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nowhere/ca.pem"));
}

static enum prober_error ask_for(const struct client_request *requests, size_t count, int stop_fd,
                                 struct client_answer *answers, struct prober_failure *why)
{
    const struct client_target target = {
        .server = http_server_url(server), .token = token, .timeout_ns = 5 * SECOND};

    return client_ask(&target, requests, answers, count, stop_fd, why);
}

static void several_answers_come_whatever_they_say(void **state)
{
    const struct client_request requests[] = {
        {.path = "/one"}, {.path = "/two"}, {.path = "/api/v1/tasks/t1", .method = "DELETE"}};
    struct client_answer answers[3] = {0};
    struct prober_failure why;

    (void)state;
    assert_int_equal(ask_for(requests, 3, -1, answers, &why), PROBER_OK);
    assert_int_equal(answers[0].status, 200);
    assert_string_equal(answers[0].bytes, "1");
    assert_int_equal(answers[1].status, 404);
    assert_int_equal(answers[1].len, 2);
    assert_int_equal(answers[2].status, 200);
    client_answers_free(answers, 3);
    assert_null(answers[0].bytes);
}

static void what_a_server_refuses_is_told_in_its_words(void **state)
{
    const struct client_request request = {.path = "/-/task", .body = "{\"cmd\": \"\"}"};
    struct client_answer answer = {0};
    struct prober_failure why;

    (void)state;
    assert_int_equal(ask_for(&request, 1, -1, &answer, &why), PROBER_OK);
    assert_non_null(strstr(http_server_last(server), "POST /-/task "));
    assert_non_null(strstr(http_server_last(server), "{\"cmd\": \"\"}"));
    assert_int_equal(client_refused(&answer, &why), PROBER_ERR_PROTOCOL);
    assert_string_equal(why.text,
                        "the server answered with status 400: \"cmd\": is\\x1b[2J empty");
    client_answers_free(&answer, 1);
    answer = (struct client_answer){.status = 502, .bytes = (char[]){"<html>\nmore"}, .len = 11};
    client_refused(&answer, &why);
    assert_string_equal(why.text, "the server answered with status 502: <html>");
}

static void asking_stops_when_it_is_told_to(void **state)
{
    const struct client_request requests[] = {{.path = "/never"}, {.path = "/one"}};
    struct client_answer answers[2] = {0};
    struct prober_failure why;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(ask_for(requests, 2, ends[0], answers, &why), PROBER_ERR_CLOSED);
    assert_null(answers[1].bytes);
    close(ends[0]);
    close(ends[1]);
    token = "a b";
    assert_int_equal(ask_for(requests, 2, -1, answers, &why), PROBER_ERR_SYNTAX);
    token = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_given_parsed_and_as_it_came),
        cmocka_unit_test(what_a_server_says_against_it_commands_no_terminal),
        cmocka_unit_test(a_page_that_is_no_json_is_told_as_such),
        cmocka_unit_test(a_server_that_is_not_there_is_told_with_its_address),
        cmocka_unit_test(several_answers_come_whatever_they_say),
        cmocka_unit_test(what_a_server_refuses_is_told_in_its_words),
        cmocka_unit_test(asking_stops_when_it_is_told_to),
        cmocka_unit_test(a_token_is_sent_as_a_bearers),
        cmocka_unit_test(a_token_does_not_go_over_plain_http_to_another_host),
        cmocka_unit_test(authorities_that_cannot_be_read_are_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
