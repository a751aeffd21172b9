#include "libprober/http_oauth2.h"

#include "common/array.h"
#include "fakes/http_server.h"
#include "fakes/tls_server.h"
#include "given_files.h"
#include "given_http_engine.h"
#include "unit.h"

#define SHORT_NS (150 * CLOCK_NS_PER_MS)
#define JSON .headers = "Content-Type: application/json\r\n"
#define NEW_TOKEN "{\"access_token\":\"new\",\"token_type\":\"bearer\",\"expires_in\":100}"

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .needs = "\r\nAuthorization: Bearer new\r\n", .body = "in"},
    {.method = "GET", .path = "/open", .body = "in"},
    {.method = "GET", .path = "/none", .status = 401, .body = "no"},
    {0},
};

static const struct http_route token_routes[] = {
    {.method = "POST", .path = "/token", JSON, .body = NEW_TOKEN},
    {.method = "POST", .path = "/form", .needs = "client_id=me", JSON, .body = NEW_TOKEN},
    {.method = "POST",
     .path = "/refused",
     .status = 400,
     JSON,
     .body = "{\"error\":\"invalid_scope\"}"},
    {.method = "POST", .path = "/moved", .status = 307, .headers = "Location: /token\r\n"},
    {.method = "POST", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {.method = "POST", .path = "http://b.test/token", JSON, .body = NEW_TOKEN},
    {0},
};

static const struct dns_record records[] = {
    {.name = "a.test", .a = "127.0.0.1"}, {.name = "b.test", .a = "127.0.0.1"}, {0}};

struct fixture {
    struct given_http_engine g;
    struct http_server *server, *tokens;
    struct http_oauth2 oauth2;
    char token_url[128], url[128];
};

static void given_token_path(struct fixture *f, const char *path)
{
    snprintf(f->token_url, sizeof(f->token_url), "%s%s", http_server_url(f->tokens), path);
    given_spec_changes(&f->g);
}

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    given_engine(&f.g, records);
    f.server = http_server_start(routes);
    f.tokens = http_server_start(token_routes);
    f.oauth2 = (struct http_oauth2){
        .client_id = "me", .client_secret.text = "s&p", .token_url = f.token_url};
    f.g.spec.oauth2 = &f.oauth2;
    given_token_path(&f, "/token");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    given_engine_ends(&f->g);
    http_server_stop(f->tokens);
    http_server_stop(f->server);
    return 0;
}

static const char *url_of(struct fixture *f, const char *path)
{
    snprintf(f->url, sizeof(f->url), "http://a.test%s%s", strrchr(http_server_url(f->server), ':'),
             path);
    return f->url;
}

static const char *get(struct fixture *f, const char *path)
{
    return given_probe(&f->g, url_of(f, path));
}

static void run(struct fixture *f)
{
    while (http_engine_running(f->g.engine) > 0)
        given_turn(&f->g);
}

static void probes_of_a_kind_share_a_token(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(get(f, "/"), "success");
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 1);
    assert_int_equal(http_server_requests(f->server), 2);
    assert_non_null(
        strstr(http_server_last(f->tokens), "\r\nAuthorization: Basic bWU6cyUyNnA=\r\n"));
    assert_non_null(strstr(http_server_last(f->tokens),
                           "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(http_server_last(f->tokens), "\r\n\r\ngrant_type=client_credentials"));
    assert_null(strstr(http_server_last(f->server), "s&p"));
}

static void those_who_wait_wait_for_one_request(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20; i++)
        given_begin(&f->g, url_of(f, "/"), GIVEN_TIMEOUT_NS);
    run(f);
    assert_int_equal(f->g.ended, 20);
    assert_int_equal(f->g.result.reason, HTTP_SUCCEEDED);
    assert_int_equal(http_server_requests(f->tokens), 1);
}

static void a_token_is_not_used_to_its_very_end(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(get(f, "/"), "success");
    f->g.later_ns = 100 * CLOCK_NS_PER_S - HTTP_OAUTH2_SPARE_NS;
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 2);
}

static void the_next_token_is_asked_for_before_it_is_needed(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(get(f, "/"), "success");
    f->g.later_ns = 60 * CLOCK_NS_PER_S;
    assert_string_equal(get(f, "/"), "success");
    run(f);
    assert_int_equal(http_server_requests(f->tokens), 1);
    f->g.later_ns = 80 * CLOCK_NS_PER_S;
    assert_string_equal(get(f, "/"), "success");
    run(f);
    assert_int_equal(http_server_requests(f->tokens), 2);
}

static void a_server_that_wants_the_client_in_the_form_gets_it_there(void **state)
{
    struct fixture *f = *state;

    given_token_path(f, "/form");
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 2);
    assert_null(strstr(http_server_last(f->tokens), "Authorization"));
    assert_non_null(strstr(http_server_last(f->tokens), "&client_secret=s%26p"));
    f->g.later_ns = 3600 * CLOCK_NS_PER_S;
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 3); /* at once as it wants it */
}

static void without_a_token_no_probe_is_made(void **state)
{
    struct fixture *f = *state;

    given_token_path(f, "/refused");
    assert_string_equal(get(f, "/open"), "oauth2");
    assert_string_equal(f->g.trouble, "oauth2: the token server answered 400 invalid_scope");
    assert_int_equal(f->g.result.status, 0);
    assert_int_equal(http_server_requests(f->server), 0);
    assert_int_equal(http_server_requests(f->tokens), 2); /* in both ways */
    assert_string_equal(get(f, "/open"), "oauth2");       /* which it knows from just now */
    assert_int_equal(http_server_requests(f->tokens), 2);
    f->g.later_ns = HTTP_OAUTH2_PAUSE_NS + CLOCK_NS_PER_S;
    assert_string_equal(get(f, "/open"), "oauth2");
    assert_int_equal(http_server_requests(f->tokens), 4);
}

static void a_token_server_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;

    snprintf(f->token_url, sizeof(f->token_url), "http://127.0.0.1:1/");
    given_spec_changes(&f->g);
    assert_string_equal(get(f, "/open"), "oauth2");
    assert_string_equal(f->g.trouble, "oauth2: no answer of the token server: connect_refused");
    given_token_path(f, "/moved");
    assert_string_equal(get(f, "/open"), "oauth2");
    assert_string_equal(f->g.trouble, "oauth2: the token server answered 307");
}

static void who_waits_too_long_has_no_token(void **state)
{
    struct fixture *f = *state;

    given_token_path(f, "/silent");
    assert_string_equal(given_probe_within(&f->g, url_of(f, "/open"), SHORT_NS), "oauth2");
    assert_string_equal(f->g.trouble, "there was no token in time");
    assert_true(f->g.result.duration_ns >= SHORT_NS);
    given_begin(&f->g, url_of(f, "/open"), GIVEN_TIMEOUT_NS);
    assert_int_equal(http_engine_running(f->g.engine), 2); /* one of them is the request */
    assert_int_equal(http_server_requests(f->tokens), 1);
}

static void a_kind_may_go_while_its_token_is_asked_for(void **state)
{
    struct fixture *f = *state;

    given_token_path(f, "/silent");
    assert_string_equal(given_probe_within(&f->g, url_of(f, "/open"), SHORT_NS), "oauth2");
    given_spec_changes(&f->g);
    assert_int_equal(http_engine_running(f->g.engine), 1);
    given_token_path(f, "/token"); /* of another kind, which has its own */
    assert_string_equal(get(f, "/"), "success");
}

static void a_token_goes_to_the_target_s_host_alone(void **state)
{
    struct fixture *f = *state;
    struct http_server *elsewhere = http_server_start(routes);
    struct http_route away[] = {{.method = "GET", .path = "/", .status = 302}, {0}, {0}};
    char location[128];

    snprintf(location, sizeof(location), "Location: http://b.test%s/open\r\n",
             strrchr(http_server_url(elsewhere), ':'));
    away[0].headers = location;
    http_server_stop(f->server);
    f->server = http_server_start(away);
    assert_string_equal(get(f, "/"), "success");
    assert_non_null(strstr(http_server_last(f->server), "Authorization: Bearer new\r\n"));
    assert_null(strstr(http_server_last(elsewhere), "Authorization"));
    http_server_stop(elsewhere);
}

static void a_token_goes_before_other_credentials(void **state)
{
    struct fixture *f = *state;
    struct http_header header = {"authorization", "Basic eDp5", HTTP_VALUE_SECRET};

    f->g.spec.headers = (struct http_headers){&header, 1};
    snprintf(f->url, sizeof(f->url), "http://x:y@a.test%s/",
             strrchr(http_server_url(f->server), ':'));
    assert_string_equal(given_probe(&f->g, f->url), "success");
    assert_null(strstr(http_server_last(f->server), "Basic"));
}

static void a_token_that_is_not_taken_is_not_used_again(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(get(f, "/none"), "status_code");
    assert_int_equal(http_server_requests(f->tokens), 1);
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 2);
}

static void the_token_server_has_its_own_proxy_and_tls(void **state)
{
    struct fixture *f = *state;
    struct tls_server *tls = tls_server_start(&(struct tls_server_config){
        .names = "DNS:a.test",
        .answer = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"access_token\":\"new\"}"});

    snprintf(f->token_url, sizeof(f->token_url), "http://b.test/token");
    f->oauth2.proxy.url = http_server_url(f->tokens);
    assert_string_equal(get(f, "/"), "success");
    snprintf(f->token_url, sizeof(f->token_url), "https://a.test:%s/", tls_server_port(tls));
    f->oauth2.proxy.url = NULL;
    given_spec_changes(&f->g);
    assert_string_equal(get(f, "/"), "oauth2");
    assert_non_null(strstr(f->g.trouble, "tls_verify_untrusted"));
    f->oauth2.tls.ca = tls_server_ca(tls);
    given_spec_changes(&f->g);
    assert_string_equal(get(f, "/"), "success");
    tls_server_stop(tls);
}

static void a_secret_from_a_file_is_swapped_with_its_token(void **state)
{
    struct fixture *f = *state;
    struct given_files files;

    given_dir(&files);
    given_text(&files, "secret", "one\n");
    f->g.means.secrets_dir = files.dir;
    f->oauth2.client_secret = (struct http_secret){.file = "secret"};
    assert_string_equal(get(f, "/"), "success");
    assert_non_null(strstr(http_server_last(f->tokens), "Authorization: Basic bWU6b25l\r\n"));
    given_text(&files, "secret", "two\n");
    f->g.later_ns = HTTP_KIND_LOOK_NS;
    assert_string_equal(get(f, "/"), "success");
    assert_int_equal(http_server_requests(f->tokens), 2);
    assert_non_null(strstr(http_server_last(f->tokens), "Authorization: Basic bWU6dHdv\r\n"));
    given_dir_ends(&files);
}

static bool is_first(void *context, const struct prober_addr *address)
{
    unsigned *asked = context;

    (void)address;
    return ++*asked > 1;
}

static void the_guard_is_asked_about_the_token_server(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0;

    http_engine_set_guard(f->g.engine, is_first, &asked);
    assert_string_equal(get(f, "/"), "local_error");
    assert_non_null(strstr(f->g.trouble, "the address is not permitted"));
    assert_true(f->g.result.is_forbidden);
    assert_int_equal(http_server_requests(f->tokens), 0);
}

static void what_cannot_be_asked_for_a_token_is_refused_with_its_kind(void **state)
{
    struct fixture *f = *state;
    struct http_kind *kind = NULL;
    struct prober_failure why;

    f->oauth2.tls.ca = "no certificate";
    assert_int_equal(http_kind_create(&kind, &f->g.spec, NULL, &why), PROBER_ERR_SYNTAX);
    assert_string_equal(why.text, "oauth2: there is no certificate in the ca");
    assert_null(kind);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(probes_of_a_kind_share_a_token),
        TEST(those_who_wait_wait_for_one_request),
        TEST(a_token_is_not_used_to_its_very_end),
        TEST(the_next_token_is_asked_for_before_it_is_needed),
        TEST(a_server_that_wants_the_client_in_the_form_gets_it_there),
        TEST(without_a_token_no_probe_is_made),
        TEST(a_token_server_that_is_not_there_is_told),
        TEST(who_waits_too_long_has_no_token),
        TEST(a_kind_may_go_while_its_token_is_asked_for),
        TEST(a_token_goes_to_the_target_s_host_alone),
        TEST(a_token_goes_before_other_credentials),
        TEST(a_token_that_is_not_taken_is_not_used_again),
        TEST(the_token_server_has_its_own_proxy_and_tls),
        TEST(a_secret_from_a_file_is_swapped_with_its_token),
        TEST(the_guard_is_asked_about_the_token_server),
        TEST(what_cannot_be_asked_for_a_token_is_refused_with_its_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
