#include "libprober/http_fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "fakes/http_server.h"
#include "fakes/tls_server.h"

#define LONG_NS (20 * CLOCK_NS_PER_S)
#define SHORT_NS (200 * CLOCK_NS_PER_MS)

static const struct http_route routes[] = {
    {.method = "GET", .path = "/hello", .body = "good day"},
    {.method = "GET", .path = "/empty", .status = 204},
    {.method = "GET", .path = "/broken", .status = 503, .body = "later"},
    {.method = "GET", .path = "/kept", .needs = "X-Key: 7", .body = "let in"},
    {.method = "GET", .path = "/moved", .status = 302, .headers = "Location: /hello\r\n"},
    {.method = "GET", .path = "/large", .body = "0123456789abcdef", .repeat = 100000},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {.method = "GET", .path = "/hangup", .behaviour = HTTP_HANGS_UP},
    {.method = "GET",
     .path = "/gibberish",
     .body = "\x01\x02 what",
     .behaviour = HTTP_SPEAKS_NO_HTTP},
    {.method = "GET",
     .path = "/json",
     .headers = "Content-Type: application/json\r\n",
     .body = "[]"},
    {.method = "GET",
     .path = "/basic",
     .needs = "Authorization: Basic bWU6aHVzaA==",
     .body = "let in"},
    {.method = "GET", .path = "http://sd.test/proxied", .body = "by proxy"},
    {.method = "PUT", .path = "/put", .body = "put"},
    {.method = "POST", .path = "/post", .body = "posted"},
    {0},
};

struct fixture {
    struct http_server *server;
    char url[128];
};

static int set_up(void **state)
{
    static struct fixture f;

    f.server = http_server_start(routes);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_server_stop(f->server);
    return 0;
}

static const char *url(struct fixture *f, const char *path)
{
    snprintf(f->url, sizeof(f->url), "%s%s", http_server_url(f->server), path);
    return f->url;
}

static struct http_answer fetch(struct fixture *f, const char *path)
{
    struct http_request request = {.url = url(f, path)};
    struct http_answer answer;

    http_fetch(&request, &answer, 1, LONG_NS);
    return answer;
}

static void an_answer_has_its_status_and_body(void **state)
{
    struct http_answer a = fetch(*state, "/hello");

    assert_int_equal(a.err, PROBER_OK);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "good day");
    assert_int_equal(a.body_len, 8);
    http_answers_free(&a, 1);
    assert_null(a.body);
}

static void an_empty_body_is_an_empty_string(void **state)
{
    struct http_answer a = fetch(*state, "/empty");

    assert_int_equal(a.status, 204);
    assert_string_equal(a.body, "");
    http_answers_free(&a, 1);
}

static void an_error_status_is_an_answer_too(void **state)
{
    struct http_answer a = fetch(*state, "/broken");

    assert_int_equal(a.err, PROBER_OK);
    assert_int_equal(a.status, 503);
    assert_string_equal(a.body, "later");
    http_answers_free(&a, 1);
}

static void headers_are_sent(void **state)
{
    static const char *const headers[] = {"X-Other: 1", "X-Key: 7", NULL};
    struct http_request request = {.url = url(*state, "/kept"), .headers = headers};
    struct http_answer a = fetch(*state, "/kept");

    assert_int_equal(a.status, 401);
    http_answers_free(&a, 1);
    http_fetch(&request, &a, 1, LONG_NS);
    assert_string_equal(a.body, "let in");
    http_answers_free(&a, 1);
}

static void a_redirect_is_not_followed(void **state)
{
    struct http_answer a = fetch(*state, "/moved");

    assert_int_equal(a.status, 302);
    http_answers_free(&a, 1);
}

static void the_environment_names_no_proxy(void **state)
{
    struct http_answer a;

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    a = fetch(*state, "/hello");
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(a.status, 200);
    http_answers_free(&a, 1);
}

static void an_answer_that_is_too_large_is_refused(void **state)
{
    struct http_request request = {.url = url(*state, "/large"), .answer_max = 1599999};
    struct http_answer a = fetch(*state, "/large");

    assert_int_equal(a.err, PROBER_ERR_RANGE);
    assert_null(a.body);
    http_fetch(&request, &a, 1, LONG_NS);
    assert_int_equal(a.err, PROBER_ERR_RANGE);
    request.answer_max++;
    http_fetch(&request, &a, 1, LONG_NS);
    assert_int_equal(a.err, PROBER_OK);
    assert_int_equal(a.body_len, 1600000);
    assert_int_equal(a.body[1600000], 0);
    http_answers_free(&a, 1);
}

static void other_protocols_are_refused(void **state)
{
    const char *urls[] = {"file:///etc/hostname", "ftp://127.0.0.1/", "gopher://127.0.0.1/",
                          "no url at all"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct http_request request = {.url = urls[i]};
        struct http_answer a;

        http_fetch(&request, &a, 1, LONG_NS);
        assert_int_not_equal(a.err, PROBER_OK);
        assert_int_equal(a.status, 0);
        assert_null(a.body);
        assert_true(a.why.text[0] != 0);
    }
}

static void a_peer_that_breaks_off_or_speaks_no_http_is_an_error(void **state)
{
    const char *paths[] = {"/hangup", "/gibberish"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct http_answer a = fetch(*state, paths[i]);

        assert_int_not_equal(a.err, PROBER_OK);
        assert_null(a.body);
        assert_true(a.why.text[0] != 0);
    }
}

static void nobody_listening_is_unreachable(void **state)
{
    struct http_request request = {.url = "http://127.0.0.1:1/"};
    struct http_answer a;

    (void)state;
    http_fetch(&request, &a, 1, LONG_NS);
    assert_int_equal(a.err, PROBER_ERR_UNREACHABLE);
}

static void a_silent_server_times_out_and_holds_up_no_other(void **state)
{
    struct fixture *f = *state;
    char silent[128];
    struct http_request requests[2] = {{.url = silent}, {.url = url(f, "/hello")}};
    struct http_answer answers[2];

    snprintf(silent, sizeof(silent), "%s/silent", http_server_url(f->server));
    http_fetch(requests, answers, 2, SHORT_NS);
    assert_int_equal(answers[0].err, PROBER_ERR_TIMEOUT);
    assert_null(answers[0].body);
    assert_string_equal(answers[1].body, "good day");
    http_answers_free(answers, 2);
}

static void methods_and_bodies_are_sent(void **state)
{
    struct fixture *f = *state;
    struct http_request request = {.url = url(f, "/put"), .method = "PUT"};
    struct http_answer a;

    http_fetch(&request, &a, 1, LONG_NS);
    assert_string_equal(a.body, "put");
    http_answers_free(&a, 1);
    assert_non_null(strstr(http_server_last(f->server), "Content-Length: 0"));
    request = (struct http_request){.url = url(f, "/post"), .body = "a=b&c", .body_len = 3};
    http_fetch(&request, &a, 1, LONG_NS);
    assert_string_equal(a.body, "posted");
    http_answers_free(&a, 1);
    assert_non_null(strstr(http_server_last(f->server), "\r\n\r\na=b"));
    assert_null(strstr(http_server_last(f->server), "&c"));
}

static void the_content_type_is_told(void **state)
{
    struct http_answer a = fetch(*state, "/json");

    assert_string_equal(a.content_type, "application/json");
    http_answers_free(&a, 1);
    a = fetch(*state, "/empty");
    assert_string_equal(a.content_type, "");
    http_answers_free(&a, 1);
}

static void credentials_are_shown(void **state)
{
    struct http_request request = {
        .url = url(*state, "/basic"), .username = "me", .password = "hush"};
    struct http_answer a;

    http_fetch(&request, &a, 1, LONG_NS);
    assert_string_equal(a.body, "let in");
    http_answers_free(&a, 1);
}

static void a_proxy_is_asked_when_one_is_given(void **state)
{
    struct fixture *f = *state;
    struct http_request request = {.url = "http://sd.test/proxied",
                                   .proxy = http_server_url(f->server)};
    struct http_answer a;

    http_fetch(&request, &a, 1, LONG_NS);
    assert_string_equal(a.body, "by proxy");
    http_answers_free(&a, 1);
}

static struct http_answer fetch_tls(struct tls_server *server, const struct http_fetch_tls *tls)
{
    struct http_request request = {.tls = tls};
    struct http_answer a;
    char text[64];

    snprintf(text, sizeof(text), "https://127.0.0.1:%s/", tls_server_port(server));
    request.url = text;
    http_fetch(&request, &a, 1, LONG_NS);
    return a;
}

static void a_certificate_is_verified_as_told(void **state)
{
    struct tls_server *server =
        tls_server_start(&(struct tls_server_config){.names = "IP:127.0.0.1"});
    struct http_fetch_tls tls = {.ca = tls_server_ca(server)};
    struct http_answer a = fetch_tls(server, NULL);

    (void)state;
    assert_int_not_equal(a.err, PROBER_OK);
    a = fetch_tls(server, &tls);
    assert_string_equal(a.body, "safe");
    http_answers_free(&a, 1);
    tls = (struct http_fetch_tls){.insecure_skip_verify = true};
    a = fetch_tls(server, &tls);
    assert_string_equal(a.body, "safe");
    http_answers_free(&a, 1);
    tls_server_stop(server);
}

static void a_client_certificate_is_shown(void **state)
{
    struct tls_server *server = tls_server_start(
        &(struct tls_server_config){.names = "IP:127.0.0.1", .asks_for_client = true});
    struct http_fetch_tls tls = {.ca = tls_server_ca(server)};
    struct http_answer a = fetch_tls(server, &tls);

    (void)state;
    assert_int_not_equal(a.err, PROBER_OK);
    tls.cert = tls_server_cert(server);
    tls.key = tls_server_key(server);
    a = fetch_tls(server, &tls);
    assert_string_equal(a.body, "safe");
    http_answers_free(&a, 1);
    tls_server_stop(server);
}

static void the_least_tls_version_is_kept(void **state)
{
    struct tls_server *server =
        tls_server_start(&(struct tls_server_config){.names = "IP:127.0.0.1", .newest = 2});
    struct http_fetch_tls tls = {.ca = tls_server_ca(server), .min_version = HTTP_TLS_1_3};
    struct http_answer a = fetch_tls(server, &tls);

    (void)state;
    assert_int_not_equal(a.err, PROBER_OK);
    tls.min_version = HTTP_TLS_DEFAULT;
    a = fetch_tls(server, &tls);
    assert_string_equal(a.body, "safe");
    http_answers_free(&a, 1);
    tls_server_stop(server);
}

static void a_fetcher_gives_each_answer_when_it_is_complete(void **state)
{
    struct fixture *f = *state;
    char silent[128];
    struct http_request requests[2] = {{.url = silent}, {.url = url(f, "/hello")}};
    struct http_answer answers[2];
    struct http_fetcher *fetcher;

    snprintf(silent, sizeof(silent), "%s/silent", http_server_url(f->server));
    assert_int_equal(http_fetcher_create(&fetcher), PROBER_OK);
    assert_null(http_fetcher_take(fetcher));
    http_fetcher_start(fetcher, &requests[0], &answers[0], LONG_NS);
    http_fetcher_start(fetcher, &requests[1], &answers[1], LONG_NS);
    http_fetcher_wait(fetcher, NULL, 0, LONG_NS);
    assert_ptr_equal(http_fetcher_take(fetcher), &answers[1]);
    assert_string_equal(answers[1].body, "good day");
    assert_null(http_fetcher_take(fetcher));
    http_fetcher_destroy(fetcher); /* with one under way */
    assert_null(answers[0].body);
    http_answers_free(answers, 2);
}

static void a_fetcher_wakes_for_other_work(void **state)
{
    struct pollfd fds[2] = {{.fd = eventfd(0, 0)}, {.fd = eventfd(1, 0)}};
    struct http_request request = {.url = url(*state, "/silent")};
    struct http_answer answer;
    struct http_fetcher *fetcher;

    assert_int_equal(http_fetcher_create(&fetcher), PROBER_OK);
    http_fetcher_wait(fetcher, fds, 2, LONG_NS);
    assert_int_equal(fds[0].revents, 0);
    assert_int_equal(fds[1].revents, POLLIN);
    http_fetcher_start(fetcher, &request, &answer, LONG_NS);
    http_fetcher_wait(fetcher, fds, 2, LONG_NS);
    assert_int_equal(fds[1].revents, POLLIN);
    assert_null(http_fetcher_take(fetcher));
    http_fetcher_wait(fetcher, fds, 1, CLOCK_NS_PER_MS);
    assert_null(http_fetcher_take(fetcher));
    http_fetcher_destroy(fetcher);
    close(fds[0].fd);
    close(fds[1].fd);
}

static void no_requests_are_fine(void **state)
{
    (void)state;
    http_fetch(NULL, NULL, 0, LONG_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(an_answer_has_its_status_and_body),
        TEST(an_empty_body_is_an_empty_string),
        TEST(an_error_status_is_an_answer_too),
        TEST(headers_are_sent),
        TEST(a_redirect_is_not_followed),
        TEST(the_environment_names_no_proxy),
        TEST(an_answer_that_is_too_large_is_refused),
        TEST(a_peer_that_breaks_off_or_speaks_no_http_is_an_error),
        TEST(a_silent_server_times_out_and_holds_up_no_other),
        TEST(methods_and_bodies_are_sent),
        TEST(the_content_type_is_told),
        TEST(credentials_are_shown),
        TEST(a_proxy_is_asked_when_one_is_given),
        TEST(a_fetcher_gives_each_answer_when_it_is_complete),
        TEST(a_fetcher_wakes_for_other_work),
#undef TEST
        cmocka_unit_test(other_protocols_are_refused),
        cmocka_unit_test(nobody_listening_is_unreachable),
        cmocka_unit_test(a_certificate_is_verified_as_told),
        cmocka_unit_test(a_client_certificate_is_shown),
        cmocka_unit_test(the_least_tls_version_is_kept),
        cmocka_unit_test(no_requests_are_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
