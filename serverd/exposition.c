#include "serverd/exposition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/array.h"
#include "serverd/exposition_http.h"
#include "serverd/series_table.h"

/* ---- counters: a place in a struct each ---- */

#define PAIR(member) offsetof(struct mesh_pair, member)
#define MESH(member) offsetof(struct mesh, member)
static const struct series_counter pair_counters[] = {
    {SERIES_COUNTER("prober_icmp_packets_sent_total", "Echo requests that the kernel took."),
     false,
     {{"", PAIR(total.sent)}}},
    {SERIES_COUNTER(
         "prober_icmp_packets_received_total",
         "Echo requests that were answered in time by a reply that matched in every respect."),
     false,
     {{"", PAIR(total.received)}}},
    {SERIES_COUNTER(
         "prober_icmp_packets_doubtful_total",
         "Of the received: during an episode in which other replies may have been missed."),
     false,
     {{"", PAIR(total.doubtful)}}},
    {SERIES_COUNTER("prober_icmp_packets_lost_total",
                    "Echo requests without an answer in time, by what is known of why."),
     false,
     {{"by=\"timeout\"", PAIR(total.lost_timeout)},
      {"by=\"unreachable\"", PAIR(total.lost_unreachable)},
      {"by=\"ttl\"", PAIR(total.lost_ttl)}}},
    {SERIES_COUNTER("prober_icmp_packets_unknown_total",
                    "Echo requests without an answer, where the agent could not have seen one."),
     false,
     {{"", PAIR(total.unknown)}}},
    {SERIES_COUNTER("prober_icmp_packets_unsent_total",
                    "Planned probes that were not sent, by reason."),
     false,
     {{"reason=\"local\"", PAIR(total.unsent_local)},
      {"reason=\"queue\"", PAIR(total.unsent_queue)},
      {"reason=\"late\"", PAIR(total.unsent_late)},
      {"reason=\"cap\"", PAIR(total.unsent_cap)},
      {"reason=\"name\"", PAIR(total.unsent_name)}}},
    {SERIES_COUNTER("prober_icmp_packets_late_sent_total",
                    "Of the sent: later than planned, by less than an interval."),
     false,
     {{"", PAIR(total.late_sent)}}},
    {SERIES_COUNTER("prober_icmp_packets_duplicate_total",
                    "Further replies to a probe that was already answered."),
     false,
     {{"", PAIR(total.duplicates)}}},
    {SERIES_COUNTER("prober_icmp_replies_late_total", "Replies that came after the timeout."),
     false,
     {{"", PAIR(total.late_replies)}}},
    {SERIES_COUNTER("prober_icmp_replies_bad_total",
                    "Replies with a wrong token, slot, address or sequence."),
     false,
     {{"", PAIR(total.bad_replies)}}},
    {SERIES_COUNTER("prober_icmp_replies_corrupt_total",
                    "Replies with a wrong checksum or a damaged payload."),
     false,
     {{"", PAIR(total.corrupt_replies)}}},
    {SERIES_COUNTER("prober_icmp_packets_arrived_total",
                    "Echo requests of the source's agents that the target's agents saw arrive."),
     true,
     {{"", PAIR(arrived)}}},
    {SERIES_COUNTER("prober_server_backfilled_packets_total",
                    "Probes in reports that came too late for the other counters, by result."),
     false,
     {{"result=\"received\"", PAIR(backfilled.received)},
      {"result=\"timeout\"", PAIR(backfilled.lost_timeout)},
      {"result=\"unreachable\"", PAIR(backfilled.lost_unreachable)},
      {"result=\"ttl\"", PAIR(backfilled.lost_ttl)},
      {"result=\"unknown\"", PAIR(backfilled.unknown)}}},
};

static const struct series_counter mesh_counters[] = {
    {SERIES_COUNTER("prober_server_receive_points", "Target results that were applied."),
     false,
     {{"prober_type=\"icmp\"", MESH(receive_points_icmp)},
      {"prober_type=\"http\"", MESH(receive_points_http)}}},
    {SERIES_COUNTER("prober_server_reports_total", "Reports of agents, by what became of them."),
     false,
     {{"outcome=\"applied\"", MESH(reports_applied)},
      {"outcome=\"duplicate\"", MESH(reports_duplicate)},
      {"outcome=\"backfilled\"", MESH(reports_backfilled)},
      {"outcome=\"unknown_table\"", MESH(reports_unknown_table)},
      {"outcome=\"invalid\"", MESH(reports_invalid)},
      {"outcome=\"full\"", MESH(reports_full)}}},
    {SERIES_COUNTER("prober_server_reports_refused_total",
                    "Reports that were refused unread, to be sent again."),
     false,
     {{"reason=\"queue_full\"", MESH(reports_busy)}}},
    {SERIES_COUNTER("prober_server_arrivals_unassigned_total",
                    "Echo requests that agents saw arrive of senders that are not registered."),
     false,
     {{"", MESH(arrivals_unknown)}}},
    {SERIES_COUNTER("prober_server_aggregations_total", "Aggregations since the server's start."),
     false,
     {{"", MESH(number)}}},
    {SERIES_GAUGE("prober_server_ingest_queue_depth", NULL,
                  "Reports waiting in the longest ingest queue."),
     false,
     {{"", MESH(queue_depth_max)}}},
    {SERIES_GAUGE("prober_server_ingest_cells", NULL, "(agent, target) cells held for the gauges."),
     false,
     {{"", MESH(cells)}}},
    {SERIES_GAUGE("prober_server_ingest_agents", NULL, "Agents whose reports are held."),
     false,
     {{"", MESH(agents)}}},
    {SERIES_GAUGE("prober_server_pairs", NULL, "Ordered pairs of regions that are shown."),
     false,
     {{"", MESH(pair_count)}}},
    {SERIES_GAUGE("prober_server_urls", NULL, "URLs that are shown, once for each source region."),
     false,
     {{"", MESH(url_count)}}},
};

/* ---- gauges of a pair: a function each; NAN: no series ---- */

static double failed(const void *row)
{
    const struct mesh_pair *p = row;

    return (double)p->window.failed_cells;
}

static double cells(const void *row)
{
    const struct mesh_pair *p = row;

    return (double)p->window.cells;
}

static double age(const void *row)
{
    const struct mesh_pair *p = row;

    return (double)p->age_ns;
}

static double loss_ratio(const void *row)
{
    const struct mesh_pair *p = row;
    double ratio = icmp_totals_loss_ratio(&p->window.counts);

    return ratio < 0 ? NAN : ratio;
}

static double loss_percent(const void *row)
{
    return 100 * loss_ratio(row);
}

static double rtt_or_none(const struct mesh_pair *p, double value)
{
    return p->window.rtt.count > 0 ? value : (double)NAN;
}

static double rtt_mean(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, moments_mean_ns(&p->window.rtt));
}

static double rtt_stddev(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, moments_stddev_ns(&p->window.rtt));
}

static double rtt_min(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, (double)p->window.rtt.min_ns);
}

static double rtt_max(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, (double)p->window.rtt.max_ns);
}

static double rtt_p50(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, p->window.p50_ns);
}

static double rtt_p90(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, p->window.p90_ns);
}

static double rtt_p99(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, p->window.p99_ns);
}

static double jitter(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, p->window.jitter_ns);
}

static double resolve(const void *row)
{
    const struct mesh_pair *p = row;

    return rtt_or_none(p, p->window.resolve_ns);
}

static const struct series_gauge pair_gauges[] = {
    {SERIES_GAUGE("prober_icmp_failed", NULL,
                  "Probed (agent, target) cells of the last window in which nothing was received."),
     SERIES_AS_IT_IS,
     {{"", failed}}},
    {SERIES_GAUGE(
         "prober_icmp_duration_seconds", "seconds",
         "Mean of the last window, by phase: of looking names up, and of the round trips."),
     SERIES_FROM_NS,
     {{"phase=\"resolve\"", resolve}, {"phase=\"rtt\"", rtt_mean}}},
    {SERIES_GAUGE("prober_icmp_packet_loss_rate", NULL,
                  "Loss of the last window in percent, 0 to 100: lost / (received + lost)."),
     SERIES_AS_IT_IS,
     {{"", loss_percent}}},
    {SERIES_GAUGE("prober_icmp_packet_loss_ratio", "ratio",
                  "Loss of the last window, 0 to 1: lost / (received + lost)."),
     SERIES_AS_IT_IS,
     {{"", loss_ratio}}},
    {SERIES_GAUGE("prober_icmp_jitter_stddev_seconds", "seconds",
                  "Standard deviation of the round-trip times of the last window."),
     SERIES_FROM_NS,
     {{"", rtt_stddev}}},
    {SERIES_GAUGE("prober_icmp_jitter_rfc3550_seconds", "seconds",
                  "Interarrival jitter as in RFC 3550, mean over the cells weighted by received."),
     SERIES_FROM_NS,
     {{"", jitter}}},
    {SERIES_GAUGE("prober_icmp_rtt_min_seconds", "seconds",
                  "Smallest round-trip time of the last window."),
     SERIES_FROM_NS,
     {{"", rtt_min}}},
    {SERIES_GAUGE("prober_icmp_rtt_max_seconds", "seconds",
                  "Greatest round-trip time of the last window."),
     SERIES_FROM_NS,
     {{"", rtt_max}}},
    {{"prober_icmp_rtt_quantile_seconds", METRIC_SUMMARY, "seconds",
      "Quantiles of the round-trip times of the last window."},
     SERIES_FROM_NS,
     {{"quantile=\"0.5\"", rtt_p50},
      {"quantile=\"0.9\"", rtt_p90},
      {"quantile=\"0.99\"", rtt_p99}}},
    {SERIES_GAUGE(
         "prober_icmp_window_age_seconds", "seconds",
         "Time since the last probe of the youngest window ended, when it was aggregated."),
     SERIES_FROM_NS,
     {{"", age}}},
    {SERIES_GAUGE("prober_icmp_window_cells", NULL,
                  "(agent, target) cells whose windows the pair's gauges were merged from."),
     SERIES_AS_IT_IS,
     {{"", cells}}},
};

static const struct metric_family rtt_histogram = {
    "prober_icmp_duration_seconds_total", METRIC_HISTOGRAM, "seconds",
    "Round-trip times of all packets received since the server's start."};

/* ---- rendering ---- */

static void pair_labels(const void *row, struct metric_label *out)
{
    const struct mesh_pair *p = row;

    out[0] = (struct metric_label){"source_region", p->source};
    out[1] = (struct metric_label){"target_region", p->target};
}

static bool has_gauges(const void *row)
{
    const struct mesh_pair *p = row;

    return p->has_gauges;
}

static void render_histogram(struct series_rows *rows, struct metrics_writer *w,
                             const struct mesh *mesh)
{
    metrics_family(w, &rtt_histogram);
    for (size_t i = 0; i < mesh->pair_count; i++) {
        const struct mesh_pair *p = &mesh->pairs[i];
        size_t len;
        const char *labels = series_labels(rows, i, "", &len);

        metrics_histogram_text(w, labels, len, histogram_bucket_bounds, HISTOGRAM_BUCKETS,
                               p->total_buckets, p->total_rtt_ns);
    }
}

static enum prober_error render_pairs(struct metrics_writer *w, const struct mesh *mesh)
{
    struct series_rows rows;
    enum prober_error err = series_rows_create(&rows, mesh->pairs, sizeof(*mesh->pairs),
                                               mesh->pair_count, 2, pair_labels);

    if (!err) {
        series_gauges(&rows, w, pair_gauges, ARRAY_LEN(pair_gauges), has_gauges);
        series_counters(&rows, w, pair_counters, ARRAY_LEN(pair_counters));
        render_histogram(&rows, w, mesh);
        err = series_rows_ok(&rows) ? PROBER_OK : PROBER_ERR_NOMEM;
    }
    series_rows_free(&rows);
    return err;
}

/* ---- the agents ---- */

struct alive {
    const char *region, *version;
    char ip[PROBER_ADDR_TEXT_MAX];
    bool alive;
    uint64_t first_seen_ns;
    uint32_t number;
};

/* By region and address; of those at one address the one to show comes first: alive before dead,
 * then the one that came last. */
static int compare_alive(const void *a, const void *b)
{
    const struct alive *x = a, *y = b;
    int order = strcmp(x->region, y->region);

    if (order == 0)
        order = strcmp(x->ip, y->ip);
    if (order == 0)
        order = (int)y->alive - (int)x->alive;
    if (order == 0)
        order = (y->first_seen_ns > x->first_seen_ns) - (y->first_seen_ns < x->first_seen_ns);
    return order ? order : (y->number > x->number) - (y->number < x->number);
}

static enum prober_error render_alive(struct metrics_writer *w, const struct directory *directory)
{
    static const struct metric_family family = SERIES_GAUGE(
        "prober_agent_is_alive", NULL, "1 while the agent is heard, 0 when it is gone.");
    size_t count = directory->agent_count;
    struct alive *agents = malloc((count ? count : 1) * sizeof(*agents));

    if (!agents)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct directory_agent *agent = &directory->agents[i];

        agents[i] = (struct alive){
            agent->region, agent->version, "", agent->alive, agent->first_seen_real_ns,
            agent->number};
        prober_addr_format(agent->address_count ? &agent->addresses[0] : &agent->observed,
                           agents[i].ip);
    }
    qsort(agents, count, sizeof(*agents), compare_alive);
    metrics_family(w, &family);
    for (size_t i = 0; i < count; i++) {
        const struct metric_label labels[] = {
            {"region", agents[i].region}, {"ip", agents[i].ip}, {"version", agents[i].version}};

        if (i == 0 || strcmp(agents[i].region, agents[i - 1].region) != 0 ||
            strcmp(agents[i].ip, agents[i - 1].ip) != 0)
            metrics_sample_u64(w, labels, ARRAY_LEN(labels), agents[i].alive);
    }
    free(agents);
    return PROBER_OK;
}

/* ---- the server ---- */

static void render_mesh(struct metrics_writer *w, const struct mesh *mesh)
{
    static const struct metric_family lag =
        SERIES_GAUGE("prober_server_report_lag_seconds", "seconds",
                     "Greatest age of a window when its report came, since the last aggregation.");

    for (size_t i = 0; i < ARRAY_LEN(mesh_counters); i++) {
        const struct series_counter *c = &mesh_counters[i];

        metrics_family(w, &c->family);
        for (size_t k = 0; k < ARRAY_LEN(c->series) && c->series[k].labels; k++)
            metrics_sample_text_u64(w, c->series[k].labels, strlen(c->series[k].labels),
                                    series_value(mesh, c->series[k].offset));
    }
    metrics_family(w, &lag);
    metrics_sample(w, NULL, 0, mesh->report_lag_seconds);
}

/* What ties the counters to what agents say was acknowledged under a boot. */
static void render_boot(struct metrics_writer *w, const struct mesh *mesh)
{
    static const struct metric_family family = {"prober_server_boot_info", METRIC_INFO, NULL,
                                                "The server's boot; a restart is another."};
    char text[PROBER_ID_TEXT_MAX];
    const struct metric_label label = {"server_boot", prober_id_format(&mesh->server_boot, text)};

    metrics_family(w, &family);
    metrics_sample_u64(w, &label, 1, 1);
}

static void render_one(struct metrics_writer *w, const struct metric_family *family, uint64_t value)
{
    metrics_family(w, family);
    metrics_sample_u64(w, NULL, 0, value);
}

static void render_settings(struct metrics_writer *w, const struct exposition_settings *settings)
{
    static const struct metric_family task =
        SERIES_GAUGE("prober_server_task_enabled", NULL, "1 when tasks are enabled.");
    static const struct metric_family self = SERIES_GAUGE("prober_server_probe_self_enabled", NULL,
                                                          "1 when regions also probe themselves.");

    render_one(w, &task, settings->task_enabled);
    render_one(w, &self, settings->probe_self_enabled);
}

static void render_health(struct metrics_writer *w, const struct exposition_health *health)
{
    static const struct metric_family failures = SERIES_COUNTER(
        "prober_server_aggregation_failures_total", "Aggregations given up for lack of memory.");
    static const struct metric_family size =
        SERIES_GAUGE("prober_server_scrape_size_bytes", "bytes",
                     "Size of the exposition before this one, uncompressed.");
    static const struct metric_family render_time =
        SERIES_GAUGE("prober_server_render_duration_seconds", "seconds",
                     "Time that rendering the exposition before this one took, in both formats.");
    static const struct metric_family collect_time =
        SERIES_GAUGE("prober_server_aggregation_duration_seconds", "seconds",
                     "Time that merging the shards took.");

    render_one(w, &failures, health->failures);
    metrics_family(w, &size);
    metrics_sample_u64(w, &(struct metric_label){"format", "prometheus"}, 1,
                       health->prometheus_bytes);
    metrics_sample_u64(w, &(struct metric_label){"format", "openmetrics"}, 1,
                       health->openmetrics_bytes);
    metrics_family(w, &render_time);
    metrics_sample_ns(w, NULL, 0, health->render_ns);
    metrics_family(w, &collect_time);
    metrics_sample_ns(w, NULL, 0, health->collect_ns);
}

enum prober_error exposition_render(struct strbuf *out, enum metrics_format format,
                                    const struct mesh *mesh, const struct directory *directory,
                                    const struct exposition_settings *settings,
                                    const struct exposition_health *health)
{
    struct metrics_writer w = {.out = out, .format = format};
    enum prober_error err = render_pairs(&w, mesh);

    if (!err)
        err = exposition_http(&w, mesh);
    if (!err)
        err = render_alive(&w, directory);
    if (err)
        return err;
    render_boot(&w, mesh);
    render_mesh(&w, mesh);
    render_settings(&w, settings);
    render_health(&w, health);
    if (settings->extra)
        settings->extra(settings->extra_context, &w);
    metrics_process(&w, "prober_server_build_info");
    metrics_end(&w);
    return strbuf_ok(out) ? PROBER_OK : PROBER_ERR_NOMEM;
}
