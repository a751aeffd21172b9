#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "common/metrics.h"

static struct strbuf out;
static struct metrics_writer prometheus = {&out, METRICS_PROMETHEUS, NULL};
static struct metrics_writer openmetrics = {&out, METRICS_OPENMETRICS, NULL};

static int set_up(void **state)
{
    (void)state;
    strbuf_clear(&out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&out);
    return 0;
}

static const struct metric_family packets = {"packets_sent_total", METRIC_COUNTER, NULL,
                                             "Packets \"sent\"."};
static const struct metric_label pair[] = {{"from", "a"}, {"to", "b"}};

static void a_counter_keeps_its_name_in_the_prometheus_format(void **state)
{
    (void)state;
    metrics_family(&prometheus, &packets);
    metrics_sample_u64(&prometheus, pair, 2, 18446744073709551615u);
    metrics_end(&prometheus);
    assert_string_equal(out.bytes,
                        "# HELP packets_sent_total Packets \"sent\".\n"
                        "# TYPE packets_sent_total counter\n"
                        "packets_sent_total{from=\"a\",to=\"b\"} 18446744073709551615\n");
}

static void a_counter_loses_total_in_the_metadata_of_openmetrics_alone(void **state)
{
    (void)state;
    metrics_family(&openmetrics, &packets);
    metrics_sample_u64(&openmetrics, pair, 2, 7);
    metrics_end(&openmetrics);
    assert_string_equal(out.bytes, "# TYPE packets_sent counter\n"
                                   "# HELP packets_sent Packets \\\"sent\\\".\n"
                                   "packets_sent_total{from=\"a\",to=\"b\"} 7\n"
                                   "# EOF\n");
}

static void a_counter_without_total_is_unknown_in_openmetrics(void **state)
{
    static const struct metric_family family = {"receive_points", METRIC_COUNTER, NULL, "Points."};
    (void)state;

    metrics_family(&openmetrics, &family);
    metrics_sample_u64(&openmetrics, NULL, 0, 7);
    assert_string_equal(out.bytes, "# TYPE receive_points unknown\n"
                                   "# HELP receive_points Points.\n"
                                   "receive_points 7\n");
}

static void a_unit_is_told_only_where_the_name_ends_in_it(void **state)
{
    static const struct metric_family families[] = {
        {"rtt_min_seconds", METRIC_GAUGE, "seconds", "h"},
        {"cpu_seconds_total", METRIC_COUNTER, "seconds", "h"},
        {"duration_seconds_total", METRIC_HISTOGRAM, "seconds", "h"}};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        metrics_family(&openmetrics, &families[i]);
    assert_string_equal(out.bytes, "# TYPE rtt_min_seconds gauge\n"
                                   "# UNIT rtt_min_seconds seconds\n"
                                   "# HELP rtt_min_seconds h\n"
                                   "# TYPE cpu_seconds counter\n"
                                   "# UNIT cpu_seconds seconds\n"
                                   "# HELP cpu_seconds h\n"
                                   "# TYPE duration_seconds_total histogram\n"
                                   "# HELP duration_seconds_total h\n");
}

static void an_info_is_a_gauge_of_one_in_the_prometheus_format(void **state)
{
    static const struct metric_family family = {"x_build_info", METRIC_INFO, NULL, "h"};
    (void)state;

    metrics_family(&prometheus, &family);
    metrics_sample_u64(&prometheus, pair, 1, 1);
    metrics_family(&openmetrics, &family);
    metrics_sample_u64(&openmetrics, pair, 1, 1);
    assert_string_equal(out.bytes, "# HELP x_build_info h\n"
                                   "# TYPE x_build_info gauge\n"
                                   "x_build_info{from=\"a\"} 1\n"
                                   "# TYPE x_build info\n"
                                   "# HELP x_build h\n"
                                   "x_build_info{from=\"a\"} 1\n");
}

static void help_is_escaped_as_each_format_wants(void **state)
{
    static const struct metric_family family = {"x", METRIC_GAUGE, NULL, "a\\b\n\"c\""};
    (void)state;

    metrics_family(&prometheus, &family);
    assert_non_null(strstr(out.bytes, "# HELP x a\\\\b\\n\"c\"\n"));
    metrics_family(&openmetrics, &family);
    assert_non_null(strstr(out.bytes, "# HELP x a\\\\b\\n\\\"c\\\"\n"));
}

static void label_values_are_escaped(void **state)
{
    static const struct metric_label labels[] = {{"a", "\\\"\n"}, {"b", ""}, {"c", "华东1"}};
    (void)state;

    metrics_labels(&out, labels, 3);
    assert_string_equal(out.bytes, "a=\"\\\\\\\"\\n\",b=\"\",c=\"华东1\"");
}

static void values_are_written_as_prometheus_reads_them(void **state)
{
    static const struct metric_family family = {"x", METRIC_GAUGE, NULL, "h"};
    (void)state;

    metrics_family(&prometheus, &family);
    strbuf_clear(&out);
    metrics_sample(&prometheus, NULL, 0, 0.25);
    metrics_sample(&prometheus, NULL, 0, 1.0 / 0.0);
    metrics_sample_ns(&prometheus, pair, 1, 1500000001);
    metrics_sample_text(&prometheus, "q=\"1\"", 5, 2.5);
    metrics_sample_text_u64(&prometheus, "", 0, 3);
    metrics_sample_text_ns(&prometheus, "q=\"1\"", 5, 50000);
    assert_string_equal(out.bytes, "x 0.25\n"
                                   "x +Inf\n"
                                   "x{from=\"a\"} 1.500000001\n"
                                   "x{q=\"1\"} 2.5\n"
                                   "x 3\n"
                                   "x{q=\"1\"} 0.00005\n");
}

static void a_histogram_has_buckets_sum_and_count(void **state)
{
    static const struct metric_family family = {"rtt_seconds", METRIC_HISTOGRAM, "seconds", "h"};
    static const char *const bounds[] = {"5e-05", "0.0001"};
    static const uint64_t cumulative[] = {1, 3, 4};
    (void)state;

    metrics_family(&prometheus, &family);
    strbuf_clear(&out);
    metrics_histogram(&prometheus, pair, 1, bounds, 2, cumulative, 1250000000);
    metrics_histogram_text(&prometheus, NULL, 0, bounds, 2, cumulative, 0);
    assert_string_equal(out.bytes, "rtt_seconds_bucket{from=\"a\",le=\"5e-05\"} 1\n"
                                   "rtt_seconds_bucket{from=\"a\",le=\"0.0001\"} 3\n"
                                   "rtt_seconds_bucket{from=\"a\",le=\"+Inf\"} 4\n"
                                   "rtt_seconds_sum{from=\"a\"} 1.25\n"
                                   "rtt_seconds_count{from=\"a\"} 4\n"
                                   "rtt_seconds_bucket{le=\"5e-05\"} 1\n"
                                   "rtt_seconds_bucket{le=\"0.0001\"} 3\n"
                                   "rtt_seconds_bucket{le=\"+Inf\"} 4\n"
                                   "rtt_seconds_sum 0\n"
                                   "rtt_seconds_count 4\n");
}

static void a_process_tells_what_it_is_and_uses(void **state)
{
    static const char *const names[] = {"\nprocess_cpu_seconds_total ",
                                        "\nprocess_resident_memory_bytes ",
                                        "\nprocess_virtual_memory_bytes ",
                                        "\nprocess_open_fds ",
                                        "\nprocess_max_fds ",
                                        "\nprocess_start_time_seconds ",
                                        "\nprocess_threads ",
                                        "\nprober_agent_build_info{version=\""};
    (void)state;

    metrics_process(&prometheus, "prober_agent_build_info");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_non_null(strstr(out.bytes, names[i]));
}

static void both_formats_have_the_same_series(void **state)
{
    static const struct metric_family families[] = {{"a_total", METRIC_COUNTER, NULL, "h"},
                                                    {"b", METRIC_COUNTER, NULL, "h"},
                                                    {"c_info", METRIC_INFO, NULL, "h"},
                                                    {"d_seconds", METRIC_GAUGE, "seconds", "h"}};
    struct metrics_writer *const writers[] = {&prometheus, &openmetrics};
    char *series[2];
    (void)state;

    for (unsigned f = 0; f < 2; f++) {
        struct strbuf lines = STRBUF_INIT;

        strbuf_clear(&out);
        for (size_t i = 0; i < ARRAY_LEN(families); i++) {
            metrics_family(writers[f], &families[i]);
            metrics_sample(writers[f], pair, 2, 0.5);
        }
        metrics_end(writers[f]);
        for (char *line = strtok(out.bytes, "\n"); line; line = strtok(NULL, "\n"))
            if (*line != '#')
                strbuf_printf(&lines, "%s\n", line);
        series[f] = strbuf_take(&lines, NULL);
    }
    assert_string_equal(series[0], series[1]);

    for (unsigned f = 0; f < 2; f++)
        free(series[f]);
}

static void openmetrics_is_given_to_who_asks_for_it(void **state)
{
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_PROMETHEUS},
        {"", METRICS_PROMETHEUS},
        {"*/*", METRICS_PROMETHEUS},
        {"text/html,application/xhtml+xml,*/*;q=0.8", METRICS_PROMETHEUS},
        {"text/plain", METRICS_PROMETHEUS},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"application/openmetrics-textual", METRICS_PROMETHEUS},
        {"Application/OpenMetrics-Text; version=1.0.0", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/"
         "*;q=0.1",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=0.3, text/plain;q=0.5", METRICS_PROMETHEUS},
        {"text/plain;q=0.5 , application/openmetrics-text;q=0.7", METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=0", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=", METRICS_PROMETHEUS},
        {",,;q=1,", METRICS_PROMETHEUS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (metrics_negotiate(cases[i].accept) != cases[i].format)
            fail_msg("wrong format for: %s", cases[i].accept);
    assert_string_equal(metrics_content_type(METRICS_PROMETHEUS),
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_string_equal(metrics_content_type(METRICS_OPENMETRICS),
                        "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_counter_keeps_its_name_in_the_prometheus_format),
        TEST(a_counter_loses_total_in_the_metadata_of_openmetrics_alone),
        TEST(a_counter_without_total_is_unknown_in_openmetrics),
        TEST(a_unit_is_told_only_where_the_name_ends_in_it),
        TEST(an_info_is_a_gauge_of_one_in_the_prometheus_format),
        TEST(help_is_escaped_as_each_format_wants),
        TEST(label_values_are_escaped),
        TEST(values_are_written_as_prometheus_reads_them),
        TEST(a_histogram_has_buckets_sum_and_count),
        TEST(a_process_tells_what_it_is_and_uses),
        TEST(both_formats_have_the_same_series),
        TEST(openmetrics_is_given_to_who_asks_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
