#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_given_parsed_and_as_it_came),
        cmocka_unit_test(what_a_server_says_against_it_commands_no_terminal),
        cmocka_unit_test(a_page_that_is_no_json_is_told_as_such),
        cmocka_unit_test(a_server_that_is_not_there_is_told_with_its_address),
        cmocka_unit_test(a_token_is_sent_as_a_bearers),
        cmocka_unit_test(a_token_does_not_go_over_plain_http_to_another_host),
        cmocka_unit_test(authorities_that_cannot_be_read_are_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
