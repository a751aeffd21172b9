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
    {0},
};
static struct http_server *server;

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
    enum prober_error err = client_get(http_server_url(server), path, 5 * SECOND, &json, text, why);

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
    struct prober_failure why;
    struct json *json = NULL;

    (void)state;
    assert_int_equal(client_get("127.0.0.1:1/", "/api/v1/mesh", 5 * SECOND, &json, NULL, &why),
                     PROBER_ERR_UNREACHABLE);
    assert_non_null(strstr(why.text, "http://127.0.0.1:1/api/v1/mesh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_given_parsed_and_as_it_came),
        cmocka_unit_test(what_a_server_says_against_it_commands_no_terminal),
        cmocka_unit_test(a_page_that_is_no_json_is_told_as_such),
        cmocka_unit_test(a_server_that_is_not_there_is_told_with_its_address),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
