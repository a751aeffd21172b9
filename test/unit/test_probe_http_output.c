#include "agentd/probe_http_output.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "unit.h"

#define S UINT64_C(1000000000)

static const struct http_result good = {
    .reason = HTTP_SUCCEEDED,
    .status = 204,
    .version = "HTTP/2.0",
    .tls_version = "TLS 1.3",
    .phases_ns = {1, S, 2 * S, 3 * S, 4 * S},
    .duration_ns = 11 * S,
    .redirects = 2,
    .dns_answers = 3,
    .address = {.family = PROBER_FAMILY_IPV4, .bytes = {192, 0, 2, 1}},
    .content_length = 0,
    .body_received = 5,
    .body_decoded = 6,
    .earliest_cert_expiry = 1800000000,
    .last_chain_expiry = 1900000000,
};

static struct strbuf out;

static const char *put(const char *target, const struct http_result *result)
{
    strbuf_free(&out);
    probe_http_output_put(&out, target, result, NULL, NULL);
    assert_true(strbuf_ok(&out));
    return out.bytes;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&out);
    return 0;
}

static void a_result_is_one_line_of_json(void **state)
{
    (void)state;
    assert_string_equal(
        put("https://a.test/", &good),
        "{\"target\":\"https://a.test/\",\"success\":true,\"failed_reason\":null,"
        "\"status_code\":204,\"http_version\":\"2\",\"phases\":{\"resolve\":0.000000001,"
        "\"connect\":1,\"tls\":2,\"processing\":3,\"transfer\":4},\"duration\":11,"
        "\"ssl_earliest_cert_expiry\":1800000000,\"last_chain_expiry\":1900000000,"
        "\"redirects\":2,\"tls_version\":\"TLS 1.3\",\"address\":\"192.0.2.1\","
        "\"dns_answers\":3,\"content_length\":0,\"body_bytes\":6,\"received_bytes\":5,"
        "\"error\":null}\n");
}

static void what_is_not_known_is_null(void **state)
{
    static const char *const nulls[] = {
        "status_code",    "http_version", "ssl_earliest_cert_expiry", "last_chain_expiry",
        "tls_version",    "address",      "content_length",           "body_bytes",
        "received_bytes", "error"};
    const struct http_result failed = {.reason = HTTP_FAILED_DNS_NXDOMAIN, .content_length = -1};
    struct json *json = NULL;

    (void)state;
    put("a.test", &failed);
    assert_int_equal(json_parse(&json, out.bytes, out.len, NULL), PROBER_OK);
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        assert_true(json_is_null(json_get(json, nulls[i])));
    assert_string_equal(json_string(json_get(json, "failed_reason")), "dns_nxdomain");
    json_free(json);
}

static void a_phase_that_was_skipped_is_null(void **state)
{
    struct http_result result = good;

    (void)state;
    result.is_resolve_skipped = true;
    assert_non_null(strstr(put("a", &result), "\"resolve\":null,\"connect\":1,"));
}

static void trouble_on_this_machine_is_told(void **state)
{
    struct http_result result = good;

    (void)state;
    result.reason = HTTP_FAILED_LOCAL;
    result.trouble = "no such file";
    assert_non_null(strstr(put("a", &result), "\"error\":\"no such file\"}\n"));
}

static void versions_read_as_people_write_them(void **state)
{
    static const struct {
        const char *version, *text;
    } cases[] = {{"HTTP/1.0", "\"http_version\":\"1.0\","},
                 {"HTTP/1.1", "\"http_version\":\"1.1\","},
                 {"HTTP/2.0", "\"http_version\":\"2\","}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_result result = good;

        snprintf(result.version, sizeof(result.version), "%s", cases[i].version);
        assert_non_null(strstr(put("a", &result), cases[i].text));
    }
}

static void user_information_is_not_shown(void **state)
{
    static const char *const targets[] = {"http://user:secret@a.test/", "user:secret@a.test",
                                          "http://user:secret@a test/", "ftp://user:secret@a/"};

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
        assert_null(strstr(put(targets[i], &good), "secret@"));
    assert_non_null(strstr(put(targets[0], &good), "\"target\":\"http://a.test/\""));
}

static void people_get_lines_with_milliseconds(void **state)
{
    const struct http_result failed = {.reason = HTTP_FAILED_LOCAL,
                                       .content_length = -1,
                                       .trouble = "the address is not permitted"};

    (void)state;
    probe_http_output_put_text(&out, "https://user:secret@a.test/", &good);
    assert_string_equal(out.bytes,
                        "https://a.test/: 204 HTTP/2.0, success, 11000.0 ms, 2 redirects\n"
                        "  address 192.0.2.1, TLS 1.3, certificates until 2027-01-15 08:00 UTC\n"
                        "  resolve 0.0, connect 1000.0, tls 2000.0, processing 3000.0, transfer "
                        "4000.0 ms; 6 bytes\n");
    strbuf_clear(&out);
    probe_http_output_put_text(&out, "a.test", &failed);
    assert_non_null(strstr(out.bytes, ": failed: local_error, 0.0 ms\n"));
    assert_non_null(strstr(out.bytes, "\n  the address is not permitted\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_result_is_one_line_of_json, tear_down),
        cmocka_unit_test_teardown(what_is_not_known_is_null, tear_down),
        cmocka_unit_test_teardown(a_phase_that_was_skipped_is_null, tear_down),
        cmocka_unit_test_teardown(trouble_on_this_machine_is_told, tear_down),
        cmocka_unit_test_teardown(versions_read_as_people_write_them, tear_down),
        cmocka_unit_test_teardown(user_information_is_not_shown, tear_down),
        cmocka_unit_test_teardown(people_get_lines_with_milliseconds, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
