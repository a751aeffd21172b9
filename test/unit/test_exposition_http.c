#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "serverd/exposition_http.h"
#include "test/unit/given_report.h"

#define LABELS "source_region=\"a\",target_region=\"b\",target_addr=\"example.com/?x=\\\"1\\\"\""

static struct mesh mesh;
static struct mesh_url urls[2];
static struct strbuf text;

static int set_up(void **state)
{
    (void)state;
    memset(urls, 0, sizeof(urls));
    urls[0] = (struct mesh_url){
        .source = "a", .region = "b", .target = "example.com/?x=\"1\"", .planned = true};
    urls[1] = (struct mesh_url){.source = "b", .region = "", .target = "192.0.2.1"};
    mesh = (struct mesh){.urls = urls, .url_count = 1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&text);
    return 0;
}

/* ---- givens and looks ---- */

static void given_answers(struct mesh_url *url, uint32_t agents)
{
    url->has_gauges = true;
    url->age_ns = 1500 * MSEC;
    url->window = (struct mesh_url_window){
        .agents = agents,
        .ended[HTTP_SUCCEEDED] = agents,
        .phases_ns = {1e6, 2e6, 3e6, 4e6, 5e6},
        .duration_ns = 15e6,
        .status = 200,
        .version = 11,
        .tls_version = 0x0303,
        .redirects = 1,
        .content_length = 1,
        .body_length = 1235,
        .dns_answers = 4,
        .earliest_cert_expiry = 1800000000,
        .earliest_tls_version = 0x0303,
        .last_chain_expiry = 1800000001,
    };
    url->total.ended[HTTP_SUCCEEDED] = url->total_buckets[MESH_URL_BUCKETS] = 3;
    url->total_duration_ns = 45 * MSEC;
}

static void fail_agents(struct mesh_url *url, uint32_t reason, uint32_t count)
{
    url->window.ended[reason] += count;
    url->window.ended[HTTP_SUCCEEDED] -= count;
    url->total.ended[reason] += count;
    url->total_failed += count;
}

static const char *render(enum metrics_format format)
{
    struct metrics_writer w = {.out = &text, .format = format};

    strbuf_clear(&text);
    assert_int_equal(exposition_http(&w, &mesh), PROBER_OK);
    assert_true(strbuf_ok(&text));
    return text.bytes;
}

static bool has_line(const char *line)
{
    size_t len = strlen(line);

    for (const char *at = text.bytes; (at = strstr(at, line)); at++)
        if ((at == text.bytes || at[-1] == '\n') && at[len] == '\n')
            return true;
    return false;
}

static void assert_lines(const char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!has_line(lines[i]))
            fail_msg("no line: %s\n%s", lines[i], text.bytes);
}

#define ASSERT_LINES(...)                                                                          \
    assert_lines((const char *const[]){__VA_ARGS__},                                               \
                 ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

/* How many series (not comments) start with `part`. */
static size_t series_of(const char *part)
{
    size_t n = 0;
    char *copy = strdup(text.bytes), *rest = copy, *line;

    while ((line = strsep(&rest, "\n")))
        n += *line && *line != '#' && strncmp(line, part, strlen(part)) == 0;
    free(copy);
    return n;
}

/* ---- tests ---- */

static void a_url_with_answers_has_the_originals_gauges(void **state)
{
    (void)state;
    given_answers(&urls[0], 2);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_http_failed{failed_reason=\"success\"," LABELS "} 0",
                 "prober_http_duration_seconds{phase=\"resolve\"," LABELS "} 0.001",
                 "prober_http_duration_seconds{phase=\"connect\"," LABELS "} 0.002",
                 "prober_http_duration_seconds{phase=\"tls\"," LABELS "} 0.003",
                 "prober_http_duration_seconds{phase=\"processing\"," LABELS "} 0.004",
                 "prober_http_duration_seconds{phase=\"transfer\"," LABELS "} 0.005",
                 "prober_http_ssl_earliest_cert_expiry{version=\"TLS 1.2\"," LABELS "} 1800000000",
                 "prober_http_status_code{" LABELS "} 200");
}

static void a_url_with_answers_has_our_gauges_beside_them(void **state)
{
    (void)state;
    given_answers(&urls[0], 2);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_http_ssl_last_chain_expiry_timestamp_seconds{" LABELS "} 1800000001",
                 "prober_http_version{" LABELS "} 1.1",
                 "prober_http_tls_version_info{version=\"TLS 1.2\"," LABELS "} 1",
                 "prober_http_redirects{" LABELS "} 0",
                 "prober_http_content_length_bytes{" LABELS "} 0",
                 "prober_http_uncompressed_body_length_bytes{" LABELS "} 1234",
                 "prober_http_dns_answers{" LABELS "} 4", "prober_http_agents{" LABELS "} 2",
                 "prober_http_probe_age_seconds{" LABELS "} 1.5",
                 "prober_http_probe_duration_seconds_bucket{" LABELS ",le=\"0.005\"} 0",
                 "prober_http_probe_duration_seconds_bucket{" LABELS ",le=\"+Inf\"} 3",
                 "prober_http_probe_duration_seconds_sum{" LABELS "} 0.045",
                 "prober_http_probe_duration_seconds_count{" LABELS "} 3");
}

static void failures_show_their_reasons_and_no_success(void **state)
{
    (void)state;
    given_answers(&urls[0], 5);
    fail_agents(&urls[0], HTTP_FAILED_STATUS_CODE, 2);
    fail_agents(&urls[0], HTTP_REASON_UNKNOWN, 1);
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_http_failed{"), 2);
    assert_int_equal(series_of("prober_http_failures_total{"), 2);
    ASSERT_LINES("prober_http_failed{failed_reason=\"status_code\"," LABELS "} 2",
                 "prober_http_failed{failed_reason=\"unknown\"," LABELS "} 1",
                 "prober_http_failures_total{failed_reason=\"status_code\"," LABELS "} 2",
                 "prober_http_probes_total{result=\"success\"," LABELS "} 3",
                 "prober_http_probes_total{result=\"failed\"," LABELS "} 3");
}

static void a_reason_of_the_past_is_only_in_the_counters(void **state)
{
    (void)state;
    given_answers(&urls[0], 2);
    urls[0].total.ended[HTTP_FAILED_TIMEOUT] = urls[0].total_failed = 7;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_http_failed{"), 1);
    ASSERT_LINES("prober_http_failed{failed_reason=\"success\"," LABELS "} 0",
                 "prober_http_failures_total{failed_reason=\"timeout\"," LABELS "} 7");
}

static void without_a_success_there_is_no_time_and_without_an_answer_the_status_is_0(void **state)
{
    (void)state;
    urls[0].has_gauges = true;
    urls[0].window.agents = 1;
    urls[0].window.ended[HTTP_FAILED_TIMEOUT] = 1;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_http_duration_seconds"), 0);
    assert_int_equal(series_of("prober_http_ssl"), 0);
    assert_int_equal(series_of("prober_http_tls"), 0);
    assert_int_equal(series_of("prober_http_version"), 0);
    assert_int_equal(series_of("prober_http_redirects"), 0);
    assert_int_equal(series_of("prober_http_content_length"), 0);
    assert_int_equal(series_of("prober_http_uncompressed"), 0);
    assert_int_equal(series_of("prober_http_dns"), 0);
    ASSERT_LINES("prober_http_failed{failed_reason=\"timeout\"," LABELS "} 1",
                 "prober_http_status_code{" LABELS "} 0", "prober_http_agents{" LABELS "} 1");
}

static void an_expiry_without_a_handshake_is_of_an_unknown_version(void **state)
{
    (void)state;
    given_answers(&urls[0], 1);
    fail_agents(&urls[0], HTTP_FAILED_TLS_VERIFY_EXPIRED, 1);
    urls[0].window.tls_version = urls[0].window.earliest_tls_version = 0;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_http_ssl_earliest_cert_expiry"), 1);
    assert_int_equal(series_of("prober_http_tls_version_info"), 0);
    ASSERT_LINES("prober_http_ssl_earliest_cert_expiry{version=\"unknown\"," LABELS "} 1800000000");
}

static void a_planned_url_without_a_probe_has_counters_at_zero_and_no_gauges(void **state)
{
    (void)state;
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_http_probes_total{result=\"success\"," LABELS "} 0",
                 "prober_http_probes_total{result=\"failed\"," LABELS "} 0",
                 "prober_http_probes_unsent_total{reason=\"late\"," LABELS "} 0",
                 "prober_http_probes_unsent_total{reason=\"local\"," LABELS "} 0",
                 "prober_http_probe_duration_seconds_count{" LABELS "} 0");
    assert_int_equal(series_of("prober_http_failed{"), 0);
    assert_int_equal(series_of("prober_http_agents"), 0);
    assert_int_equal(series_of("prober_server_backfilled"), 0);
    assert_int_equal(series_of("prober_"), 4 + MESH_URL_BUCKETS + 3);
}

static void what_was_not_measured_is_unsent_and_no_failure(void **state)
{
    (void)state;
    given_answers(&urls[0], 1);
    urls[0].total.ended[HTTP_FAILED_LOCAL] = 4;
    urls[0].total.unsent_late = 6;
    urls[0].backfilled = (struct http_results){.succeeded = 1, .unsent = 2};
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_http_failures_total{"), 0);
    ASSERT_LINES("prober_http_probes_unsent_total{reason=\"late\"," LABELS "} 6",
                 "prober_http_probes_unsent_total{reason=\"local\"," LABELS "} 4",
                 "prober_server_backfilled_http_probes_total{result=\"success\"," LABELS "} 1",
                 "prober_server_backfilled_http_probes_total{result=\"failed\"," LABELS "} 0",
                 "prober_server_backfilled_http_probes_total{result=\"unsent\"," LABELS "} 2");
}

static void a_url_has_as_many_series_as_the_limit_reckons_with(void **state)
{
    (void)state;
    given_answers(&urls[0], 2);
    fail_agents(&urls[0], HTTP_FAILED_STATUS_CODE, 1);
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_of("prober_"), EXPOSITION_HTTP_SERIES);
}

static void both_formats_yield_the_same_urls(void **state)
{
    char *prometheus, *openmetrics, *a, *b, *rest_a, *rest_b;

    (void)state;
    mesh.url_count = 2;
    given_answers(&urls[0], 3);
    given_answers(&urls[1], 1);
    fail_agents(&urls[1], HTTP_FAILED_STATUS_CODE, 1);
    prometheus = rest_a = strdup(render(METRICS_PROMETHEUS));
    openmetrics = rest_b = strdup(render(METRICS_OPENMETRICS));
    for (;;) {
        while ((a = strsep(&rest_a, "\n")) && *a == '#')
            ;
        while ((b = strsep(&rest_b, "\n")) && *b == '#')
            ;
        if (!a || !b)
            break;
        assert_string_equal(a, b);
    }
    assert_true(!a && !b);
    free(prometheus);
    free(openmetrics);
}

static void every_reason_is_told_of_in_the_documentation(void **state)
{
    FILE *file = fopen("docs/metrics.md", "r");
    char docs[65536], quoted[64];
    size_t len;

    (void)state;
    if (!file)
        skip(); /* not run from the source tree */
    len = fread(docs, 1, sizeof(docs) - 1, file);
    fclose(file);
    docs[len] = '\0';
    for (unsigned reason = 0; reason < HTTP_TOTALS_REASONS; reason++) {
        if (!http_totals_is_failure(reason))
            continue;
        snprintf(quoted, sizeof(quoted), "`%s`", http_totals_reason_text(reason));
        if (!strstr(docs, quoted))
            fail_msg("docs/metrics.md does not tell of %s", quoted);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_url_with_answers_has_the_originals_gauges),
        TEST(a_url_with_answers_has_our_gauges_beside_them),
        TEST(failures_show_their_reasons_and_no_success),
        TEST(a_reason_of_the_past_is_only_in_the_counters),
        TEST(without_a_success_there_is_no_time_and_without_an_answer_the_status_is_0),
        TEST(an_expiry_without_a_handshake_is_of_an_unknown_version),
        TEST(a_planned_url_without_a_probe_has_counters_at_zero_and_no_gauges),
        TEST(what_was_not_measured_is_unsent_and_no_failure),
        TEST(a_url_has_as_many_series_as_the_limit_reckons_with),
        TEST(both_formats_yield_the_same_urls),
        TEST(every_reason_is_told_of_in_the_documentation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
