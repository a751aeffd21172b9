#include "libprober/http_trace.h"

#include "fakes/http_server.h"
#include "fakes/proxy_server.h"
#include "fakes/tls_server.h"
#include "given_http_engine.h"
#include "unit.h"

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .headers = "X-Kind: a\r\n", .body = "good day ", .repeat = 2000},
    {.method = "GET",
     .path = "/moved",
     .status = 302,
     .headers = "Location: /\r\nSet-Cookie: sid=0123456789; Path=/\r\n"},
    {.method = "GET", .path = "/ftp", .status = 302, .headers = "Location: ftp://a/\r\n"},
    {.method = "GET",
     .path = "/short",
     .behaviour = HTTP_SPEAKS_NO_HTTP,
     .body = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"},
    {.method = "GET",
     .path = "/hints",
     .behaviour = HTTP_SPEAKS_NO_HTTP,
     .body = "HTTP/1.1 103 Early\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {0},
};

static const struct dns_record records[] = {{.name = "a.test", .a = "127.0.0.1 192.0.2.1"}, {0}};

struct fixture {
    struct given_http_engine g;
    struct http_server *server;
    struct tls_server *tls, *tls_proxy;
    struct proxy_server *proxy;
    char url[256], proxy_url[128];
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    given_engine(&f.g, records);
    f.server = http_server_start(routes);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_trace_destroy(f->g.trace);
    given_engine_ends(&f->g);
    tls_server_stop(f->tls_proxy);
    proxy_server_stop(f->proxy);
    tls_server_stop(f->tls);
    http_server_stop(f->server);
    return 0;
}

/* Returns the first hop. */
static const struct http_trace_hop *probe_within(struct fixture *f, const char *url,
                                                 uint64_t timeout_ns)
{
    http_trace_destroy(f->g.trace);
    assert_int_equal(http_trace_create(&f->g.trace, &f->g.spec), PROBER_OK);
    given_spec_changes(&f->g);
    given_probe_within(&f->g, url, timeout_ns);
    assert_false(f->g.trace->is_cut);
    return f->g.trace->first;
}

static const struct http_trace_hop *probe(struct fixture *f, const char *path)
{
    snprintf(f->url, sizeof(f->url), "%s%s", http_server_url(f->server), path);
    return probe_within(f, f->url, GIVEN_TIMEOUT_NS);
}

static bool has(const struct http_trace_head *head, const char *line)
{
    for (const struct http_trace_text *t = head->lines.first; t; t = t->next)
        if (strcmp(t->text, line) == 0)
            return true;
    return false;
}

static void a_hop_shows_what_was_asked_and_what_came(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop = probe(f, "/");

    assert_string_equal(hop->url, f->url);
    assert_null(hop->next);
    assert_int_equal(hop->began_ns, 0);
    assert_true(has(hop->requests.first, "GET / HTTP/1.1"));
    assert_true(has(hop->requests.first, "Connection: close"));
    assert_null(hop->requests.first->next);
    assert_string_equal(hop->responses.first->lines.first->text, "HTTP/1.1 200 Fake");
    assert_true(has(hop->responses.first, "X-Kind: a"));
    assert_null(hop->tls);
    assert_memory_equal(hop->outcome.local, "127.0.0.1:", 10);
    assert_true(hop->outcome.connect_ns > 0 && hop->outcome.processing_ns > 0);
    assert_int_equal(hop->outcome.body_received, 18000);
    assert_int_equal(hop->outcome.body_len, HTTP_TRACE_BODY_MAX);
    assert_memory_equal(hop->outcome.body, "good day good", 13);
    assert_int_equal(hop->failure, HTTP_SUCCEEDED);
    assert_null(hop->error);
}

static void each_redirect_is_a_hop(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop = probe(f, "/moved");

    assert_true(has(hop->responses.first, "Set-Cookie: sid=<secret>; Path=/"));
    assert_int_equal(hop->failure, HTTP_SUCCEEDED);
    assert_null(hop->error);
    hop = hop->next;
    assert_true(hop->began_ns > 0);
    assert_true(has(hop->requests.first, "Cookie: <secret>"));
    assert_null(hop->next);
    assert_int_equal(f->g.result.reason, HTTP_SUCCEEDED);
}

static void an_interim_answer_is_shown_too(void **state)
{
    const struct http_trace_hop *hop = probe(*state, "/hints");

    assert_true(has(hop->responses.first, "HTTP/1.1 103 Early"));
    assert_true(has(hop->responses.first, "X-A: 1"));
    assert_true(has(hop->responses.first->next, "HTTP/1.1 200 OK"));
    assert_null(hop->responses.first->next->next);
}

static void secrets_are_shown_nowhere(void **state)
{
    struct http_basic_auth auth = {.username = "user", .password.text = "password"};
    struct fixture *f = *state;
    const struct http_trace_hop *hop;

    f->g.spec.basic_auth = &auth;
    hop = probe(f, "/");
    assert_true(has(hop->requests.first, "Authorization: Basic <secret>"));
    snprintf(f->url, sizeof(f->url), "http://user:password@%s/", http_server_url(f->server) + 7);
    hop = probe_within(f, f->url, GIVEN_TIMEOUT_NS);
    assert_null(strstr(hop->url, "password"));
    assert_true(has(hop->requests.first, "Authorization: Basic <secret>"));
}

static void the_addresses_of_a_name_are_shown(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop;

    snprintf(f->url, sizeof(f->url), "http://a.test%s/", strrchr(http_server_url(f->server), ':'));
    hop = probe_within(f, f->url, GIVEN_TIMEOUT_NS);
    assert_true(hop->is_looked_up);
    assert_int_equal(hop->answer.count, 2);
    assert_int_equal(hop->answer.shown[1].bytes[0], 192);
    assert_true(hop->answer.elapsed_ns > 0);
    hop = probe_within(f, "http://b.test/", GIVEN_TIMEOUT_NS);
    assert_int_equal(hop->answer.status, RESOLVER_NXDOMAIN);
    assert_int_equal(hop->failure, HTTP_FAILED_DNS_NXDOMAIN);
    assert_null(hop->requests.first);
}

static void a_failure_has_its_sentence(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop = probe(f, "/short");

    assert_int_equal(hop->failure, HTTP_FAILED_TRUNCATED);
    assert_non_null(strstr(hop->error, "6 bytes")); /* that are missing */
    assert_memory_equal(hop->outcome.body, "abc", 3);
    hop = probe_within(f, "http://127.0.0.1:1/", GIVEN_TIMEOUT_NS);
    assert_int_equal(hop->failure, HTTP_FAILED_CONNECT_REFUSED);
    assert_non_null(strstr(hop->error, "refused"));
    hop = probe(f, "/ftp");
    assert_int_equal(hop->failure, HTTP_FAILED_BAD_REDIRECT);
    assert_non_null(strstr(hop->error, "http"));
    assert_null(hop->next);
    assert_null(probe_within(f, "http://a:b:c/", GIVEN_TIMEOUT_NS));
    assert_non_null(f->g.trace->error);
}

static void a_hop_whose_time_is_up_shows_how_far_it_came(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop;

    snprintf(f->url, sizeof(f->url), "%s/silent", http_server_url(f->server));
    hop = probe_within(f, f->url, 100 * CLOCK_NS_PER_MS);
    assert_int_equal(hop->failure, HTTP_FAILED_TIMEOUT);
    assert_true(has(hop->requests.first, "GET /silent HTTP/1.1"));
    assert_null(hop->responses.first);
    assert_true(hop->outcome.connect_ns > 0);
}

static void the_check_that_failed_is_told(void **state)
{
    const char *regexps[] = {"bad day", "good d.y"};
    struct fixture *f = *state;

    f->g.spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 2};
    assert_int_equal(probe(f, "/")->failure, HTTP_FAILED_BODY_REGEXP);
    assert_string_equal(f->g.trace->check.key, "fail_if_body_matches_regexp");
    assert_int_equal(f->g.trace->check.index, 1);
    assert_string_equal(f->g.trace->check.regexp, "good d.y");
}

static const struct http_trace_hop *probe_tls(struct fixture *f, const char *names,
                                              struct tls_server_config config)
{
    config.names = names;
    f->tls = tls_server_start(&config);
    f->g.spec.tls.ca = tls_server_ca(f->tls);
    snprintf(f->url, sizeof(f->url), "https://a.test:%s/", tls_server_port(f->tls));
    return probe_within(f, f->url, GIVEN_TIMEOUT_NS);
}

static void a_handshake_shows_what_was_agreed_on_and_the_chain(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop =
        probe_tls(f, "DNS:a.test,DNS:*.b.test,IP:127.0.0.1,IP:::1", (struct tls_server_config){0});
    const struct http_trace_certificate *c = hop->tls->first;
    const struct http_trace_text *name = c->names.first;

    assert_string_equal(hop->tls->version, "TLS 1.3");
    assert_memory_equal(hop->tls->cipher, "TLS_", 4);
    assert_string_equal(hop->tls->server_name, "a.test");
    assert_int_equal(hop->tls->verdict, HTTP_TRACE_TRUSTED);
    assert_int_equal(c->not_after, tls_server_leaf_expiry(f->tls));
    assert_true(c->not_before < c->not_after);
    assert_int_equal(strlen(c->sha256), 64);
    assert_string_equal(name->text, "a.test");
    assert_string_equal(name->next->text, "*.b.test");
    assert_string_equal(name->next->next->text, "127.0.0.1");
    assert_string_equal(name->next->next->next->text, "::1");
    assert_string_equal(c->issuer, c->next->subject);
    assert_int_equal(c->next->not_after, tls_server_ca_expiry(f->tls));
    assert_null(c->next->next);
}

static void a_chain_that_is_refused_is_shown_with_the_reason(void **state)
{
    const struct http_trace_hop *hop =
        probe_tls(*state, "DNS:a.test", (struct tls_server_config){.leaf_days = -1});

    assert_int_equal(hop->tls->verdict, HTTP_TRACE_REFUSED);
    assert_string_equal(hop->tls->verify_error, "certificate has expired");
    assert_int_equal(hop->tls->verify_depth, 0);
    assert_non_null(hop->tls->first);
    assert_null(hop->tls->version);
    assert_int_equal(hop->failure, HTTP_FAILED_TLS_VERIFY_EXPIRED);
    assert_null(hop->requests.first);
}

static void a_tunnel_shows_what_was_said_to_the_proxy(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop;

    f->proxy = proxy_server_start(PROXY_WORKS);
    snprintf(f->proxy_url, sizeof(f->proxy_url), "http://me:password@127.0.0.1:%s",
             proxy_server_port(f->proxy));
    f->g.spec.proxy.url = f->proxy_url;
    hop = probe_tls(f, "DNS:a.test", (struct tls_server_config){0});
    assert_int_equal(f->g.result.reason, HTTP_SUCCEEDED);
    assert_string_equal(hop->proxy, strstr(f->proxy_url, "127"));
    assert_int_equal(hop->proxy_address.bytes[0], 127);
    assert_memory_equal(hop->requests.first->lines.first->text, "CONNECT 127.0.0.1:", 18);
    assert_true(has(hop->requests.first, "Proxy-Authorization: Basic <secret>"));
    assert_true(has(hop->requests.first->next, "GET / HTTP/1.1"));
    assert_memory_equal(hop->responses.first->lines.first->text, "HTTP/1.1 200", 12);
    assert_memory_equal(hop->responses.first->next->lines.first->text, "HTTP/1.1 200", 12);
    assert_string_equal(hop->tls->server_name, "a.test");
    assert_null(hop->proxy_tls);
}

static void a_proxy_with_tls_shows_its_certificates_too(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_hop *hop;

    f->tls_proxy = tls_server_start(&(struct tls_server_config){.names = "IP:127.0.0.1"});
    snprintf(f->proxy_url, sizeof(f->proxy_url), "https://127.0.0.1:%s",
             tls_server_port(f->tls_proxy));
    f->g.spec.proxy.url = f->proxy_url;
    f->g.spec.tls.ca = tls_server_ca(f->tls_proxy);
    hop = probe_within(f, "http://a.test/", GIVEN_TIMEOUT_NS);
    assert_null(hop->tls);
    assert_string_equal(hop->proxy_tls->server_name, "127.0.0.1");
    assert_int_equal(hop->proxy_tls->verdict, HTTP_TRACE_TRUSTED);
    assert_string_equal(hop->proxy_tls->version, "TLS 1.3");
    assert_string_equal(hop->proxy_tls->first->names.first->text, "127.0.0.1");
    assert_true(has(hop->requests.first, "GET http://a.test/ HTTP/1.1"));
}

static void what_http2_does_not_send_is_not_shown(void **state)
{
    static const char old[] = "GET / HTTP/1.1\r\nConnection: close\r\nA: b\r\n\r\n";
    static const char head[] = "GET / HTTP/2\r\nconnection: close\r\nA: b\r\n\r\n";
    const struct http_url url = {.host = "a.test", .path = "/"};
    struct fixture *f = *state;
    const struct http_trace_heads *requests;

    assert_int_equal(http_trace_create(&f->g.trace, &f->g.spec), PROBER_OK);
    http_trace_begin_hop(f->g.trace, &url, 0);
    http_trace_request(f->g.trace, old, strlen(old));
    http_trace_request(f->g.trace, head, strlen(head));
    requests = &f->g.trace->first->requests;
    assert_true(has(requests->first, "Connection: close"));
    assert_false(has(requests->last, "connection: close"));
    assert_true(has(requests->last, "A: b"));
}

static void what_does_not_fit_is_left_out_and_told(void **state)
{
    const struct http_url url = {.host = "a.test", .path = "/"};
    struct fixture *f = *state;
    static char line[64 << 10];

    memset(line, 'a', sizeof(line));
    assert_int_equal(http_trace_create(&f->g.trace, &f->g.spec), PROBER_OK);
    http_trace_begin_hop(f->g.trace, &url, 0);
    for (size_t i = 0; i <= HTTP_TRACE_MAX / sizeof(line); i++)
        http_trace_response(f->g.trace, line, sizeof(line));
    assert_true(f->g.trace->is_cut);
}

static void without_a_trace_or_a_hop_nothing_happens(void **state)
{
    struct fixture *f = *state;
    const struct http_trace_certificate certificate = {.subject = ""};
    const struct http_trace_outcome outcome = {0};
    struct http_trace *traces[2] = {NULL};

    assert_int_equal(http_trace_create(&f->g.trace, &f->g.spec), PROBER_OK);
    traces[1] = f->g.trace;
    for (size_t i = 0; i < 2; i++) {
        http_trace_lookup(traces[i], &(struct resolver_answer){0});
        http_trace_proxy(traces[i], "a", 1, &(struct prober_addr){0});
        http_trace_begin_tls(traces[i], "a", i == 1);
        http_trace_certificate(traces[i], &certificate);
        http_trace_name(traces[i], "a", 1);
        http_trace_verdict(traces[i], "a", 0);
        http_trace_tls(traces[i], "a", "a", "a");
        http_trace_request(traces[i], "a", 1);
        http_trace_response(traces[i], "a", 1);
        http_trace_outcome(traces[i], &outcome);
    }
    http_trace_fail(NULL, HTTP_FAILED_LOCAL, "a");
    assert_null(f->g.trace->first);
    assert_null(f->g.trace->error);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_hop_shows_what_was_asked_and_what_came),
        TEST(each_redirect_is_a_hop),
        TEST(an_interim_answer_is_shown_too),
        TEST(secrets_are_shown_nowhere),
        TEST(the_addresses_of_a_name_are_shown),
        TEST(a_failure_has_its_sentence),
        TEST(a_hop_whose_time_is_up_shows_how_far_it_came),
        TEST(the_check_that_failed_is_told),
        TEST(a_handshake_shows_what_was_agreed_on_and_the_chain),
        TEST(a_chain_that_is_refused_is_shown_with_the_reason),
        TEST(a_tunnel_shows_what_was_said_to_the_proxy),
        TEST(a_proxy_with_tls_shows_its_certificates_too),
        TEST(what_http2_does_not_send_is_not_shown),
        TEST(what_does_not_fit_is_left_out_and_told),
        TEST(without_a_trace_or_a_hop_nothing_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
