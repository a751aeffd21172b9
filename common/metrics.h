/*
 * metrics - writes metric families in the Prometheus text and OpenMetrics formats.
 *
 * Purpose    One description of a family serves both formats, so both yield the same series.
 * Threads    One writer belongs to one thread.
 * Ownership  Borrows the strbufs it writes to.
 * Source     Prometheus text exposition format 0.0.4; OpenMetrics 1.0.0.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/strbuf.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_INFO, METRIC_SUMMARY };
enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* A family. `name` is the full name as Prometheus stores it. In OpenMetrics a counter's name loses
 * its "_total" in the metadata; a counter whose name does not end in "_total" (one of the
 * original's) is declared "unknown" there, so that its series keep their name. An INFO family is
 * a gauge of value 1 in the Prometheus format. A SUMMARY has samples with the label "quantile". */
struct metric_family {
    const char *name;
    enum metric_type type;
    const char *unit; /* NULL, or "seconds", "bytes", "ratio": the suffix of the name */
    const char *help;
};

struct metric_label {
    const char *name;
    const char *value; /* any UTF-8; escaped on writing */
};

struct metrics_writer {
    struct strbuf *out;
    enum metrics_format format;
    const struct metric_family *family;
};

/* Starts a family: writes HELP, TYPE (and UNIT). All its series must follow before the next. */
void metrics_family(struct metrics_writer *w, const struct metric_family *family);
/* One series. labels[count]. */
void metrics_sample(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                    double value);
void metrics_sample_u64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                        uint64_t value);
/* One series whose value is ns nanoseconds, written as seconds, exactly. */
void metrics_sample_ns(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                       uint64_t ns);
/* A family of one series without labels. */
void metrics_one(struct metrics_writer *w, const char *name, enum metric_type type,
                 const char *help, uint64_t value);
/* A family whose series differ in one label: values[count], each with its number. */
void metrics_by(struct metrics_writer *w, const struct metric_family *family, const char *label,
                const char *const *values, const uint64_t *numbers, size_t count);
/* A histogram: bounds[n] ascending upper bounds in seconds as texts ("5e-05"), cumulative[n + 1]
 * counts (the last is +Inf = count), sum in ns. */
void metrics_histogram(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                       const char *const *bounds, size_t n, const uint64_t *cumulative,
                       uint64_t sum_ns);
/* Writes already formatted and escaped labels text ('a="x",b="y"'), for families of many series
 * whose labels are the same: render the labels once with metrics_labels, then use these. */
void metrics_labels(struct strbuf *out, const struct metric_label *labels, size_t count);
void metrics_sample_text(struct metrics_writer *w, const char *labels, size_t len, double value);
void metrics_sample_text_u64(struct metrics_writer *w, const char *labels, size_t len,
                             uint64_t value);
void metrics_sample_text_ns(struct metrics_writer *w, const char *labels, size_t len, uint64_t ns);
void metrics_histogram_text(struct metrics_writer *w, const char *labels, size_t len,
                            const char *const *bounds, size_t n, const uint64_t *cumulative,
                            uint64_t sum_ns);
/* Ends the exposition ("# EOF" in OpenMetrics). */
void metrics_end(struct metrics_writer *w);
/* The build-info, process CPU, memory, fds and start-time families that every daemon has;
 * `build_info` names the first: "prober_agent_build_info". */
void metrics_process(struct metrics_writer *w, const char *build_info);

/* The Content-Type of a format. */
const char *metrics_content_type(enum metrics_format format);
/* The format that an Accept header asks for (NULL: none): OpenMetrics when it is named there with
 * at least the weight of text/plain. */
enum metrics_format metrics_negotiate(const char *accept);

#endif
