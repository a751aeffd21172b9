#include "common/metrics.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/process.h"
#include "common/version.h"

static const char *const prometheus_types[] = {[METRIC_GAUGE] = "gauge",
                                               [METRIC_COUNTER] = "counter",
                                               [METRIC_HISTOGRAM] = "histogram",
                                               [METRIC_INFO] = "gauge",
                                               [METRIC_SUMMARY] = "summary"};
static const char *const openmetrics_types[] = {[METRIC_GAUGE] = "gauge",
                                                [METRIC_COUNTER] = "counter",
                                                [METRIC_HISTOGRAM] = "histogram",
                                                [METRIC_INFO] = "info",
                                                [METRIC_SUMMARY] = "summary"};

/* What OpenMetrics takes off the sample's name to name the family; a name without it cannot have
 * that type there. */
static const char *const openmetrics_suffixes[] = {[METRIC_GAUGE] = "",
                                                   [METRIC_COUNTER] = "_total",
                                                   [METRIC_HISTOGRAM] = "",
                                                   [METRIC_INFO] = "_info",
                                                   [METRIC_SUMMARY] = ""};

static bool ends_with(const char *text, size_t len, const char *suffix)
{
    size_t suffix_len = strlen(suffix);

    return len > suffix_len && memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

/* Appends text with the characters of `escaped` as a backslash and one more: a newline as "\n". */
static void put_escaped(struct strbuf *out, const char *text, const char *escaped)
{
    for (;;) {
        size_t plain = strcspn(text, escaped);

        strbuf_put(out, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        strbuf_putc(out, '\\');
        strbuf_putc(out, *text == '\n' ? 'n' : *text);
        text++;
    }
}

static void put_metadata(struct metrics_writer *w, const char *keyword, size_t name_len,
                         const char *text)
{
    strbuf_puts(w->out, "# ");
    strbuf_puts(w->out, keyword);
    strbuf_putc(w->out, ' ');
    strbuf_put(w->out, w->family->name, name_len);
    strbuf_putc(w->out, ' ');
    put_escaped(w->out, text, w->format == METRICS_OPENMETRICS ? "\\\n\"" : "\\\n");
    strbuf_putc(w->out, '\n');
}

void metrics_family(struct metrics_writer *w, const struct metric_family *family)
{
    size_t len = strlen(family->name);

    w->family = family;
    if (w->format == METRICS_PROMETHEUS) {
        put_metadata(w, "HELP", len, family->help);
        put_metadata(w, "TYPE", len, prometheus_types[family->type]);
        return;
    }
    if (ends_with(family->name, len, openmetrics_suffixes[family->type])) {
        len -= strlen(openmetrics_suffixes[family->type]);
        put_metadata(w, "TYPE", len, openmetrics_types[family->type]);
    } else {
        put_metadata(w, "TYPE", len, "unknown");
    }
    if (family->unit && ends_with(family->name, len, family->unit))
        put_metadata(w, "UNIT", len, family->unit);
    put_metadata(w, "HELP", len, family->help);
}

void metrics_labels(struct strbuf *out, const struct metric_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            strbuf_putc(out, ',');
        strbuf_puts(out, labels[i].name);
        strbuf_put(out, "=\"", 2);
        put_escaped(out, labels[i].value, "\\\n\"");
        strbuf_putc(out, '"');
    }
}

/* Appends a sample but for its value: name, suffix, labels and the blank. */
static void put_series_text(struct metrics_writer *w, const char *labels, size_t len)
{
    strbuf_puts(w->out, w->family->name);
    if (len) {
        strbuf_putc(w->out, '{');
        strbuf_put(w->out, labels, len);
        strbuf_putc(w->out, '}');
    }
    strbuf_putc(w->out, ' ');
}

static void put_series(struct metrics_writer *w, const struct metric_label *labels, size_t count)
{
    strbuf_puts(w->out, w->family->name);
    if (count) {
        strbuf_putc(w->out, '{');
        metrics_labels(w->out, labels, count);
        strbuf_putc(w->out, '}');
    }
    strbuf_putc(w->out, ' ');
}

void metrics_sample(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                    double value)
{
    put_series(w, labels, count);
    strbuf_put_double(w->out, value);
    strbuf_putc(w->out, '\n');
}

void metrics_sample_u64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                        uint64_t value)
{
    put_series(w, labels, count);
    strbuf_put_u64(w->out, value);
    strbuf_putc(w->out, '\n');
}

void metrics_sample_ns(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                       uint64_t ns)
{
    put_series(w, labels, count);
    strbuf_put_seconds(w->out, ns);
    strbuf_putc(w->out, '\n');
}

void metrics_sample_text(struct metrics_writer *w, const char *labels, size_t len, double value)
{
    put_series_text(w, labels, len);
    strbuf_put_double(w->out, value);
    strbuf_putc(w->out, '\n');
}

void metrics_sample_text_u64(struct metrics_writer *w, const char *labels, size_t len,
                             uint64_t value)
{
    put_series_text(w, labels, len);
    strbuf_put_u64(w->out, value);
    strbuf_putc(w->out, '\n');
}

void metrics_sample_text_ns(struct metrics_writer *w, const char *labels, size_t len, uint64_t ns)
{
    put_series_text(w, labels, len);
    strbuf_put_seconds(w->out, ns);
    strbuf_putc(w->out, '\n');
}

/* A line of a histogram up to its value; `bound` NULL: without the label le. */
static void put_histogram_line(struct metrics_writer *w, const char *suffix, const char *labels,
                               size_t len, const char *bound)
{
    strbuf_puts(w->out, w->family->name);
    strbuf_puts(w->out, suffix);
    if (len || bound) {
        strbuf_putc(w->out, '{');
        strbuf_put(w->out, labels, len);
    }
    if (bound) {
        strbuf_puts(w->out, len ? ",le=\"" : "le=\"");
        strbuf_puts(w->out, bound);
        strbuf_putc(w->out, '"');
    }
    if (len || bound)
        strbuf_putc(w->out, '}');
    strbuf_putc(w->out, ' ');
}

void metrics_histogram_text(struct metrics_writer *w, const char *labels, size_t len,
                            const char *const *bounds, size_t n, const uint64_t *cumulative,
                            uint64_t sum_ns)
{
    for (size_t i = 0; i <= n; i++) {
        put_histogram_line(w, "_bucket", labels, len, i < n ? bounds[i] : "+Inf");
        strbuf_put_u64(w->out, cumulative[i]);
        strbuf_putc(w->out, '\n');
    }
    put_histogram_line(w, "_sum", labels, len, NULL);
    strbuf_put_seconds(w->out, sum_ns);
    strbuf_putc(w->out, '\n');
    put_histogram_line(w, "_count", labels, len, NULL);
    strbuf_put_u64(w->out, cumulative[n]);
    strbuf_putc(w->out, '\n');
}

void metrics_one(struct metrics_writer *w, const char *name, enum metric_type type,
                 const char *help, uint64_t value)
{
    const struct metric_family family = {name, type, NULL, help};

    metrics_family(w, &family);
    metrics_sample_u64(w, NULL, 0, value);
}

void metrics_by(struct metrics_writer *w, const struct metric_family *family, const char *label,
                const char *const *values, const uint64_t *numbers, size_t count)
{
    metrics_family(w, family);
    for (size_t i = 0; i < count; i++) {
        const struct metric_label l = {label, values[i]};

        metrics_sample_u64(w, &l, 1, numbers[i]);
    }
}

void metrics_histogram(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                       const char *const *bounds, size_t n, const uint64_t *cumulative,
                       uint64_t sum_ns)
{
    struct strbuf text = STRBUF_INIT;

    metrics_labels(&text, labels, count);
    if (strbuf_ok(&text))
        metrics_histogram_text(w, text.bytes, text.len, bounds, n, cumulative, sum_ns);
    else
        w->out->failed = true;
    strbuf_free(&text);
}

void metrics_end(struct metrics_writer *w)
{
    if (w->format == METRICS_OPENMETRICS)
        strbuf_puts(w->out, "# EOF\n");
}

static void put_gauge(struct metrics_writer *w, const char *name, const char *unit,
                      const char *help, uint64_t value)
{
    const struct metric_family family = {name, METRIC_GAUGE, unit, help};

    metrics_family(w, &family);
    metrics_sample_u64(w, NULL, 0, value);
}

void metrics_process(struct metrics_writer *w, const char *build_info)
{
    static const struct metric_family cpu = {"process_cpu_seconds_total", METRIC_COUNTER, "seconds",
                                             "User and system CPU time of this process."};
    static const struct metric_family start = {"process_start_time_seconds", METRIC_GAUGE,
                                               "seconds",
                                               "When this process started, as Unix time."};
    static const struct metric_label labels[] = {
        {"version", PROBER_VERSION},
#ifdef PROBER_REVISION
        {"revision", PROBER_REVISION},
#endif
    };
    const struct metric_family build = {build_info, METRIC_INFO, NULL,
                                        "What this program was built from; always 1."};
    struct process_usage usage;

    metrics_family(w, &build);
    metrics_sample_u64(w, labels, ARRAY_LEN(labels), 1);
    memset(&usage, 0, sizeof(usage));
    if (process_usage_read(&usage))
        return;
    metrics_family(w, &cpu);
    metrics_sample(w, NULL, 0, usage.cpu_seconds);
    put_gauge(w, "process_resident_memory_bytes", "bytes", "Resident memory of this process.",
              usage.resident_bytes);
    put_gauge(w, "process_virtual_memory_bytes", "bytes", "Virtual memory of this process.",
              usage.virtual_bytes);
    put_gauge(w, "process_open_fds", NULL, "Open file descriptors of this process.",
              usage.open_fds);
    put_gauge(w, "process_max_fds", NULL, "How many file descriptors this process may open.",
              usage.max_fds);
    metrics_family(w, &start);
    metrics_sample(w, NULL, 0, usage.start_time_seconds);
    put_gauge(w, "process_threads", NULL, "Threads of this process.", usage.threads);
}

/* ---- content negotiation ---- */

#define OPENMETRICS "application/openmetrics-text"
#define PLAIN "text/plain"

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                                         : PLAIN "; version=0.0.4; charset=utf-8";
}

/* The weight of a media range's parameters, which start at `at` (";version=1.0.0;q=0.5"). */
static double weight_in(const char *at, const char *end)
{
    while (at < end && *at == ';') {
        at++;
        at += strspn(at, " \t");
        if (strncasecmp(at, "q=", 2) == 0)
            return strtod(at + 2, NULL);
        at += strcspn(at, ";,");
    }
    return 1;
}

/* The weight that an Accept header gives to a media type named in it; 0 when it is not (RFC 9110,
 * section 12.5.1). */
static double weight_of(const char *accept, const char *type)
{
    size_t len = strlen(type);

    for (const char *range = accept; *range; range += *range == ',') {
        const char *end = range + strcspn(range, ",");

        range += strspn(range, " \t");
        if (strncasecmp(range, type, len) == 0) {
            const char *parameters = range + len + strspn(range + len, " \t");

            if (*parameters == ';' || parameters == end)
                return weight_in(parameters, end);
        }
        range = end;
    }
    return 0;
}

enum metrics_format metrics_negotiate(const char *accept)
{
    double open = accept ? weight_of(accept, OPENMETRICS) : 0;

    return open > 0 && open >= weight_of(accept, PLAIN) ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
}
