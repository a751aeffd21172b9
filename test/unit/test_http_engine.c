#include "libprober/http_engine.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "fakes/dns_server.h"
#include "fakes/http_server.h"
#include "given_http_spec.h"
#include "unit.h"

#define LONG_NS (20 * CLOCK_NS_PER_S)
#define SHORT_NS (150 * CLOCK_NS_PER_MS)
#define RAW .behaviour = HTTP_SPEAKS_NO_HTTP, .body
#define STALLS .behaviour = HTTP_STALLS, .body
#define TO(where) "Location: " where "\r\n"

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .body = "good day"},
    {.method = "GET", .path = "/?x=1", .body = "query"},
    {.method = "GET", .path = "/a/../b%2Fc", .body = "as it is"},
    {.method = "GET", .path = "/nothing", .status = 204},
    {.method = "GET", .path = "/broken", .status = 503, .body = "later"},
    {.method = "HEAD", .path = "/", .headers = "X-Kind: head\r\n"},
    {.method = "POST", .path = "/", .body = "posted"},
    {.method = "POST", .path = "/see", .status = 302, .headers = TO("/")},
    {.method = "POST", .path = "/keep", .status = 307, .headers = TO("/")},
    {.method = "GET", .path = "/1", .status = 301, .headers = TO("2")},
    {.method = "GET", .path = "/2", .status = 302, .headers = TO("/3?")},
    {.method = "GET", .path = "/3?", .status = 308, .headers = TO("/"), .body = "x", .repeat = 99},
    {.method = "GET", .path = "/loop", .status = 302, .headers = TO("/loop")},
    {.method = "GET", .path = "/ftp", .status = 302, .headers = TO("ftp://a/")},
    {.method = "GET", .path = "/lost", .status = 302},
    {.method = "GET", .path = "/nowhere", .status = 302, .headers = TO("http://none.test/")},
    {.method = "GET", .path = "/away", .status = 302, .headers = TO("http://127.0.0.2:1/")},
    {.method = "GET",
     .path = "/cookie",
     .status = 302,
     .headers = TO("/jar") "Set-Cookie: k=v\r\n"},
    {.method = "GET",
     .path = "/deep/cookie",
     .status = 302,
     .headers = TO("/deep/jar") "Set-Cookie: k=v; Path=/deep/jar\r\n"},
    {.method = "GET", .path = "/deep/jar", .needs = "k=v", .body = "eaten"},
    {.method = "GET", .path = "/deep/shy", .status = 302, .headers = TO("/") "Set-Cookie: k=v\r\n"},
    {.method = "GET", .path = "/jar", .needs = "k=v", .body = "eaten"},
    {.method = "GET", .path = "/large", .body = "0123456789abcdef", .repeat = 100},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {.method = "GET", .path = "/hangup", .behaviour = HTTP_HANGS_UP},
    {.method = "GET", .path = "/half", RAW = "HTTP/1.1 200 OK\r\nContent-Le"},
    {.method = "GET", .path = "/longline", RAW = "HTTP/1.1 200 ", .repeat = 9000},
    {.method = "GET", .path = "/garbage", RAW = "SSH-2.0-x\r\n"},
    {.method = "GET", .path = "/old", RAW = "HTTP/1.0 200 OK\r\n\r\nold"},
    {.method = "GET",
     .path = "/hints",
     RAW = "HTTP/1.1 103 E\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
    {.method = "GET", .path = "/short", RAW = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"},
    {.method = "GET",
     .path = "/chunk",
     RAW = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"},
    {.method = "GET",
     .path = "/lengths",
     RAW = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
    {.method = "GET", .path = "/nocolon", RAW = "HTTP/1.1 200 OK\r\nwhat\r\n\r\n"},
    {.method = "GET", .path = "/endless", RAW = "HTTP/1.1 200 OK\r\n", .repeat = 100000},
    {.method = "GET", .path = "/drip", STALLS = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"},
    {.method = "GET", .path = "/stop", STALLS = "HTTP/1.1 200 OK\r\nA: 1\r\n"},
    {.method = "GET", .path = "/open", STALLS = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"},
    {.method = "GET",
     .path = "/slowmove",
     STALLS = "HTTP/1.1 302 M\r\nContent-Length: 9\r\n" TO("/") "\r\n"},
    {0},
};

static const struct dns_record records[] = {
    {.name = "a.test", .a = "127.0.0.1"},
    {.name = "six.test", .aaaa = "::1"},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {.name = "failing.test", .on_a = DNS_FAILS, .on_aaaa = DNS_FAILS},
    {0},
};

struct fixture {
    struct http_server *server;
    struct dns_server *dns;
    struct resolver *resolver;
    struct http_engine *engine;
    struct http_spec spec;
    const char *port;
    struct http_result result;
    unsigned ended;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct resolver_config config = {0};

    memset(&f, 0, sizeof(f));
    f.server = http_server_start(routes);
    f.dns = dns_server_start(records);
    config.servers = dns_server_address(f.dns);
    f.spec = given_http_spec();
    f.port = strrchr(http_server_url(f.server), ':') + 1;
    *state = &f;
    return resolver_create(&f.resolver, &config, NULL) || http_engine_create(&f.engine, f.resolver);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    resolver_destroy(f->resolver);
    http_engine_destroy(f->engine);
    dns_server_stop(f->dns);
    http_server_stop(f->server);
    return 0;
}

static void on_done(void *context, const struct http_result *result)
{
    struct fixture *f = context;

    f->result = *result;
    f->ended++;
}

static void run(struct fixture *f)
{
    while (http_engine_running(f->engine) > 0) {
        uint64_t now = clock_monotonic_ns(), next = http_engine_step(f->engine, now);
        struct pollfd fd = {http_engine_fd(f->engine), POLLIN, 0};

        if (http_engine_running(f->engine) > 0 && next > now)
            poll(&fd, 1, next == UINT64_MAX ? -1 : (int)((next - now) / CLOCK_NS_PER_MS + 1));
    }
}

static const struct http_result *probe(struct fixture *f, const char *target, uint64_t timeout_ns)
{
    struct http_kind *kind = NULL;

    f->ended = 0;
    assert_int_equal(http_kind_create(&kind, &f->spec, NULL, NULL), PROBER_OK);
    http_engine_start(f->engine, kind, target, timeout_ns, clock_monotonic_ns(), on_done, f);
    run(f);
    assert_int_equal(f->ended, 1);
    http_kind_destroy(kind);
    return &f->result;
}

static const struct http_result *get_within(struct fixture *f, const char *path,
                                            uint64_t timeout_ns)
{
    char url[256];

    snprintf(url, sizeof(url), "%s%s", http_server_url(f->server), path);
    return probe(f, url, timeout_ns);
}

static const struct http_result *get(struct fixture *f, const char *path)
{
    return get_within(f, path, LONG_NS);
}

static const struct http_result *get_at(struct fixture *f, const char *host, const char *path)
{
    char url[256];

    snprintf(url, sizeof(url), "http://%s:%s%s", host, f->port, path);
    return probe(f, url, LONG_NS);
}

static const char *reason_of(const struct http_result *r)
{
    const char *text = http_reason_text(r->reason);

    return text ? text : "success";
}

#define assert_reason(r, why) assert_string_equal(reason_of(r), why)

static void an_answer_has_status_version_phases_and_lengths(void **state)
{
    const struct http_result *r = get(*state, "");

    assert_reason(r, "success");
    assert_int_equal(r->status, 200);
    assert_string_equal(r->version, "HTTP/1.1");
    assert_null(r->tls_version);
    assert_int_equal(r->redirects, 0);
    assert_int_equal(r->content_length, 8);
    assert_int_equal(r->body_decoded, 8);
    assert_true(r->phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_true(r->phases_ns[HTTP_PHASE_PROCESSING] > 0);
    assert_int_equal(r->phases_ns[HTTP_PHASE_TLS], 0);
    assert_true(r->duration_ns >= r->phases_ns[HTTP_PHASE_CONNECT]);
    assert_int_equal(r->earliest_cert_expiry, 0);
}

static void each_probe_has_a_connection_of_its_own_and_a_plain_request(void **state)
{
    struct fixture *f = *state;
    char expected[256];

    get(f, "?x=1");
    get(f, "?x=1");
    snprintf(expected, sizeof(expected),
             "GET /?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUser-Agent: probermesh/" PROBER_VERSION
             "\r\nConnection: close\r\n\r\n",
             f->port);
    assert_string_equal(http_server_last(f->server), expected);
    assert_int_equal(http_server_requests(f->server), 2);
    assert_reason(get(f, "/a/../b%2Fc#frag"), "success");
}

static void odd_but_valid_answers_are_answers(void **state)
{
    struct fixture *f = *state;

    assert_reason(get(f, "/nothing"), "success");
    assert_int_equal(get(f, "/hints")->status, 200);
    assert_reason(&f->result, "success");
    assert_reason(get(f, "/old"), "success");
    assert_string_equal(f->result.version, "HTTP/1.0");
    assert_reason(get(f, "/open"), "success");
    assert_reason(get(f, "/missing"), "status_code");
    assert_int_equal(f->result.status, 404);
}

static void what_is_no_answer_has_its_reason(void **state)
{
    static const struct {
        const char *path, *reason;
        int status;
    } cases[] = {
        {"/hangup", "no_response", 0},   {"/garbage", "bad_response", 0},
        {"/lengths", "bad_response", 0}, {"/nocolon", "bad_response", 0},
        {"/endless", "bad_response", 0}, {"/short", "truncated", 200},
        {"/chunk", "truncated", 200},    {"/broken", "status_code", 503},
        {"/half", "no_response", 0},     {"/longline", "bad_response", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct http_result *r = get(*state, cases[i].path);

        assert_reason(r, cases[i].reason);
        assert_int_equal(r->status, cases[i].status);
    }
}

static void one_timeout_covers_it_all(void **state)
{
    struct fixture *f = *state;

    assert_reason(get_within(f, "/silent", SHORT_NS), "timeout");
    assert_int_equal(f->result.status, 0);
    assert_true(f->result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_int_equal(f->result.phases_ns[HTTP_PHASE_PROCESSING], 0);
    assert_true(f->result.duration_ns >= SHORT_NS);
    assert_reason(get_within(f, "/drip", SHORT_NS), "timeout");
    assert_int_equal(f->result.status, 200);
    assert_true(f->result.phases_ns[HTTP_PHASE_TRANSFER] > 0);
    assert_reason(get_within(f, "/stop", SHORT_NS), "timeout");
    assert_true(f->result.phases_ns[HTTP_PHASE_PROCESSING] > 0);
    assert_int_equal(f->result.phases_ns[HTTP_PHASE_TRANSFER], 0);
    assert_reason(probe(f, "http://silent.test/", SHORT_NS), "dns_timeout");
    assert_true(f->result.phases_ns[HTTP_PHASE_RESOLVE] >= SHORT_NS);
}

static void where_nobody_can_go_has_its_reason(void **state)
{
    static const struct {
        const char *target, *reason;
    } cases[] = {
        {"http://127.0.0.1:1/", "connect_refused"},
        {"http://none.test/", "dns_nxdomain"},
        {"http://failing.test/", "dns_error"},
        {"ftp://a.test/", "unsupported_scheme"},
        {"http://a b/", "bad_url"},
        {"http://127.1/", "bad_url"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct http_result *r = probe(*state, cases[i].target, LONG_NS);

        assert_reason(r, cases[i].reason);
        assert_int_equal(r->status, 0);
    }
}

static int connection_to(uint16_t port, bool waits)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | (waits ? 0 : SOCK_NONBLOCK), 0);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(fd, (struct sockaddr *)&sin, sizeof(sin));
    return fd;
}

static void a_connection_that_nobody_takes_is_a_connect_timeout(void **state)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fds[3];
    const struct http_result *r;
    char url[64];

    assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) /* its queue is full then */
        fds[i] = connection_to(ntohs(sin.sin_port), i == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(sin.sin_port));
    r = probe(*state, url, SHORT_NS);
    assert_reason(r, "connect_timeout");
    assert_int_equal(r->phases_ns[HTTP_PHASE_CONNECT], 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    close(listener);
}

static void names_are_resolved_by_us_and_their_time_is_a_phase(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    assert_reason(get_at(f, "a.test", "/"), "success");
    assert_true(f->result.phases_ns[HTTP_PHASE_RESOLVE] > 0);
    assert_int_equal(f->result.dns_answers, 1);
    assert_int_equal(f->result.address.family, PROBER_FAMILY_IPV4);
    snprintf(expected, sizeof(expected), "Host: a.test:%s\r\n", f->port);
    assert_non_null(strstr(http_server_last(f->server), expected));
}

static void of_a_hop_without_an_address_nothing_is_told(void **state)
{
    const struct http_result *r = get(*state, "/nowhere");

    assert_reason(r, "dns_nxdomain");
    assert_int_equal(r->status, 0);
    assert_string_equal(r->version, "");
    assert_int_equal(r->content_length, -1);
    assert_int_equal(r->address.family, PROBER_FAMILY_NONE);
    assert_int_equal(r->redirects, 1);
}

static void without_a_descriptor_nothing_is_said_of_the_target(void **state)
{
    struct rlimit before, none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    probe(*state, "http://127.0.0.2:1/", LONG_NS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_reason(&((struct fixture *)*state)->result, "local_error");
}

static void only_the_preferred_family_is_used_without_fallback(void **state)
{
    struct fixture *f = *state;

    f->spec.ip_protocol_fallback = false;
    assert_reason(get(f, "/"), "dns_no_address");
    assert_reason(get_at(f, "a.test", "/"), "dns_no_address");
    f->spec.preferred_family = PROBER_FAMILY_IPV4;
    assert_reason(get_at(f, "a.test", "/"), "success");
    assert_reason(get_at(f, "six.test", "/"), "dns_no_address");
}

static void redirects_are_followed_and_counted(void **state)
{
    struct fixture *f = *state;

    assert_reason(get(f, "/1"), "success");
    assert_int_equal(f->result.redirects, 3);
    assert_int_equal(f->result.status, 200);
    assert_int_equal(http_server_requests(f->server), 4);
    assert_reason(get(f, "/slowmove"), "success"); /* whose body never comes */
    assert_reason(get(f, "/cookie"), "success");
}

static void a_cookie_goes_to_the_paths_that_it_is_for(void **state)
{
    struct fixture *f = *state;

    assert_reason(get(f, "/deep/cookie"), "success");
    assert_reason(get(f, "/deep/shy"), "success");
    assert_null(strstr(http_server_last(f->server), "k=v"));
}

static void a_chain_without_end_is_followed_ten_times(void **state)
{
    struct fixture *f = *state;
    int32_t codes[] = {302};

    assert_reason(get(f, "/loop"), "too_many_redirects");
    assert_int_equal(http_server_requests(f->server), 11);
    assert_int_equal(f->result.redirects, 11);
    assert_int_equal(f->result.status, 302);
    f->spec.valid_status_codes = (struct http_codes){codes, 1};
    assert_reason(get(f, "/loop"), "success");
}

static void what_leads_nowhere_is_no_redirect(void **state)
{
    struct fixture *f = *state;
    int32_t codes[] = {302};

    assert_reason(get(f, "/ftp"), "bad_redirect");
    assert_int_equal(f->result.status, 0);
    assert_string_equal(f->result.version, "");
    assert_int_equal(f->result.content_length, -1);
    assert_reason(get(f, "/lost"), "status_code");
    f->spec.valid_status_codes = (struct http_codes){codes, 1};
    assert_reason(get(f, "/lost"), "success");
    f->spec.follow_redirects = false;
    assert_reason(get(f, "/1"), "status_code");
    assert_reason(get(f, "/loop"), "success");
    assert_int_equal(f->result.redirects, 1);
}

static void method_and_body_are_sent_and_redirected_as_blackbox_does(void **state)
{
    struct fixture *f = *state;

    f->spec.method = "HEAD";
    assert_reason(get(f, "/"), "success");
    f->spec.method = "POST";
    assert_reason(get(f, "/"), "success");
    assert_non_null(strstr(http_server_last(f->server), "Content-Length: 0\r\n"));
    f->spec.body = "k=v";
    f->spec.body_len = 3;
    assert_reason(get(f, "/keep"), "success");
    assert_non_null(strstr(http_server_last(f->server), "\r\n\r\nk=v"));
    assert_non_null(strstr(http_server_last(f->server), "POST / "));
    assert_null(strstr(http_server_last(f->server), "Content-Type"));
    assert_null(strstr(http_server_last(f->server), "Expect"));
    assert_reason(get(f, "/see"), "success");
    assert_non_null(strstr(http_server_last(f->server), "GET / "));
    assert_null(strstr(http_server_last(f->server), "k=v"));
    f->spec.method = "GET";
    get(f, "/");
    assert_non_null(strstr(http_server_last(f->server), "GET / "));
    assert_non_null(strstr(http_server_last(f->server), "\r\n\r\nk=v"));
}

static void headers_and_credentials_are_sent(void **state)
{
    struct fixture *f = *state;
    struct http_header headers[] = {{"host", "b.test", HTTP_VALUE_TEXT},
                                    {"User-Agent", "me", HTTP_VALUE_TEXT},
                                    {"X-Empty", "", HTTP_VALUE_TEXT}};
    struct http_basic_auth auth = {.username = "me", .password.text = "pw"};

    f->spec.headers = (struct http_headers){headers, ARRAY_LEN(headers)};
    f->spec.basic_auth = &auth;
    assert_reason(get(f, "/"), "success");
    assert_non_null(strstr(http_server_last(f->server), "\r\nHost: b.test\r\n"));
    assert_non_null(strstr(http_server_last(f->server), "\r\nUser-Agent: me\r\n"));
    assert_non_null(strstr(http_server_last(f->server), "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(http_server_last(f->server), "\r\nAuthorization: Basic bWU6cHc=\r\n"));
}

static void bodies_are_limited_and_searched(void **state)
{
    struct fixture *f = *state;
    const char *regexps[] = {"f01+2"};

    f->spec.body_size_limit = 1600;
    assert_reason(get(f, "/large"), "success");
    f->spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 1};
    assert_reason(get(f, "/large"), "body_regexp");
    assert_reason(get(f, "/"), "success");
    f->spec.body_size_limit = 1599;
    assert_reason(get(f, "/large"), "body_too_large");
    assert_int_equal(f->result.status, 200);
    f->spec.compression = HTTP_COMPRESSION_GZIP;
    assert_reason(get(f, "/"), "body_encoding");
}

static void a_proxy_of_the_environment_is_ignored(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    assert_reason(get(*state, "/"), "success");
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void what_is_stuck_delays_nobody(void **state)
{
    struct fixture *f = *state;
    struct http_kind *kind = NULL;
    char stuck[64];

    assert_int_equal(http_kind_create(&kind, &f->spec, NULL, NULL), PROBER_OK);
    snprintf(stuck, sizeof(stuck), "%s/silent", http_server_url(f->server));
    for (int i = 0; i < 40; i++)
        http_engine_start(f->engine, kind, stuck, LONG_NS, clock_monotonic_ns(), on_done, f);
    http_engine_start(f->engine, kind, http_server_url(f->server), LONG_NS, clock_monotonic_ns(),
                      on_done, f);
    while (f->ended == 0) {
        struct pollfd fd = {http_engine_fd(f->engine), POLLIN, 0};

        http_engine_step(f->engine, clock_monotonic_ns());
        poll(&fd, 1, 1);
    }
    assert_reason(&f->result, "success");
    assert_int_equal(http_engine_running(f->engine), 40);
    resolver_destroy(f->resolver);
    http_engine_destroy(f->engine); /* with those in flight */
    f->resolver = NULL;
    f->engine = NULL;
    assert_int_equal(f->ended, 1);
    http_kind_destroy(kind);
}

static bool is_not_second(void *context, const struct prober_addr *address)
{
    struct prober_addr second;

    assert_int_equal(prober_addr_parse(context, &second), PROBER_OK);
    return !prober_addr_equal(address, &second);
}

static void no_hop_goes_where_the_guard_does_not_permit(void **state)
{
    static char denied[] = "127.0.0.2";
    struct fixture *f = *state;
    char text[PROBER_ADDR_TEXT_MAX];

    http_engine_set_guard(f->engine, is_not_second, denied);
    assert_reason(get(f, "/"), "success");
    assert_reason(get(f, "/away"), "local_error");
    assert_string_equal(prober_addr_format(&f->result.address, text), denied);
    assert_true(f->result.is_forbidden);
    assert_reason(get_at(f, denied, "/"), "local_error");
    http_engine_set_guard(f->engine, NULL, NULL);
    assert_reason(get(f, "/away"), "connect_refused");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_has_status_version_phases_and_lengths),
        TEST(each_probe_has_a_connection_of_its_own_and_a_plain_request),
        TEST(odd_but_valid_answers_are_answers),
        TEST(what_is_no_answer_has_its_reason),
        TEST(one_timeout_covers_it_all),
        TEST(where_nobody_can_go_has_its_reason),
        TEST(a_connection_that_nobody_takes_is_a_connect_timeout),
        TEST(names_are_resolved_by_us_and_their_time_is_a_phase),
        TEST(of_a_hop_without_an_address_nothing_is_told),
        TEST(without_a_descriptor_nothing_is_said_of_the_target),
        TEST(only_the_preferred_family_is_used_without_fallback),
        TEST(redirects_are_followed_and_counted),
        TEST(a_cookie_goes_to_the_paths_that_it_is_for),
        TEST(a_chain_without_end_is_followed_ten_times),
        TEST(what_leads_nowhere_is_no_redirect),
        TEST(method_and_body_are_sent_and_redirected_as_blackbox_does),
        TEST(headers_and_credentials_are_sent),
        TEST(bodies_are_limited_and_searched),
        TEST(a_proxy_of_the_environment_is_ignored),
        TEST(what_is_stuck_delays_nobody),
        TEST(no_hop_goes_where_the_guard_does_not_permit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
