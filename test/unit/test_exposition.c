#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "serverd/exposition.h"
#include "test/unit/given_report.h"

static struct mesh mesh;
static struct mesh_pair pairs[2];
static struct directory_agent agents[4];
static struct directory directory;
static struct exposition_settings settings;
static struct exposition_health health;
static struct strbuf text;

static int set_up(void **state)
{
    (void)state;
    memset(pairs, 0, sizeof(pairs));
    memset(agents, 0, sizeof(agents));
    pairs[0] = (struct mesh_pair){.source = "a", .target = "b", .planned = true};
    pairs[1] = (struct mesh_pair){.source = "b", .target = "a", .planned = true};
    mesh = (struct mesh){.number = 1, .pairs = pairs, .pair_count = 1};
    directory = (struct directory){.agents = agents};
    settings = (struct exposition_settings){.task_enabled = true};
    health = (struct exposition_health){.render_ns = 2500000, .prometheus_bytes = 1234};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&text);
    return 0;
}

/* ---- givens and looks ---- */

static void given_window(struct mesh_pair *p, uint64_t received, uint64_t lost)
{
    p->has_gauges = true;
    p->age_ns = 2 * SECOND;
    p->window.cells = 2;
    p->window.counts =
        (struct icmp_totals){.sent = received + lost, .received = received, .lost_timeout = lost};
    p->window.failed_cells = received ? 0 : 2;
    for (uint64_t i = 0; i < received; i++)
        moments_add(&p->window.rtt, i % 2 ? 3 * MSEC : 1 * MSEC);
    p->window.jitter_ns = 500000;
    p->window.resolve_ns = 250000;
    p->window.p50_ns = 1e6;
    p->window.p90_ns = 2.5e6;
    p->window.p99_ns = 3e6;
}

static struct directory_agent *given_alive(uint32_t number, const char *ip, const char *version,
                                           bool alive)
{
    static struct prober_addr addresses[ARRAY_LEN(agents)];
    struct directory_agent *agent = &agents[directory.agent_count];

    *agent = given_agent(number, "a");
    prober_addr_parse(ip, &addresses[directory.agent_count]);
    agent->addresses = &addresses[directory.agent_count++];
    agent->address_count = 1;
    agent->version = version;
    agent->alive = alive;
    agent->first_seen_real_ns = number;
    return agent;
}

static const char *render(enum metrics_format format)
{
    strbuf_clear(&text);
    assert_int_equal(exposition_render(&text, format, &mesh, &directory, &settings, &health),
                     PROBER_OK);
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
            fail_msg("no line: %s", lines[i]);
}

#define ASSERT_LINES(...)                                                                          \
    assert_lines((const char *const[]){__VA_ARGS__},                                               \
                 ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

/* How many series (not comments) contain `part`. */
static size_t series_with(const char *part)
{
    size_t n = 0;
    char *copy = strdup(text.bytes), *rest = copy, *line;

    while ((line = strsep(&rest, "\n")))
        n += *line && *line != '#' && strstr(line, part);
    free(copy);
    return n;
}

/* ---- pairs ---- */

static void a_pair_with_a_window_has_the_originals_gauges(void **state)
{
    (void)state;
    given_window(&pairs[0], 6, 2);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES(
        "prober_icmp_failed{source_region=\"a\",target_region=\"b\"} 0",
        "prober_icmp_duration_seconds{phase=\"resolve\",source_region=\"a\","
        "target_region=\"b\"} 0.00025",
        "prober_icmp_duration_seconds{phase=\"rtt\",source_region=\"a\","
        "target_region=\"b\"} 0.002",
        "prober_icmp_packet_loss_rate{source_region=\"a\",target_region=\"b\"} 25",
        "prober_icmp_jitter_stddev_seconds{source_region=\"a\",target_region=\"b\"} 0.001");
}

static void a_pair_with_a_window_has_our_gauges_beside_them(void **state)
{
    (void)state;
    given_window(&pairs[0], 6, 2);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES(
        "prober_icmp_packet_loss_ratio{source_region=\"a\",target_region=\"b\"} 0.25",
        "prober_icmp_rtt_min_seconds{source_region=\"a\",target_region=\"b\"} 0.001",
        "prober_icmp_rtt_max_seconds{source_region=\"a\",target_region=\"b\"} 0.003",
        "prober_icmp_rtt_quantile_seconds{quantile=\"0.9\",source_region=\"a\","
        "target_region=\"b\"} 0.0025",
        "prober_icmp_jitter_rfc3550_seconds{source_region=\"a\",target_region=\"b\"} 0.0005",
        "prober_icmp_window_age_seconds{source_region=\"a\",target_region=\"b\"} 2",
        "prober_icmp_window_cells{source_region=\"a\",target_region=\"b\"} 2");
}

static void a_pair_whose_packets_were_all_lost_has_loss_100_and_no_time_at_all(void **state)
{
    (void)state;
    given_window(&pairs[0], 0, 128);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_icmp_failed{source_region=\"a\",target_region=\"b\"} 2",
                 "prober_icmp_packet_loss_rate{source_region=\"a\",target_region=\"b\"} 100",
                 "prober_icmp_packet_loss_ratio{source_region=\"a\",target_region=\"b\"} 1");
    assert_int_equal(series_with("prober_icmp_duration_seconds{"), 0);
    assert_int_equal(series_with("prober_icmp_jitter"), 0);
    assert_int_equal(series_with("prober_icmp_rtt"), 0);
}

static void a_window_in_which_nothing_is_known_has_no_loss(void **state)
{
    (void)state;
    given_window(&pairs[0], 0, 0);
    pairs[0].window.failed_cells = 0;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_with("prober_icmp_packet_loss"), 0);
    ASSERT_LINES("prober_icmp_failed{source_region=\"a\",target_region=\"b\"} 0");
}

static void a_planned_pair_without_a_window_has_counters_at_zero_and_no_gauges(void **state)
{
    (void)state;
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_icmp_packets_sent_total{source_region=\"a\",target_region=\"b\"} 0",
                 "prober_icmp_packets_lost_total{by=\"timeout\",source_region=\"a\","
                 "target_region=\"b\"} 0",
                 "prober_icmp_packets_unsent_total{reason=\"name\",source_region=\"a\","
                 "target_region=\"b\"} 0",
                 "prober_server_backfilled_packets_total{result=\"received\",source_region=\"a\","
                 "target_region=\"b\"} 0",
                 "prober_icmp_duration_seconds_total_bucket{source_region=\"a\","
                 "target_region=\"b\",le=\"+Inf\"} 0");
    assert_int_equal(series_with("prober_icmp_failed"), 0);
    assert_int_equal(series_with("prober_icmp_window"), 0);
    assert_int_equal(series_with("prober_icmp_packet_loss"), 0);
}

static void arrivals_show_only_where_somebody_looks(void **state)
{
    (void)state;
    mesh.pair_count = 2;
    pairs[1].arrived = 7;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_with("prober_icmp_packets_arrived_total"), 1);
    ASSERT_LINES("prober_icmp_packets_arrived_total{source_region=\"b\",target_region=\"a\"} 7");
}

static void the_histogram_has_the_originals_buckets(void **state)
{
    (void)state;
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
        pairs[0].total_buckets[i] = i + 1;
    pairs[0].total_rtt_ns = 1500 * MSEC;
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_with("prober_icmp_duration_seconds_total_bucket"), 20);
    ASSERT_LINES(
        "prober_icmp_duration_seconds_total_bucket{source_region=\"a\","
        "target_region=\"b\",le=\"5e-05\"} 1",
        "prober_icmp_duration_seconds_total_bucket{source_region=\"a\","
        "target_region=\"b\",le=\"13.1072\"} 19",
        "prober_icmp_duration_seconds_total_sum{source_region=\"a\",target_region=\"b\"} 1.5",
        "prober_icmp_duration_seconds_total_count{source_region=\"a\","
        "target_region=\"b\"} 20");
}

static void every_count_has_a_series(void **state)
{
    (void)state;
#define SET(name, help) pairs[0].total.name = 4711;
    ICMP_COUNTS(SET)
#undef SET
    render(METRICS_PROMETHEUS);
#define ONE(name, help) +1
    assert_int_equal(series_with("} 4711"), 0 ICMP_COUNTS(ONE));
#undef ONE
}

static void region_names_are_escaped(void **state)
{
    (void)state;
    pairs[0].source = "a\"b\\c";
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_icmp_packets_sent_total{source_region=\"a\\\"b\\\\c\","
                 "target_region=\"b\"} 0");
}

/* ---- agents ---- */

static void agents_are_alive_or_gone(void **state)
{
    (void)state;
    given_alive(1, "192.0.2.1", "1.0.0", true);
    given_alive(2, "192.0.2.2", "1.0.0", false);
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_agent_is_alive{region=\"a\",ip=\"192.0.2.1\",version=\"1.0.0\"} 1",
                 "prober_agent_is_alive{region=\"a\",ip=\"192.0.2.2\",version=\"1.0.0\"} 0");
}

static void agents_at_one_address_are_one_series_and_the_best_of_them_counts(void **state)
{
    (void)state;
    given_alive(1, "192.0.2.1", "1.0.0", true);
    given_alive(2, "192.0.2.1", "1.0.0", false);
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_with("prober_agent_is_alive"), 1);
    ASSERT_LINES("prober_agent_is_alive{region=\"a\",ip=\"192.0.2.1\",version=\"1.0.0\"} 1");
}

static void after_an_upgrade_the_old_version_has_no_series(void **state)
{
    (void)state;
    given_alive(1, "192.0.2.1", "1.0.0", true);
    given_alive(2, "192.0.2.1", "1.1.0", true);
    render(METRICS_PROMETHEUS);
    assert_int_equal(series_with("prober_agent_is_alive"), 1);
    ASSERT_LINES("prober_agent_is_alive{region=\"a\",ip=\"192.0.2.1\",version=\"1.1.0\"} 1");
}

static void an_agent_without_addresses_of_its_own_shows_the_observed_one(void **state)
{
    struct directory_agent *agent;

    (void)state;
    agent = given_alive(1, "192.0.2.1", "1.0.0", true);
    agent->observed = agent->addresses[0];
    agent->address_count = 0;
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_agent_is_alive{region=\"a\",ip=\"192.0.2.1\",version=\"1.0.0\"} 1");
}

/* ---- the server ---- */

static void the_server_tells_of_itself(void **state)
{
    (void)state;
    mesh.receive_points_icmp = 12;
    mesh.reports_invalid = 3;
    mesh.server_boot.bytes[0] = 7;
    health.failures = 2;
    mesh.report_lag_seconds = 1.5;
    render(METRICS_PROMETHEUS);
    ASSERT_LINES("prober_server_receive_points{prober_type=\"icmp\"} 12",
                 "prober_server_reports_total{outcome=\"invalid\"} 3",
                 "prober_server_report_lag_seconds 1.5", "prober_server_task_enabled 1",
                 "prober_server_probe_self_enabled 0",
                 "prober_server_scrape_size_bytes{format=\"prometheus\"} 1234",
                 "prober_server_render_duration_seconds 0.0025",
                 "# TYPE prober_server_receive_points counter");
    ASSERT_LINES("prober_server_boot_info{server_boot=\"07000000000000000000000000000000\"} 1",
                 "prober_server_aggregation_failures_total 2");
    assert_int_equal(series_with("prober_server_build_info{"), 1);
    assert_int_equal(series_with("process_cpu_seconds_total "), 1);
}

static void write_extra(void *context, struct metrics_writer *w)
{
    const struct metric_family family = {"prober_extra", METRIC_GAUGE, NULL, "Extra."};

    metrics_family(w, &family);
    metrics_sample_u64(w, NULL, 0, *(const uint64_t *)context);
}

static void families_of_other_modules_are_written_along(void **state)
{
    uint64_t value = 5;

    (void)state;
    settings.extra = write_extra;
    settings.extra_context = &value;
    render(METRICS_OPENMETRICS);
    ASSERT_LINES("prober_extra 5");
}

static void every_family_is_told_of_in_the_documentation(void **state)
{
    FILE *file = fopen("docs/metrics.md", "r");
    char docs[65536], name[128], *line;
    size_t len;

    (void)state;
    if (!file)
        skip(); /* not run from the source tree */
    len = fread(docs, 1, sizeof(docs) - 1, file);
    fclose(file);
    docs[len] = '\0';
    render(METRICS_PROMETHEUS);
    for (line = text.bytes; (line = strstr(line, "# TYPE ")); line++) {
        assert_int_equal(sscanf(line, "# TYPE %126s", name), 1);
        if (!strstr(docs, name))
            fail_msg("docs/metrics.md does not tell of %s", name);
    }
}

/* ---- formats ---- */

/* The series of an exposition, without those whose value depends on the moment. */
static char *series_of(enum metrics_format format)
{
    struct strbuf kept = STRBUF_INIT;
    char *copy = strdup(render(format)), *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        if (!*line || *line == '#')
            continue;
        if (strncmp(line, "process_", 8) == 0)
            line[strcspn(line, " ")] = '\0';
        strbuf_puts(&kept, line);
        strbuf_putc(&kept, '\n');
    }
    free(copy);
    return strbuf_take(&kept, NULL);
}

static void both_formats_yield_the_same_series(void **state)
{
    char *prometheus, *openmetrics;

    (void)state;
    mesh.pair_count = 2;
    given_window(&pairs[0], 6, 2);
    given_window(&pairs[1], 0, 2);
    given_alive(1, "192.0.2.1", "1.0.0", true);
    prometheus = series_of(METRICS_PROMETHEUS);
    openmetrics = series_of(METRICS_OPENMETRICS);
    assert_string_equal(prometheus, openmetrics);
    free(prometheus);
    free(openmetrics);
}

static void openmetrics_ends_with_eof_and_leaves_the_originals_counter_its_name(void **state)
{
    (void)state;
    render(METRICS_OPENMETRICS);
    assert_string_equal(text.bytes + text.len - 6, "# EOF\n");
    ASSERT_LINES("# TYPE prober_server_receive_points unknown",
                 "# TYPE prober_icmp_packets_sent counter",
                 "# TYPE prober_icmp_duration_seconds_total histogram");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pair_with_a_window_has_the_originals_gauges),
        TEST(a_pair_with_a_window_has_our_gauges_beside_them),
        TEST(a_pair_whose_packets_were_all_lost_has_loss_100_and_no_time_at_all),
        TEST(a_window_in_which_nothing_is_known_has_no_loss),
        TEST(a_planned_pair_without_a_window_has_counters_at_zero_and_no_gauges),
        TEST(arrivals_show_only_where_somebody_looks),
        TEST(the_histogram_has_the_originals_buckets),
        TEST(every_count_has_a_series),
        TEST(region_names_are_escaped),
        TEST(agents_are_alive_or_gone),
        TEST(agents_at_one_address_are_one_series_and_the_best_of_them_counts),
        TEST(after_an_upgrade_the_old_version_has_no_series),
        TEST(an_agent_without_addresses_of_its_own_shows_the_observed_one),
        TEST(the_server_tells_of_itself),
        TEST(families_of_other_modules_are_written_along),
        TEST(every_family_is_told_of_in_the_documentation),
        TEST(both_formats_yield_the_same_series),
        TEST(openmetrics_ends_with_eof_and_leaves_the_originals_counter_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
