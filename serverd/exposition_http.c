#include "serverd/exposition_http.h"

#include <math.h>
#include <stdio.h>

#include "common/array.h"
#include "serverd/series_table.h"

#define LABEL_MAX 64

/* ---- counters ---- */

#define URL(member) offsetof(struct mesh_url, member)

static const struct series_counter url_counters[] = {
    {SERIES_COUNTER("prober_http_probes_total", "Probes of the URL that were made, by result."),
     false,
     {{"result=\"success\"", URL(total.ended[HTTP_SUCCEEDED])},
      {"result=\"failed\"", URL(total_failed)}}},
    {SERIES_COUNTER("prober_http_probes_unsent_total",
                    "Planned probes that were not made, by reason."),
     false,
     {{"reason=\"late\"", URL(total.unsent_late)},
      {"reason=\"local\"", URL(total.ended[HTTP_FAILED_LOCAL])}}},
    {SERIES_COUNTER("prober_server_backfilled_http_probes_total",
                    "Probes in reports that came too late for the other counters, by result."),
     true,
     {{"result=\"success\"", URL(backfilled.succeeded)},
      {"result=\"failed\"", URL(backfilled.failed)},
      {"result=\"unsent\"", URL(backfilled.unsent)}}},
};

/* ---- gauges: a function each; NAN: no series ---- */

static const struct mesh_url_window *window(const void *row)
{
    const struct mesh_url *url = row;

    return &url->window;
}

static double or_none(uint64_t value)
{
    return value ? (double)value : (double)NAN;
}

/* What is held + 1. */
static double less_one(uint64_t value)
{
    return value ? (double)(value - 1) : (double)NAN;
}

static double of_success(const void *row, double value)
{
    return window(row)->ended[HTTP_SUCCEEDED] ? value : (double)NAN;
}

static double resolve(const void *row)
{
    return of_success(row, window(row)->phases_ns[HTTP_PHASE_RESOLVE]);
}

static double connecting(const void *row)
{
    return of_success(row, window(row)->phases_ns[HTTP_PHASE_CONNECT]);
}

static double tls(const void *row)
{
    return of_success(row, window(row)->phases_ns[HTTP_PHASE_TLS]);
}

static double processing(const void *row)
{
    return of_success(row, window(row)->phases_ns[HTTP_PHASE_PROCESSING]);
}

static double transfer(const void *row)
{
    return of_success(row, window(row)->phases_ns[HTTP_PHASE_TRANSFER]);
}

static double chain_expiry(const void *row)
{
    return or_none(window(row)->last_chain_expiry);
}

/* 0 is what those who are woken by "not 200" know for "no answer". */
static double status_code(const void *row)
{
    return window(row)->agents > 0 ? window(row)->status : NAN;
}

static double version(const void *row)
{
    return or_none(window(row)->version) / 10;
}

static double redirects(const void *row)
{
    return less_one(window(row)->redirects);
}

static double content_length(const void *row)
{
    return less_one(window(row)->content_length);
}

static double body_length(const void *row)
{
    return less_one(window(row)->body_length);
}

static double dns_answers(const void *row)
{
    return or_none(window(row)->dns_answers);
}

static double agents(const void *row)
{
    return window(row)->agents;
}

static double age(const void *row)
{
    const struct mesh_url *url = row;

    return (double)url->age_ns;
}

static const struct series_gauge url_gauges[] = {
    {SERIES_GAUGE("prober_http_duration_seconds", "seconds",
                  "Mean time of each phase over the last probes that succeeded."),
     SERIES_FROM_NS,
     {{"phase=\"resolve\"", resolve},
      {"phase=\"connect\"", connecting},
      {"phase=\"tls\"", tls},
      {"phase=\"processing\"", processing},
      {"phase=\"transfer\"", transfer}}},
    {SERIES_GAUGE("prober_http_status_code", NULL,
                  "Status code that most of the agents were given; 0: none had an answer."),
     SERIES_AS_IT_IS,
     {{"", status_code}}},
    {SERIES_GAUGE("prober_http_ssl_last_chain_expiry_timestamp_seconds", "seconds",
                  "Earliest expiry in the chains that were verified, as Unix time."),
     SERIES_AS_IT_IS,
     {{"", chain_expiry}}},
    {SERIES_GAUGE("prober_http_version", NULL, "Version of HTTP of the last answer: 1.1, 2."),
     SERIES_AS_IT_IS,
     {{"", version}}},
    {SERIES_GAUGE("prober_http_redirects", NULL, "Answers of a probe that redirect."),
     SERIES_AS_IT_IS,
     {{"", redirects}}},
    {SERIES_GAUGE("prober_http_content_length_bytes", "bytes",
                  "Length of the body as the last answer says."),
     SERIES_AS_IT_IS,
     {{"", content_length}}},
    {SERIES_GAUGE("prober_http_uncompressed_body_length_bytes", "bytes",
                  "Length of the body that came, decoded."),
     SERIES_AS_IT_IS,
     {{"", body_length}}},
    {SERIES_GAUGE("prober_http_dns_answers", NULL, "Addresses that the target's name has."),
     SERIES_AS_IT_IS,
     {{"", dns_answers}}},
    {SERIES_GAUGE("prober_http_agents", NULL,
                  "Agents whose last probes the gauges of the URL were merged from."),
     SERIES_AS_IT_IS,
     {{"", agents}}},
    {SERIES_GAUGE("prober_http_probe_age_seconds", "seconds",
                  "Time since the youngest probe ended, when it was aggregated."),
     SERIES_FROM_NS,
     {{"", age}}},
};

/* ---- series whose labels say what was seen ---- */

#define REASON(name, text) [HTTP_FAILED_##name] = "failed_reason=\"" text "\"",
static const char *const reason_labels[HTTP_TOTALS_REASONS] = {
    [HTTP_SUCCEEDED] = "failed_reason=\"success\"",
    HTTP_REASONS(REASON)[HTTP_REASON_UNKNOWN] = "failed_reason=\"unknown\"",
};
#undef REASON

struct render {
    struct series_rows rows;
    struct metrics_writer *w;
    const struct mesh *mesh;
};

static void put_u64(struct render *r, size_t url, const char *further, uint64_t value)
{
    size_t len;
    const char *labels = series_labels(&r->rows, url, further, &len);

    metrics_sample_text_u64(r->w, labels, len, value);
}

/* Either the reasons that there are, or that there is none. */
static void render_failed(struct render *r)
{
    static const struct metric_family family =
        SERIES_GAUGE("prober_http_failed", NULL,
                     "Agents whose last probe failed, by reason; 0 of \"success\" when none did.");

    metrics_family(r->w, &family);
    for (size_t i = 0; i < r->mesh->url_count; i++) {
        const struct mesh_url *url = &r->mesh->urls[i];
        bool failed = false;

        for (unsigned reason = 1; url->has_gauges && reason < HTTP_TOTALS_REASONS; reason++) {
            if (url->window.ended[reason] == 0)
                continue;
            failed = true;
            put_u64(r, i, reason_labels[reason], url->window.ended[reason]);
        }
        if (url->has_gauges && !failed)
            put_u64(r, i, reason_labels[HTTP_SUCCEEDED], 0);
    }
}

static void render_failures(struct render *r)
{
    static const struct metric_family family =
        SERIES_COUNTER("prober_http_failures_total", "Probes of the URL that failed, by reason.");

    metrics_family(r->w, &family);
    for (size_t i = 0; i < r->mesh->url_count; i++) {
        const struct http_totals *total = &r->mesh->urls[i].total;

        for (unsigned reason = 0; reason < HTTP_TOTALS_REASONS; reason++)
            if (http_totals_is_failure(reason) && total->ended[reason] > 0)
                put_u64(r, i, reason_labels[reason], total->ended[reason]);
    }
}

static void put_tls(struct render *r, size_t url, uint32_t tls_version, uint64_t value)
{
    char further[LABEL_MAX];

    snprintf(further, sizeof(further), "version=\"%s\"", mesh_tls_version_text(tls_version));
    put_u64(r, url, further, value);
}

static void render_tls(struct render *r)
{
    static const struct metric_family expiry =
        SERIES_GAUGE("prober_http_ssl_earliest_cert_expiry", NULL,
                     "Earliest expiry of the certificates that the server sent, as Unix time.");
    static const struct metric_family info = {"prober_http_tls_version_info", METRIC_INFO, NULL,
                                              "Version of TLS of the last answer; always 1."};

    metrics_family(r->w, &expiry);
    for (size_t i = 0; i < r->mesh->url_count; i++) {
        const struct mesh_url *url = &r->mesh->urls[i];

        if (url->has_gauges && url->window.earliest_cert_expiry)
            put_tls(r, i, url->window.earliest_tls_version, url->window.earliest_cert_expiry);
    }
    metrics_family(r->w, &info);
    for (size_t i = 0; i < r->mesh->url_count; i++) {
        const struct mesh_url *url = &r->mesh->urls[i];

        if (url->has_gauges && url->window.tls_version)
            put_tls(r, i, url->window.tls_version, 1);
    }
}

static void render_histogram(struct render *r)
{
    static const struct metric_family family = {
        "prober_http_probe_duration_seconds", METRIC_HISTOGRAM, "seconds",
        "Whole probes that succeeded since the server's start."};

    metrics_family(r->w, &family);
    for (size_t i = 0; i < r->mesh->url_count; i++) {
        const struct mesh_url *url = &r->mesh->urls[i];
        size_t len;
        const char *labels = series_labels(&r->rows, i, "", &len);

        metrics_histogram_text(r->w, labels, len, mesh_url_bounds, MESH_URL_BUCKETS,
                               url->total_buckets, url->total_duration_ns);
    }
}

/* ---- all of it ---- */

static void url_labels(const void *row, struct metric_label *out)
{
    const struct mesh_url *url = row;

    out[0] = (struct metric_label){"source_region", url->source};
    out[1] = (struct metric_label){"target_region", url->region};
    out[2] = (struct metric_label){"target_addr", url->target};
}

static bool has_gauges(const void *row)
{
    const struct mesh_url *url = row;

    return url->has_gauges;
}

enum prober_error exposition_http(struct metrics_writer *w, const struct mesh *mesh)
{
    struct render r = {.w = w, .mesh = mesh};
    enum prober_error err = series_rows_create(&r.rows, mesh->urls, sizeof(*mesh->urls),
                                               mesh->url_count, 3, url_labels);

    if (!err) {
        render_failed(&r);
        series_gauges(&r.rows, w, url_gauges, ARRAY_LEN(url_gauges), has_gauges);
        render_tls(&r);
        series_counters(&r.rows, w, url_counters, ARRAY_LEN(url_counters));
        render_failures(&r);
        render_histogram(&r);
        err = series_rows_ok(&r.rows) ? PROBER_OK : PROBER_ERR_NOMEM;
    }
    series_rows_free(&r.rows);
    return err;
}
