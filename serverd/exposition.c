#include "serverd/exposition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/array.h"

/* ---- counters: a place in a struct each ---- */

struct counter_series {
    const char *labels; /* further labels, or "" */
    size_t offset;      /* of a uint64_t in struct mesh_pair or struct mesh */
};

struct counter {
    struct metric_family family;
    bool only_when_seen; /* no series while all of it is 0: then 0 would claim to know */
    struct counter_series series[7]; /* ends with a NULL label */
};

#define PAIR(member) offsetof(struct mesh_pair, member)
#define MESH(member) offsetof(struct mesh, member)
#define COUNTER(name, help)                                                                        \
    {                                                                                              \
        name, METRIC_COUNTER, NULL, help                                                           \
    }
#define GAUGE(name, unit, help)                                                                    \
    {                                                                                              \
        name, METRIC_GAUGE, unit, help                                                             \
    }

static const struct counter pair_counters[] = {
    {COUNTER("prober_icmp_packets_sent_total", "Echo requests that the kernel took."),
     false,
     {{"", PAIR(total.sent)}}},
    {COUNTER("prober_icmp_packets_received_total",
             "Echo requests that were answered in time by a reply that matched in every respect."),
     false,
     {{"", PAIR(total.received)}}},
    {COUNTER("prober_icmp_packets_doubtful_total",
             "Of the received: during an episode in which other replies may have been missed."),
     false,
     {{"", PAIR(total.doubtful)}}},
    {COUNTER("prober_icmp_packets_lost_total",
             "Echo requests without an answer in time, by what is known of why."),
     false,
     {{"by=\"timeout\"", PAIR(total.lost_timeout)},
      {"by=\"unreachable\"", PAIR(total.lost_unreachable)},
      {"by=\"ttl\"", PAIR(total.lost_ttl)}}},
    {COUNTER("prober_icmp_packets_unknown_total",
             "Echo requests without an answer, where the agent could not have seen one."),
     false,
     {{"", PAIR(total.unknown)}}},
    {COUNTER("prober_icmp_packets_unsent_total", "Planned probes that were not sent, by reason."),
     false,
     {{"reason=\"local\"", PAIR(total.unsent_local)},
      {"reason=\"queue\"", PAIR(total.unsent_queue)},
      {"reason=\"late\"", PAIR(total.unsent_late)},
      {"reason=\"cap\"", PAIR(total.unsent_cap)},
      {"reason=\"name\"", PAIR(total.unsent_name)}}},
    {COUNTER("prober_icmp_packets_late_sent_total",
             "Of the sent: later than planned, by less than an interval."),
     false,
     {{"", PAIR(total.late_sent)}}},
    {COUNTER("prober_icmp_packets_duplicate_total",
             "Further replies to a probe that was already answered."),
     false,
     {{"", PAIR(total.duplicates)}}},
    {COUNTER("prober_icmp_replies_late_total", "Replies that came after the timeout."),
     false,
     {{"", PAIR(total.late_replies)}}},
    {COUNTER("prober_icmp_replies_bad_total",
             "Replies with a wrong token, slot, address or sequence."),
     false,
     {{"", PAIR(total.bad_replies)}}},
    {COUNTER("prober_icmp_replies_corrupt_total",
             "Replies with a wrong checksum or a damaged payload."),
     false,
     {{"", PAIR(total.corrupt_replies)}}},
    {COUNTER("prober_icmp_packets_arrived_total",
             "Echo requests of the source's agents that the target's agents saw arrive."),
     true,
     {{"", PAIR(arrived)}}},
    {COUNTER("prober_server_backfilled_packets_total",
             "Probes in reports that came too late for the other counters, by result."),
     false,
     {{"result=\"received\"", PAIR(backfilled.received)},
      {"result=\"timeout\"", PAIR(backfilled.lost_timeout)},
      {"result=\"unreachable\"", PAIR(backfilled.lost_unreachable)},
      {"result=\"ttl\"", PAIR(backfilled.lost_ttl)},
      {"result=\"unknown\"", PAIR(backfilled.unknown)}}},
};

static const struct counter mesh_counters[] = {
    {COUNTER("prober_server_receive_points", "Target results that were applied."),
     false,
     {{"prober_type=\"icmp\"", MESH(receive_points_icmp)}}},
    {COUNTER("prober_server_reports_total", "Reports of agents, by what became of them."),
     false,
     {{"outcome=\"applied\"", MESH(reports_applied)},
      {"outcome=\"duplicate\"", MESH(reports_duplicate)},
      {"outcome=\"backfilled\"", MESH(reports_backfilled)},
      {"outcome=\"unknown_table\"", MESH(reports_unknown_table)},
      {"outcome=\"invalid\"", MESH(reports_invalid)},
      {"outcome=\"full\"", MESH(reports_full)}}},
    {COUNTER("prober_server_reports_refused_total",
             "Reports that were refused unread, to be sent again."),
     false,
     {{"reason=\"queue_full\"", MESH(reports_busy)}}},
    {COUNTER("prober_server_arrivals_unassigned_total",
             "Echo requests that agents saw arrive of senders that are not registered."),
     false,
     {{"", MESH(arrivals_unknown)}}},
    {COUNTER("prober_server_aggregations_total", "Aggregations since the server's start."),
     false,
     {{"", MESH(number)}}},
    {GAUGE("prober_server_ingest_queue_depth", NULL,
           "Reports waiting in the longest ingest queue."),
     false,
     {{"", MESH(queue_depth_max)}}},
    {GAUGE("prober_server_ingest_cells", NULL, "(agent, target) cells held for the gauges."),
     false,
     {{"", MESH(cells)}}},
    {GAUGE("prober_server_ingest_agents", NULL, "Agents whose reports are held."),
     false,
     {{"", MESH(agents)}}},
    {GAUGE("prober_server_pairs", NULL, "Ordered pairs of regions that are shown."),
     false,
     {{"", MESH(pair_count)}}},
};

/* ---- gauges of a pair: a function each; NAN: no series ---- */

static double failed(const struct mesh_pair *p)
{
    return (double)p->window.failed_cells;
}

static double cells(const struct mesh_pair *p)
{
    return (double)p->window.cells;
}

static double age(const struct mesh_pair *p)
{
    return (double)p->age_ns;
}

static double loss_ratio(const struct mesh_pair *p)
{
    double ratio = icmp_totals_loss_ratio(&p->window.counts);

    return ratio < 0 ? NAN : ratio;
}

static double loss_percent(const struct mesh_pair *p)
{
    return 100 * loss_ratio(p);
}

static double rtt_or_none(const struct mesh_pair *p, double value)
{
    return p->window.rtt.count > 0 ? value : (double)NAN;
}

static double rtt_mean(const struct mesh_pair *p)
{
    return rtt_or_none(p, moments_mean_ns(&p->window.rtt));
}

static double rtt_stddev(const struct mesh_pair *p)
{
    return rtt_or_none(p, moments_stddev_ns(&p->window.rtt));
}

static double rtt_min(const struct mesh_pair *p)
{
    return rtt_or_none(p, (double)p->window.rtt.min_ns);
}

static double rtt_max(const struct mesh_pair *p)
{
    return rtt_or_none(p, (double)p->window.rtt.max_ns);
}

static double rtt_p50(const struct mesh_pair *p)
{
    return rtt_or_none(p, p->window.p50_ns);
}

static double rtt_p90(const struct mesh_pair *p)
{
    return rtt_or_none(p, p->window.p90_ns);
}

static double rtt_p99(const struct mesh_pair *p)
{
    return rtt_or_none(p, p->window.p99_ns);
}

static double jitter(const struct mesh_pair *p)
{
    return rtt_or_none(p, p->window.jitter_ns);
}

static double resolve(const struct mesh_pair *p)
{
    return rtt_or_none(p, p->window.resolve_ns);
}

enum gauge_scale { AS_IT_IS, FROM_NS };

struct pair_gauge {
    struct metric_family family;
    enum gauge_scale scale;
    struct {
        const char *labels;
        double (*value)(const struct mesh_pair *p);
    } series[4]; /* ends with a NULL label */
};

static const struct pair_gauge pair_gauges[] = {
    {GAUGE("prober_icmp_failed", NULL,
           "Probed (agent, target) cells of the last window in which nothing was received."),
     AS_IT_IS,
     {{"", failed}}},
    {GAUGE("prober_icmp_duration_seconds", "seconds",
           "Mean of the last window, by phase: of looking names up, and of the round trips."),
     FROM_NS,
     {{"phase=\"resolve\"", resolve}, {"phase=\"rtt\"", rtt_mean}}},
    {GAUGE("prober_icmp_packet_loss_rate", NULL,
           "Loss of the last window in percent, 0 to 100: lost / (received + lost)."),
     AS_IT_IS,
     {{"", loss_percent}}},
    {GAUGE("prober_icmp_packet_loss_ratio", "ratio",
           "Loss of the last window, 0 to 1: lost / (received + lost)."),
     AS_IT_IS,
     {{"", loss_ratio}}},
    {GAUGE("prober_icmp_jitter_stddev_seconds", "seconds",
           "Standard deviation of the round-trip times of the last window."),
     FROM_NS,
     {{"", rtt_stddev}}},
    {GAUGE("prober_icmp_jitter_rfc3550_seconds", "seconds",
           "Interarrival jitter as in RFC 3550, mean over the cells weighted by received."),
     FROM_NS,
     {{"", jitter}}},
    {GAUGE("prober_icmp_rtt_min_seconds", "seconds",
           "Smallest round-trip time of the last window."),
     FROM_NS,
     {{"", rtt_min}}},
    {GAUGE("prober_icmp_rtt_max_seconds", "seconds",
           "Greatest round-trip time of the last window."),
     FROM_NS,
     {{"", rtt_max}}},
    {{"prober_icmp_rtt_quantile_seconds", METRIC_SUMMARY, "seconds",
      "Quantiles of the round-trip times of the last window."},
     FROM_NS,
     {{"quantile=\"0.5\"", rtt_p50},
      {"quantile=\"0.9\"", rtt_p90},
      {"quantile=\"0.99\"", rtt_p99}}},
    {GAUGE("prober_icmp_window_age_seconds", "seconds",
           "Time since the last probe of the youngest window ended, when it was aggregated."),
     FROM_NS,
     {{"", age}}},
    {GAUGE("prober_icmp_window_cells", NULL,
           "(agent, target) cells whose windows the pair's gauges were merged from."),
     AS_IT_IS,
     {{"", cells}}},
};

static const struct metric_family rtt_histogram = {
    "prober_icmp_duration_seconds_total", METRIC_HISTOGRAM, "seconds",
    "Round-trip times of all packets received since the server's start."};

/* ---- rendering ---- */

struct span {
    size_t from, len;
};

struct render {
    struct metrics_writer writer;
    const struct mesh *mesh;
    struct strbuf labels;   /* of all pairs, one after the other */
    struct span *of_pair;   /* [mesh->pair_count], into labels */
    struct strbuf combined; /* further labels and those of a pair */
};

static enum prober_error render_labels(struct render *r)
{
    const struct mesh *mesh = r->mesh;

    r->of_pair = malloc((mesh->pair_count ? mesh->pair_count : 1) * sizeof(*r->of_pair));
    if (!r->of_pair)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < mesh->pair_count; i++) {
        const struct metric_label labels[] = {
            {"source_region", mesh->pairs[i].source},
            {"target_region", mesh->pairs[i].target},
        };
        size_t from = r->labels.len;

        metrics_labels(&r->labels, labels, ARRAY_LEN(labels));
        r->of_pair[i] = (struct span){from, r->labels.len - from};
    }
    return strbuf_ok(&r->labels) ? PROBER_OK : PROBER_ERR_NOMEM;
}

/* The text of a pair's labels, behind `further` ones. */
static const char *labels_of(struct render *r, size_t pair, const char *further, size_t *len)
{
    const struct span *span = &r->of_pair[pair];

    *len = span->len;
    if (!*further)
        return r->labels.bytes + span->from;
    strbuf_clear(&r->combined);
    strbuf_puts(&r->combined, further);
    strbuf_putc(&r->combined, ',');
    strbuf_put(&r->combined, r->labels.bytes + span->from, span->len);
    *len = r->combined.len;
    return r->combined.bytes ? r->combined.bytes : "";
}

static uint64_t counter_value(const void *base, const struct counter_series *series)
{
    uint64_t value;

    memcpy(&value, (const char *)base + series->offset, sizeof(value));
    return value;
}

static bool counter_is_seen(const void *base, const struct counter *counter)
{
    uint64_t sum = 0;

    for (const struct counter_series *s = counter->series; s->labels; s++)
        sum |= counter_value(base, s);
    return sum != 0;
}

static void render_pair_counters(struct render *r)
{
    for (const struct counter *c = pair_counters; c < pair_counters + ARRAY_LEN(pair_counters);
         c++) {
        metrics_family(&r->writer, &c->family);
        for (size_t i = 0; i < r->mesh->pair_count; i++) {
            if (c->only_when_seen && !counter_is_seen(&r->mesh->pairs[i], c))
                continue;
            for (const struct counter_series *s = c->series; s->labels; s++) {
                size_t len;
                const char *labels = labels_of(r, i, s->labels, &len);

                metrics_sample_text_u64(&r->writer, labels, len,
                                        counter_value(&r->mesh->pairs[i], s));
            }
        }
    }
}

static void render_pair_gauge(struct render *r, const struct pair_gauge *g, size_t pair)
{
    for (size_t i = 0; i < ARRAY_LEN(g->series) && g->series[i].labels; i++) {
        double value = g->series[i].value(&r->mesh->pairs[pair]);
        const char *labels;
        size_t len;

        if (isnan(value))
            continue;
        labels = labels_of(r, pair, g->series[i].labels, &len);
        if (g->scale == FROM_NS) /* a nanosecond is fine enough, and exact is quick to write */
            metrics_sample_text_ns(&r->writer, labels, len, (uint64_t)(value + 0.5));
        else
            metrics_sample_text(&r->writer, labels, len, value);
    }
}

static void render_pair_gauges(struct render *r)
{
    for (const struct pair_gauge *g = pair_gauges; g < pair_gauges + ARRAY_LEN(pair_gauges); g++) {
        metrics_family(&r->writer, &g->family);
        for (size_t i = 0; i < r->mesh->pair_count; i++)
            if (r->mesh->pairs[i].has_gauges)
                render_pair_gauge(r, g, i);
    }
}

static void render_histogram(struct render *r)
{
    metrics_family(&r->writer, &rtt_histogram);
    for (size_t i = 0; i < r->mesh->pair_count; i++) {
        const struct mesh_pair *p = &r->mesh->pairs[i];
        size_t len;
        const char *labels = labels_of(r, i, "", &len);

        metrics_histogram_text(&r->writer, labels, len, histogram_bucket_bounds, HISTOGRAM_BUCKETS,
                               p->total_buckets, p->total_rtt_ns);
    }
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

static enum prober_error render_alive(struct render *r, const struct directory *directory)
{
    static const struct metric_family family =
        GAUGE("prober_agent_is_alive", NULL, "1 while the agent is heard, 0 when it is gone.");
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
    metrics_family(&r->writer, &family);
    for (size_t i = 0; i < count; i++) {
        const struct metric_label labels[] = {
            {"region", agents[i].region}, {"ip", agents[i].ip}, {"version", agents[i].version}};

        if (i == 0 || strcmp(agents[i].region, agents[i - 1].region) != 0 ||
            strcmp(agents[i].ip, agents[i - 1].ip) != 0)
            metrics_sample_u64(&r->writer, labels, ARRAY_LEN(labels), agents[i].alive);
    }
    free(agents);
    return PROBER_OK;
}

/* ---- the server ---- */

static void render_mesh(struct render *r)
{
    static const struct metric_family lag =
        GAUGE("prober_server_report_lag_seconds", "seconds",
              "Greatest age of a window when its report came, since the last aggregation.");

    for (const struct counter *c = mesh_counters; c < mesh_counters + ARRAY_LEN(mesh_counters);
         c++) {
        metrics_family(&r->writer, &c->family);
        for (const struct counter_series *s = c->series; s->labels; s++)
            metrics_sample_text_u64(&r->writer, s->labels, strlen(s->labels),
                                    counter_value(r->mesh, s));
    }
    metrics_family(&r->writer, &lag);
    metrics_sample(&r->writer, NULL, 0, r->mesh->report_lag_seconds);
}

/* What ties the counters to what agents say was acknowledged under a boot. */
static void render_boot(struct render *r)
{
    static const struct metric_family family = {"prober_server_boot_info", METRIC_INFO, NULL,
                                                "The server's boot; a restart is another."};
    char text[PROBER_ID_TEXT_MAX];
    const struct metric_label label = {"server_boot",
                                       prober_id_format(&r->mesh->server_boot, text)};

    metrics_family(&r->writer, &family);
    metrics_sample_u64(&r->writer, &label, 1, 1);
}

static void render_one(struct render *r, const struct metric_family *family, uint64_t value)
{
    metrics_family(&r->writer, family);
    metrics_sample_u64(&r->writer, NULL, 0, value);
}

static void render_settings(struct render *r, const struct exposition_settings *settings)
{
    static const struct metric_family task =
        GAUGE("prober_server_task_enabled", NULL, "1 when tasks are enabled.");
    static const struct metric_family self =
        GAUGE("prober_server_probe_self_enabled", NULL, "1 when regions also probe themselves.");

    render_one(r, &task, settings->task_enabled);
    render_one(r, &self, settings->probe_self_enabled);
}

static void render_health(struct render *r, const struct exposition_health *health)
{
    static const struct metric_family failures = COUNTER(
        "prober_server_aggregation_failures_total", "Aggregations given up for lack of memory.");
    static const struct metric_family size =
        GAUGE("prober_server_scrape_size_bytes", "bytes",
              "Size of the exposition before this one, uncompressed.");
    static const struct metric_family render_time =
        GAUGE("prober_server_render_duration_seconds", "seconds",
              "Time that rendering the exposition before this one took, in both formats.");
    static const struct metric_family collect_time =
        GAUGE("prober_server_aggregation_duration_seconds", "seconds",
              "Time that merging the shards took.");

    render_one(r, &failures, health->failures);
    metrics_family(&r->writer, &size);
    metrics_sample_u64(&r->writer, &(struct metric_label){"format", "prometheus"}, 1,
                       health->prometheus_bytes);
    metrics_sample_u64(&r->writer, &(struct metric_label){"format", "openmetrics"}, 1,
                       health->openmetrics_bytes);
    metrics_family(&r->writer, &render_time);
    metrics_sample_ns(&r->writer, NULL, 0, health->render_ns);
    metrics_family(&r->writer, &collect_time);
    metrics_sample_ns(&r->writer, NULL, 0, health->collect_ns);
}

enum prober_error exposition_render(struct strbuf *out, enum metrics_format format,
                                    const struct mesh *mesh, const struct directory *directory,
                                    const struct exposition_settings *settings,
                                    const struct exposition_health *health)
{
    struct render r = {
        .writer = {.out = out, .format = format},
        .mesh = mesh,
        .labels = STRBUF_INIT,
        .combined = STRBUF_INIT,
    };
    enum prober_error err = render_labels(&r);

    if (err)
        goto out;
    render_pair_gauges(&r);
    render_pair_counters(&r);
    render_histogram(&r);
    err = render_alive(&r, directory);
    if (err)
        goto out;
    render_boot(&r);
    render_mesh(&r);
    render_settings(&r, settings);
    render_health(&r, health);
    if (settings->extra)
        settings->extra(settings->extra_context, &r.writer);
    metrics_process(&r.writer, "prober_server_build_info");
    metrics_end(&r.writer);
    if (!strbuf_ok(out) || !strbuf_ok(&r.combined))
        err = PROBER_ERR_NOMEM;
out:
    strbuf_free(&r.labels);
    strbuf_free(&r.combined);
    free(r.of_pair);
    return err;
}
