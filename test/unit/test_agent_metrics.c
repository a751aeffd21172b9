#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/agent_health.h"
#include "agentd/agent_metrics.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)

static struct agent_stats *given_stats(void)
{
    struct agent_stats *s = NULL;

    assert_int_equal(agent_stats_create(&s), PROBER_OK);
    return s;
}

static struct agent_stats_copy copy_of(struct agent_stats *s)
{
    struct agent_stats_copy copy;

    agent_stats_read(s, &copy);
    agent_stats_destroy(s);
    return copy;
}

static char *exposed(const struct agent_stats_copy *stats, enum metrics_format format)
{
    static const struct agent_metrics_identity identity = {"a1", "b2", "re\"gion"};
    struct strbuf out = STRBUF_INIT;
    struct metrics_writer w = {.out = &out, .format = format};
    struct spool_counts spool = {.reports = 3, .bytes = 4096, .oldest_boot_ns = S(90)};
    struct clock_reading now = {S(1), S(2), S(100)};

    spool.dropped.icmp.sent = 9;
    spool.dropped.http.by_reason[HTTP_SUCCEEDED] = 7;
    agent_metrics_write(&w, &identity, stats, &spool, &now);
    metrics_end(&w);
    return strbuf_take(&out, NULL);
}

static void expect(const char *text, const char *line)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void acked_packets_are_told_by_server_boot_and_result(void **state)
{
    struct agent_stats *s = given_stats();
    struct prober_id boot = {{0xab}};
    struct probe_totals t = {.icmp = {.sent = 10,
                                      .received = 6,
                                      .lost_timeout = 2,
                                      .lost_ttl = 1,
                                      .unknown = 1,
                                      .unsent_name = 4}};
    struct agent_stats_copy copy;
    char *text;

    (void)state;
    agent_stats_add_acked(s, &boot, false, &t);
    agent_stats_add_acked(s, &boot, false, &t);
    agent_stats_add_acked(s, &boot, true, &t);
    copy = copy_of(s);
    text = exposed(&copy, METRICS_PROMETHEUS);
#define BOOT "server_boot=\"ab000000000000000000000000000000\"} "
    expect(text, "prober_agent_acked_packets_total{result=\"sent\"," BOOT "20");
    expect(text, "prober_agent_acked_packets_total{result=\"received\"," BOOT "12");
    expect(text, "prober_agent_acked_packets_total{result=\"lost\"," BOOT "6");
    expect(text, "prober_agent_acked_packets_total{result=\"unknown\"," BOOT "2");
    expect(text, "prober_agent_acked_packets_total{result=\"unsent\"," BOOT "8");
    expect(text, "prober_agent_backfilled_packets_total{result=\"sent\"," BOOT "10");
    free(text);
}

static void only_the_last_server_boots_are_remembered(void **state)
{
    struct agent_stats *s = given_stats();
    struct probe_totals t = {.icmp = {.sent = 1, .received = 1}};
    struct agent_stats_copy copy;

    (void)state;
    for (uint8_t i = 1; i <= AGENT_STATS_BOOTS_MAX + 2; i++) {
        struct prober_id boot = {{i}};

        agent_stats_add_acked(s, &boot, false, &t);
    }
    copy = copy_of(s);
    assert_int_equal(copy.boot_count, AGENT_STATS_BOOTS_MAX);
    assert_int_equal(copy.boots[0].id.bytes[0], 3);
    assert_int_equal(copy.boots[AGENT_STATS_BOOTS_MAX - 1].id.bytes[0], AGENT_STATS_BOOTS_MAX + 2);
}

static void what_was_scheduled_is_what_was_sent_and_unsent(void **state)
{
    struct agent_stats *s = given_stats();
    struct agent_stats_probing probing = {.totals = {.sent = 100,
                                                     .received = 90,
                                                     .lost_unreachable = 10,
                                                     .unsent_late = 3,
                                                     .unsent_cap = 4}};
    struct agent_stats_copy copy;
    char *text;

    (void)state;
    probing.targets.own = 2;
    agent_stats_set_probing(s, &probing);
    copy = copy_of(s);
    text = exposed(&copy, METRICS_PROMETHEUS);
    expect(text, "prober_agent_probes_scheduled_total 107");
    expect(text, "prober_agent_probes_sent_total 100");
    expect(text, "prober_agent_probes_lost_total{by=\"unreachable\"} 10");
    expect(text, "prober_agent_probes_unsent_total{reason=\"cap\"} 4");
    expect(text, "prober_agent_targets{state=\"own\"} 2");
    expect(text, "prober_agent_spool_reports 3");
    expect(text, "prober_agent_spool_oldest_seconds 10");
    expect(text, "prober_agent_spool_dropped_packets_total{result=\"sent\"} 9");
    expect(text,
           "prober_agent_identity_info{agent_id=\"a1\",boot_id=\"b2\",region=\"re\\\"gion\"} 1");
    free(text);
}

static void both_formats_have_the_same_series(void **state)
{
    struct agent_stats_copy copy = copy_of(given_stats());
    char *plain = exposed(&copy, METRICS_PROMETHEUS), *open = exposed(&copy, METRICS_OPENMETRICS);
    char *rest = NULL;

    (void)state;
    assert_non_null(strstr(open, "# EOF\n"));
    for (char *line = strtok_r(plain, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[256];

        if (line[0] == '#' || strncmp(line, "prober_", 7) != 0)
            continue;
        snprintf(name, sizeof(name), "\n%.*s ", (int)(strrchr(line, ' ') - line), line);
        if (!strstr(open, name))
            fail_msg("not in OpenMetrics: %s", line);
    }
    free(plain);
    free(open);
}

static void probes_of_urls_are_told_by_what_became_of_them(void **state)
{
    struct agent_stats *s = given_stats();
    struct prober_id boot = {{0xab}};
    struct probe_totals t = {.http = {.unsent_late = 2}};
    struct agent_stats_http http = {.in_flight = 5, .targets = {.planned = 4, .unusable = 1}};
    struct agent_stats_copy copy;
    char *text;

    (void)state;
    t.http.by_reason[HTTP_SUCCEEDED] = 10;
    t.http.by_reason[HTTP_FAILED_TIMEOUT] = 3;
    t.http.by_reason[HTTP_FAILED_LOCAL] = 1;
    http.totals = t.http;
    http.unsent[HTTP_UNSENT_LATE] = 2;
    http.unsent[HTTP_UNSENT_DENIED] = 1;
    agent_stats_set_http(s, &http);
    agent_stats_add_acked(s, &boot, false, &t);
    copy = copy_of(s);
    text = exposed(&copy, METRICS_PROMETHEUS);
    expect(text, "prober_agent_http_probes_scheduled_total 16");
    expect(text, "prober_agent_http_probes_total{result=\"success\"} 10");
    expect(text, "prober_agent_http_failures_total{failed_reason=\"timeout\"} 3");
    expect(text, "prober_agent_http_probes_unsent_total{reason=\"denied\"} 1");
    expect(text, "prober_agent_http_probes_in_flight 5");
    expect(text, "prober_agent_http_targets{state=\"probed\"} 3");
    expect(text, "prober_agent_http_targets{state=\"unusable\"} 1");
    expect(text, "prober_agent_acked_http_probes_total{result=\"failed\"," BOOT "3");
    expect(text, "prober_agent_acked_http_probes_total{result=\"unsent\"," BOOT "3");
    expect(text, "prober_agent_spool_dropped_http_probes_total{result=\"success\"} 7");
    assert_null(strstr(text, "failed_reason=\"local_error\""));
    free(text);
}

static void it_is_alive_while_all_threads_come_round(void **state)
{
    struct agent_stats_copy copy = {
        .icmp_beat_ns = S(100), .http_beat_ns = S(100), .link_beat_ns = S(100)};
    char text[AGENT_HEALTH_TEXT_MAX];

    (void)state;
    assert_true(agent_health_is_alive(&copy, S(129), text));
    assert_false(agent_health_is_alive(&copy, S(131), text));
    assert_string_equal(text, "the icmp thread is stuck\n");
    copy.icmp_beat_ns = S(131);
    assert_false(agent_health_is_alive(&copy, S(131), text));
    assert_string_equal(text, "the http thread is stuck\n");
    copy.http_beat_ns = S(131);
    assert_false(agent_health_is_alive(&copy, S(131), text));
    assert_string_equal(text, "the link thread is stuck\n");
}

static void it_is_ready_once_it_is_accepted_and_has_a_plan(void **state)
{
    struct agent_stats_copy copy = {
        .icmp_beat_ns = S(100), .http_beat_ns = S(100), .link_beat_ns = S(100)};
    char text[AGENT_HEALTH_TEXT_MAX];

    (void)state;
    assert_false(agent_health_is_ready(&copy, S(100), text));
    assert_string_equal(text, "the server does not answer\n");
    copy.link.state = AGENT_LINK_REFUSED;
    assert_false(agent_health_is_ready(&copy, S(100), text));
    assert_string_equal(text, "the server refuses this agent\n");
    copy.link.state = AGENT_LINK_UP;
    assert_false(agent_health_is_ready(&copy, S(100), text));
    assert_string_equal(text, "no plan from the server yet\n");
    copy.probing.has_plan = true;
    assert_true(agent_health_is_ready(&copy, S(100), text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acked_packets_are_told_by_server_boot_and_result),
        cmocka_unit_test(only_the_last_server_boots_are_remembered),
        cmocka_unit_test(what_was_scheduled_is_what_was_sent_and_unsent),
        cmocka_unit_test(both_formats_have_the_same_series),
        cmocka_unit_test(probes_of_urls_are_told_by_what_became_of_them),
        cmocka_unit_test(it_is_alive_while_all_threads_come_round),
        cmocka_unit_test(it_is_ready_once_it_is_accepted_and_has_a_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
