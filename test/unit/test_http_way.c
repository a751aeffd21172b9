#include "libprober/http_way.h"

#include "common/array.h"
#include "fakes/http_server.h"
#include "fakes/proxy_server.h"
#include "fakes/tls_server.h"
#include "given_http_engine.h"
#include "unit.h"

#define SHORT_NS (150 * CLOCK_NS_PER_MS)

/* Some of them stand for what a proxy of HTTP fetches. */
static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .body = "good day"},
    {.method = "GET", .path = "http://a.test:81/x?y", .body = "fetched"},
    {.method = "GET", .path = "http://b.test/", .body = "fetched"},
    {.method = "GET", .path = "http://none.test/", .body = "fetched"},
    {.method = "GET", .path = "http://other.test/", .body = "fetched"},
    {.method = "GET",
     .path = "http://far.test/there",
     .status = 302,
     .headers = "Location: http://none.test/\r\n"},
    {.method = "GET", .path = "http://a.test/no", .status = 403, .body = "no"},
    {.method = "GET", .path = "http://a.test/silent", .behaviour = HTTP_IS_SILENT},
    {.method = "GET", .path = "http://a.test/hangup", .behaviour = HTTP_HANGS_UP},
    {0},
};

static const struct dns_record records[] = {
    {.name = "a.test", .a = "127.0.0.1"},
    {.name = "b.test", .a = "127.0.0.1"},
    {.name = "far.test", .a = "192.0.2.1"}, /* where nothing is ever sent to */
    {.name = "proxy.test", .a = "127.0.0.1"},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {0},
};

struct fixture {
    struct given_http_engine g;
    struct http_server *server;
    struct proxy_server *proxy;
    struct tls_server *tls, *tls_proxy;
    char proxy_url[128], url[128];
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

    given_engine_ends(&f->g);
    tls_server_stop(f->tls_proxy);
    proxy_server_stop(f->proxy);
    tls_server_stop(f->tls);
    http_server_stop(f->server);
    return 0;
}

static void given_proxy_url(struct fixture *f, const char *scheme_and_host, const char *port)
{
    snprintf(f->proxy_url, sizeof(f->proxy_url), "%s:%s", scheme_and_host, port);
    given_spec_changes(&f->g);
    f->g.spec.proxy.url = f->proxy_url;
}

/* The server of HTTP is the proxy. */
static void given_plain_proxy(struct fixture *f, const char *scheme_and_host)
{
    given_proxy_url(f, scheme_and_host, strrchr(http_server_url(f->server), ':') + 1);
}

static void given_proxy(struct fixture *f, const char *scheme_and_host,
                        enum proxy_behaviour behaviour)
{
    proxy_server_stop(f->proxy);
    f->proxy = proxy_server_start(behaviour);
    given_proxy_url(f, scheme_and_host, proxy_server_port(f->proxy));
}

static void given_tls(struct fixture *f)
{
    f->tls = tls_server_start(&(struct tls_server_config){.names = "DNS:a.test,DNS:none.test"});
    f->g.spec.tls.ca = tls_server_ca(f->tls);
    given_spec_changes(&f->g);
}

static const char *get_tls(struct fixture *f, const char *host)
{
    snprintf(f->url, sizeof(f->url), "https://%s:%s/", host, tls_server_port(f->tls));
    return given_probe(&f->g, f->url);
}

/* Of the server of HTTP, straight. */
static const char *get_at(struct fixture *f, const char *host)
{
    snprintf(f->url, sizeof(f->url), "http://%s%s/", host,
             strrchr(http_server_url(f->server), ':'));
    return given_probe(&f->g, f->url);
}

static bool was_sent(const struct fixture *f, const char *text)
{
    return strstr(http_server_last(f->server), text) != NULL;
}

static void a_plain_request_goes_to_the_proxy_with_its_whole_url(void **state)
{
    struct fixture *f = *state;
    const struct http_result *r = &f->g.result;

    given_plain_proxy(f, "http://proxy.test");
    assert_string_equal(given_probe(&f->g, "http://a.test:81/x?y"), "success");
    assert_true(was_sent(f, "GET http://a.test:81/x?y HTTP/1.1\r\nHost: a.test:81\r\n"));
    assert_false(was_sent(f, "Proxy-"));
    assert_true(r->phases_ns[HTTP_PHASE_RESOLVE] > 0);
    assert_true(r->phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_true(r->phases_ns[HTTP_PHASE_PROCESSING] > 0);
    assert_int_equal(r->phases_ns[HTTP_PHASE_TLS], 0);
    assert_int_equal(r->address.family, PROBER_FAMILY_IPV4);
    assert_false(r->is_resolve_skipped);
}

static void the_host_header_is_in_the_url_for_the_proxy_too(void **state)
{
    struct fixture *f = *state;
    struct http_header host = {"Host", "other.test", HTTP_VALUE_TEXT};

    given_plain_proxy(f, "http://127.0.0.1");
    f->g.spec.headers = (struct http_headers){&host, 1};
    assert_string_equal(given_probe(&f->g, "http://a.test/"), "success");
    assert_true(was_sent(f, "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n"));
}

static void answers_of_the_proxy_to_plain_requests_are_answers(void **state)
{
    struct fixture *f = *state;

    given_plain_proxy(f, "http://127.0.0.1");
    assert_string_equal(given_probe(&f->g, "http://a.test/no"), "status_code");
    assert_int_equal(f->g.result.status, 403);
    assert_string_equal(given_probe(&f->g, "http://a.test/hangup"), "no_response");
    assert_string_equal(given_probe_within(&f->g, "http://a.test/silent", SHORT_NS), "timeout");
}

static void a_name_is_looked_up_before_the_proxy_is_asked_unless_that_is_skipped(void **state)
{
    struct fixture *f = *state;

    given_plain_proxy(f, "http://127.0.0.1");
    assert_string_equal(given_probe(&f->g, "http://none.test/"), "dns_nxdomain");
    assert_int_equal(http_server_requests(f->server), 0);
    given_spec_changes(&f->g);
    f->g.spec.skip_resolve_phase_with_proxy = true;
    assert_string_equal(given_probe(&f->g, "http://none.test/"), "success");
    assert_true(f->g.result.is_resolve_skipped);
    assert_int_equal(f->g.result.phases_ns[HTTP_PHASE_RESOLVE], 0);
    assert_true(f->g.result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_int_equal(f->g.result.address.family, PROBER_FAMILY_NONE);
}

static void skipping_means_nothing_without_a_proxy(void **state)
{
    struct fixture *f = *state;

    f->g.spec.skip_resolve_phase_with_proxy = true;
    assert_string_equal(get_at(f, "a.test"), "success");
    assert_true(f->g.result.phases_ns[HTTP_PHASE_RESOLVE] > 0);
    assert_false(f->g.result.is_resolve_skipped);
}

static void each_hop_chooses_its_proxy(void **state)
{
    struct fixture *f = *state;

    given_plain_proxy(f, "http://me:pw@127.0.0.1");
    /* the proxy alone knows the name of the second hop */
    assert_string_equal(given_probe(&f->g, "http://far.test/there"), "success");
    assert_true(was_sent(f, "Proxy-Authorization: Basic bWU6cHc=\r\n"));
    assert_int_equal(f->g.result.redirects, 1);
    f->g.spec.proxy.no_proxy = "none.test";
    given_spec_changes(&f->g);
    assert_string_equal(given_probe(&f->g, "http://far.test/there"), "dns_nxdomain");
}

static void what_no_proxy_names_is_reached_straight(void **state)
{
    struct fixture *f = *state;

    given_proxy_url(f, "http://me:pw@127.0.0.1", "1"); /* where nobody is */
    assert_string_equal(get_at(f, "a.test"), "proxy");
    f->g.spec.proxy.no_proxy = "a.test";
    given_spec_changes(&f->g);
    assert_string_equal(get_at(f, "a.test"), "success");
    assert_false(was_sent(f, "Proxy-"));
    f->g.spec.proxy.no_proxy = "x"; /* the address of a.test is loopback */
    given_spec_changes(&f->g);
    assert_string_equal(get_at(f, "a.test"), "success");
}

static void the_environment_is_used_when_the_spec_says_so(void **state)
{
    struct fixture *f = *state;
    const char *environment[] = {NULL, NULL, NULL};

    snprintf(f->proxy_url, sizeof(f->proxy_url), "http_proxy=%s", http_server_url(f->server));
    environment[0] = f->proxy_url;
    f->g.means.environment = (char *const *)environment;
    assert_string_equal(given_probe(&f->g, "http://none.test/"), "dns_nxdomain");
    given_spec_changes(&f->g);
    f->g.spec.proxy.from_environment = true;
    f->g.spec.skip_resolve_phase_with_proxy = true;
    assert_string_equal(given_probe(&f->g, "http://none.test/"), "success");
    environment[1] = "REQUEST_METHOD=GET";
    given_spec_changes(&f->g);
    assert_string_equal(given_probe(&f->g, "http://none.test/"), "proxy");
    assert_non_null(strstr(f->g.trouble, "REQUEST_METHOD"));
}

static void a_tunnel_leads_to_the_address_and_tls_to_the_name(void **state)
{
    struct fixture *f = *state;
    struct http_header headers[] = {{"X-Extra", "one", HTTP_VALUE_SECRET},
                                    {"X-Extra", "", HTTP_VALUE_SECRET}};
    struct http_basic_auth auth = {.username = "you", .password.text = "secret"};
    char expected[256];

    given_tls(f);
    given_proxy(f, "http://me:pw@127.0.0.1", PROXY_WORKS);
    f->g.spec.proxy.connect_headers = (struct http_headers){headers, 2};
    f->g.spec.basic_auth = &auth;
    assert_string_equal(get_tls(f, "a.test"), "success");
    snprintf(expected, sizeof(expected),
             "CONNECT 127.0.0.1:%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n"
             "Proxy-Authorization: Basic bWU6cHc=\r\nX-Extra: one\r\nX-Extra:\r\n"
             "User-Agent: probermesh/" PROBER_VERSION "\r\n\r\n",
             tls_server_port(f->tls), tls_server_port(f->tls));
    assert_string_equal(proxy_server_last(f->proxy), expected);
    assert_null(strstr(tls_server_last(f->tls), "Proxy-"));
    assert_null(strstr(tls_server_last(f->tls), "X-Extra"));
    assert_non_null(strstr(tls_server_last(f->tls), "GET / HTTP/1.1\r\nHost: a.test:"));
    assert_non_null(strstr(tls_server_last(f->tls), "Authorization: Basic eW91OnNlY3JldA==\r\n"));
    assert_string_equal(tls_server_asked_name(f->tls), "a.test");
    assert_string_equal(f->g.result.version, "HTTP/1.1");
    assert_string_equal(f->g.result.tls_version, "TLS 1.3");
    assert_int_equal(f->g.result.last_chain_expiry, tls_server_leaf_expiry(f->tls));
}

static void the_phases_through_a_tunnel_are_all_there(void **state)
{
    struct fixture *f = *state;
    uint64_t sum = 0;

    given_tls(f);
    given_proxy(f, "http://proxy.test", PROXY_WORKS);
    assert_string_equal(get_tls(f, "a.test"), "success");
    for (int i = 0; i < HTTP_PHASE_COUNT; i++) {
        if (i != HTTP_PHASE_TRANSFER)
            assert_true(f->g.result.phases_ns[i] > 0);
        sum += f->g.result.phases_ns[i];
    }
    assert_true(sum <= f->g.result.duration_ns);
}

static void without_a_lookup_the_tunnel_leads_to_the_name(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    given_tls(f);
    given_proxy(f, "http://127.0.0.1", PROXY_WORKS);
    f->g.spec.skip_resolve_phase_with_proxy = true;
    assert_string_equal(get_tls(f, "none.test"), "success");
    snprintf(expected, sizeof(expected), "CONNECT none.test:%s HTTP/1.1\r\n",
             tls_server_port(f->tls));
    assert_non_null(strstr(proxy_server_last(f->proxy), expected));
}

static void a_server_behind_a_tunnel_is_judged_as_any_other(void **state)
{
    struct fixture *f = *state;

    given_tls(f);
    given_proxy(f, "http://127.0.0.1", PROXY_WORKS);
    assert_string_equal(get_tls(f, "b.test"), "tls_verify_hostname");
    assert_int_equal(f->g.result.earliest_cert_expiry, tls_server_leaf_expiry(f->tls));
    assert_true(f->g.result.phases_ns[HTTP_PHASE_CONNECT] > 0);
}

static void what_lies_with_the_proxy_is_its_fault(void **state)
{
    struct fixture *f = *state;

    given_tls(f);
    given_proxy(f, "http://me:secret@127.0.0.1", PROXY_REFUSES);
    assert_string_equal(get_tls(f, "a.test"), "proxy");
    assert_int_equal(f->g.result.status, 0);
    assert_non_null(strstr(f->g.trouble, "403"));
    given_proxy(f, "http://127.0.0.1", PROXY_HANGS_UP);
    assert_string_equal(get_tls(f, "a.test"), "proxy");
    given_proxy(f, "http://127.0.0.1", PROXY_IS_SILENT);
    assert_string_equal(given_probe_within(&f->g, f->url, SHORT_NS), "proxy");
    given_proxy(f, "socks5://127.0.0.1", PROXY_REFUSES);
    assert_string_equal(get_tls(f, "a.test"), "proxy");
    given_proxy(f, "socks5://127.0.0.1", PROXY_HANGS_UP);
    assert_string_equal(get_at(f, "a.test"), "proxy");
    given_proxy(f, "socks5://127.0.0.1", PROXY_IS_SILENT);
    assert_string_equal(given_probe_within(&f->g, f->url, SHORT_NS), "proxy");
    given_proxy_url(f, "http://none.test", "1");
    assert_string_equal(get_tls(f, "a.test"), "proxy");
    assert_string_equal(f->g.trouble, "the proxy's name has no address");
    given_proxy_url(f, "http://silent.test", "1");
    assert_string_equal(given_probe_within(&f->g, f->url, SHORT_NS), "proxy");
    given_proxy_url(f, "http://127.0.0.1", "1");
    assert_string_equal(get_tls(f, "a.test"), "proxy");
    assert_non_null(strstr(f->g.trouble, "127.0.0.1 port 1"));
}

static void socks_is_told_the_address_or_the_name(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    given_proxy(f, "socks5://me:pw@127.0.0.1", PROXY_WORKS);
    assert_string_equal(get_at(f, "a.test"), "success");
    snprintf(expected, sizeof(expected), "socks me:pw 127.0.0.1%s",
             strrchr(http_server_url(f->server), ':'));
    assert_string_equal(proxy_server_last(f->proxy), expected);
    assert_true(was_sent(f, "GET / HTTP/1.1\r\n"));
    assert_true(f->g.result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    given_spec_changes(&f->g);
    f->g.spec.skip_resolve_phase_with_proxy = true;
    assert_string_equal(get_at(f, "none.test"), "success");
    snprintf(expected, sizeof(expected), "socks me:pw none.test%s",
             strrchr(http_server_url(f->server), ':'));
    assert_string_equal(proxy_server_last(f->proxy), expected);
    given_tls(f);
    given_proxy(f, "socks5h://127.0.0.1", PROXY_WORKS);
    assert_string_equal(get_tls(f, "a.test"), "success");
    assert_string_equal(tls_server_asked_name(f->tls), "a.test");
    given_spec_changes(&f->g);
    assert_string_equal(given_probe(&f->g, "http://[::1]:1/"), "proxy"); /* nobody is there */
    assert_string_equal(proxy_server_last(f->proxy), "socks : ::1:1");
}

static void given_tls_proxy(struct fixture *f, const char *names, const char *forwards_to)
{
    f->tls_proxy = tls_server_start(
        &(struct tls_server_config){.names = names, .newest = 2, .forwards_to = forwards_to});
}

static void a_proxy_of_https_is_verified_by_its_own_name(void **state)
{
    struct fixture *f = *state;

    given_tls_proxy(f, "DNS:proxy.test", strrchr(http_server_url(f->server), ':') + 1);
    given_proxy_url(f, "https://proxy.test", tls_server_port(f->tls_proxy));
    f->g.spec.tls.ca = tls_server_ca(f->tls_proxy);
    assert_string_equal(given_probe(&f->g, "http://b.test/"), "success");
    assert_string_equal(tls_server_asked_name(f->tls_proxy), "proxy.test");
    assert_null(f->g.result.tls_version); /* that is the server's */
    assert_int_equal(f->g.result.earliest_cert_expiry, 0);
    assert_true(f->g.result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_int_equal(f->g.result.phases_ns[HTTP_PHASE_TLS], 0);
    given_proxy_url(f, "https://127.0.0.1", tls_server_port(f->tls_proxy));
    assert_string_equal(given_probe(&f->g, "http://b.test/"), "proxy");
    f->g.spec.tls.insecure_skip_verify = true;
    given_spec_changes(&f->g);
    assert_string_equal(given_probe(&f->g, "http://b.test/"), "success");
}

static void a_tunnel_may_lead_through_a_proxy_of_https(void **state)
{
    struct fixture *f = *state;

    given_tls(f);
    f->proxy = proxy_server_start(PROXY_WORKS);
    given_tls_proxy(f, "DNS:proxy.test", proxy_server_port(f->proxy));
    given_proxy_url(f, "https://me:pw@proxy.test", tls_server_port(f->tls_proxy));
    f->g.spec.tls.ca = NULL;
    f->g.spec.tls.insecure_skip_verify = true; /* they are of two authorities */
    assert_string_equal(get_tls(f, "a.test"), "success");
    assert_non_null(strstr(proxy_server_last(f->proxy), "Proxy-Authorization: Basic bWU6cHc=\r\n"));
    assert_string_equal(f->g.result.tls_version, "TLS 1.3");
    assert_int_equal(f->g.result.earliest_cert_expiry, tls_server_leaf_expiry(f->tls));
    assert_true(f->g.result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_true(f->g.result.phases_ns[HTTP_PHASE_TLS] > 0);
}

static bool is_not_second(void *context, const struct prober_addr *address)
{
    char text[PROBER_ADDR_TEXT_MAX];

    (void)context;
    return strcmp(prober_addr_format(address, text), "127.0.0.2") != 0;
}

static void the_guard_is_asked_about_the_proxy_too(void **state)
{
    struct fixture *f = *state;

    http_engine_set_guard(f->g.engine, is_not_second, NULL);
    given_plain_proxy(f, "http://127.0.0.2");
    assert_string_equal(given_probe(&f->g, "http://b.test/"), "local_error");
    assert_string_equal(f->g.trouble, "the address is not permitted");
    given_plain_proxy(f, "http://127.0.0.1");
    assert_string_equal(given_probe(&f->g, "http://b.test/"), "success");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_plain_request_goes_to_the_proxy_with_its_whole_url),
        TEST(the_host_header_is_in_the_url_for_the_proxy_too),
        TEST(answers_of_the_proxy_to_plain_requests_are_answers),
        TEST(a_name_is_looked_up_before_the_proxy_is_asked_unless_that_is_skipped),
        TEST(skipping_means_nothing_without_a_proxy),
        TEST(each_hop_chooses_its_proxy),
        TEST(what_no_proxy_names_is_reached_straight),
        TEST(the_environment_is_used_when_the_spec_says_so),
        TEST(a_tunnel_leads_to_the_address_and_tls_to_the_name),
        TEST(the_phases_through_a_tunnel_are_all_there),
        TEST(without_a_lookup_the_tunnel_leads_to_the_name),
        TEST(a_server_behind_a_tunnel_is_judged_as_any_other),
        TEST(what_lies_with_the_proxy_is_its_fault),
        TEST(socks_is_told_the_address_or_the_name),
        TEST(a_proxy_of_https_is_verified_by_its_own_name),
        TEST(a_tunnel_may_lead_through_a_proxy_of_https),
        TEST(the_guard_is_asked_about_the_proxy_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
