#include "agentd/probe_http_hops.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "given_http_spec.h"
#include "unit.h"

#define MS UINT64_C(1000000)

static struct http_spec spec;
static struct http_trace *trace;
static struct json *json;

static int set_up(void **state)
{
    (void)state;
    spec = given_http_spec();
    return http_trace_create(&trace, &spec);
}

static int tear_down(void **state)
{
    (void)state;
    json_free(json);
    json = NULL;
    http_trace_destroy(trace);
    return 0;
}

static void put(void)
{
    struct strbuf out = STRBUF_INIT;

    json_free(json);
    json = NULL;
    strbuf_putc(&out, '{');
    probe_http_hops_put(&out, trace, &spec);
    strbuf_putc(&out, '}');
    assert_true(strbuf_ok(&out));
    assert_null(strchr(out.bytes, '\n'));
    assert_int_equal(json_parse(&json, out.bytes, out.len, NULL), PROBER_OK);
    strbuf_free(&out);
}

/* The member at a path such as "hops.0.tls.version". */
static const struct json *at(const char *path)
{
    const struct json *value = json;
    char copy[128], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *step = strtok_r(copy, ".", &save); step; step = strtok_r(NULL, ".", &save))
        value =
            json_is_array(value) ? json_at(value, (size_t)(*step - '0')) : json_get(value, step);
    return value;
}

static void assert_text(const char *path, const char *expected)
{
    const char *text = json_string(at(path));

    assert_string_equal(text ? text : "(none)", expected);
}

static void assert_number(const char *path, double expected)
{
    double number = -1;

    assert_int_equal(json_number(at(path), &number), PROBER_OK);
    assert_true(number == expected);
}

static void begin(const char *host, uint64_t now_ns)
{
    struct http_url url = {.port = 80, .path = "/"};

    snprintf(url.host, sizeof(url.host), "%s", host);
    http_trace_begin_hop(trace, &url, now_ns);
}

static void a_trace_without_hops_is_an_empty_list(void **state)
{
    (void)state;
    put();
    assert_true(json_is_null(at("failed_check")));
    assert_int_equal(json_count(at("hops")), 0);
    assert_null(at("is_cut"));
    trace->is_cut = true;
    put();
    assert_non_null(at("is_cut"));
}

static void hops_stand_in_their_order_with_what_was_said(void **state)
{
    const struct resolver_answer answer = {.address = {PROBER_FAMILY_IPV4, {192, 0, 2, 1}, 0},
                                           .count = 2,
                                           .elapsed_ns = 3 * MS,
                                           .shown = {{PROBER_FAMILY_IPV4, {192, 0, 2, 1}, 0},
                                                     {PROBER_FAMILY_IPV4, {192, 0, 2, 2}, 0}}};
    const struct http_trace_outcome outcome = {.connect_ns = 5 * MS,
                                               .processing_ns = 7 * MS,
                                               .body_received = 9,
                                               .body_decoded = 10,
                                               .body = "a\0\"",
                                               .body_len = 3,
                                               .local = "192.0.2.9:50000"};
    const char *request = "GET / HTTP/1.1\r\nHost: a.test\r\nCookie: a=b\r\n\r\n";

    (void)state;
    begin("a.test", 100);
    http_trace_lookup(trace, &answer);
    http_trace_proxy(trace, "proxy.test", 3128, &answer.address);
    http_trace_request(trace, request, strlen(request));
    http_trace_response(trace, "HTTP/1.1 200 OK\r\n", 17);
    http_trace_response(trace, "X-A: b\r\n", 8);
    http_trace_response(trace, "\r\n", 2);
    http_trace_outcome(trace, &outcome);
    begin("b.test", 100 + 20 * MS);
    http_trace_fail(trace, HTTP_FAILED_DNS_TIMEOUT, "nobody answers");
    put();
    assert_text("hops.0.url", "http://a.test/");
    assert_text("hops.0.address", "192.0.2.1");
    assert_text("hops.0.addresses.1", "192.0.2.2");
    assert_text("hops.0.local_address", "192.0.2.9:50000");
    assert_text("hops.0.proxy.host", "proxy.test:3128");
    assert_text("hops.0.proxy.address", "192.0.2.1");
    assert_true(json_is_null(at("hops.1.proxy")));
    assert_number("hops.0.phases.resolve", 0.003);
    assert_number("hops.0.phases.connect", 0.005);
    assert_true(json_is_null(at("hops.0.phases.tls")));
    assert_number("hops.0.phases.transfer", 0);
    assert_text("hops.0.requests.0.line", "GET / HTTP/1.1");
    assert_text("hops.0.requests.0.headers.1", "Cookie: <secret>");
    assert_text("hops.0.responses.0.headers.0", "X-A: b");
    assert_number("hops.0.body_bytes", 10);
    assert_true(json_is_null(at("hops.0.tls")));
    assert_true(json_is_null(at("hops.0.failure")));
    assert_number("hops.1.began", 0.02);
    assert_true(json_is_null(at("hops.1.address")));
    assert_true(json_is_null(at("hops.1.phases.resolve")));
    assert_true(json_is_null(at("hops.1.phases.transfer")));
    assert_text("hops.1.failure", "dns_timeout");
    assert_text("hops.1.error", "nobody answers");
    assert_int_equal(json_count(at("hops")), 2);
}

static void tls_shows_its_certificates_and_the_verdict(void **state)
{
    const struct http_trace_certificate certificate = {.subject =
                                                           "CN=a\n", /* cannot forge a line */
                                                       .issuer = "CN=b",
                                                       .sha256 = "00",
                                                       .not_before = 1800000000};

    (void)state;
    begin("a.test", 0);
    http_trace_begin_tls(trace, "a.test", false);
    put();
    assert_true(json_is_null(at("hops.0.tls.is_verified")));
    assert_true(json_is_null(at("hops.0.tls.verify_depth")));
    http_trace_certificate(trace, &certificate);
    http_trace_name(trace, "a.test", 6);
    http_trace_verdict(trace, "too old", 1);
    http_trace_tls(trace, "TLS 1.3", "CIPHER", NULL);
    put();
    assert_text("hops.0.tls.version", "TLS 1.3");
    assert_text("hops.0.tls.cipher", "CIPHER");
    assert_true(json_is_null(at("hops.0.tls.alpn")));
    assert_text("hops.0.tls.verify_error", "too old");
    assert_number("hops.0.tls.verify_depth", 1);
    assert_text("hops.0.tls.certificates.0.subject", "CN=a\n");
    assert_text("hops.0.tls.certificates.0.not_before", "2027-01-15T08:00:00Z");
    assert_true(json_is_null(at("hops.0.tls.certificates.0.not_after")));
    assert_text("hops.0.tls.certificates.0.names.0", "a.test");
}

static void the_check_that_failed_says_what_was_wanted(void **state)
{
    const char *versions[] = {"HTTP/2.0"};
    int32_t codes[] = {404};

    (void)state;
    trace->check = (struct http_check){.key = "valid_status_codes"};
    put();
    assert_text("failed_check.wanted.0", "2xx");
    spec.valid_status_codes = (struct http_codes){codes, 1};
    put();
    assert_number("failed_check.wanted.0", 404);
    spec.valid_http_versions = (struct http_texts){versions, 1};
    trace->check = (struct http_check){.key = "valid_http_versions"};
    put();
    assert_text("failed_check.wanted.0", "HTTP/2.0");
    spec.body_size_limit = 7;
    trace->check = (struct http_check){.key = "body_size_limit"};
    put();
    assert_number("failed_check.wanted", 7);
    trace->check = (struct http_check){"fail_if_header_matches", 2, "a.b", "X-A", true};
    put();
    assert_text("failed_check.header", "X-A");
    assert_text("failed_check.regexp", "a.b");
    assert_number("failed_check.index", 2);
    assert_null(at("failed_check.wanted"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_trace_without_hops_is_an_empty_list),
        TEST(hops_stand_in_their_order_with_what_was_said),
        TEST(tls_shows_its_certificates_and_the_verdict),
        TEST(the_check_that_failed_says_what_was_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
