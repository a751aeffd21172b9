#include "serverd/series_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

#define LABELS_MAX 4

static const void *row_at(const struct series_rows *r, size_t row)
{
    return (const char *)r->rows + row * r->size;
}

enum prober_error series_rows_create(struct series_rows *out, const void *rows, size_t size,
                                     size_t count, size_t label_count,
                                     void (*labels_of)(const void *row, struct metric_label *out))
{
    *out = (struct series_rows){
        .rows = rows, .size = size, .count = count, .labels = STRBUF_INIT, .combined = STRBUF_INIT};
    out->spans = malloc((count ? count : 1) * sizeof(*out->spans));
    if (!out->spans)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct metric_label labels[LABELS_MAX];
        size_t from = out->labels.len;

        labels_of(row_at(out, i), labels);
        metrics_labels(&out->labels, labels, label_count);
        out->spans[i] = (struct series_span){from, out->labels.len - from};
    }
    return strbuf_ok(&out->labels) ? PROBER_OK : PROBER_ERR_NOMEM;
}

const char *series_labels(struct series_rows *r, size_t row, const char *further, size_t *len)
{
    const struct series_span *span = &r->spans[row];

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

uint64_t series_value(const void *base, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)base + offset, sizeof(value));
    return value;
}

static bool is_seen(const void *row, const struct series_counter *c)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ARRAY_LEN(c->series) && c->series[i].labels; i++)
        sum |= series_value(row, c->series[i].offset);
    return sum != 0;
}

void series_counters(struct series_rows *r, struct metrics_writer *w,
                     const struct series_counter *table, size_t count)
{
    for (const struct series_counter *c = table; c < table + count; c++) {
        metrics_family(w, &c->family);
        for (size_t row = 0; row < r->count; row++) {
            if (c->only_when_seen && !is_seen(row_at(r, row), c))
                continue;
            for (size_t i = 0; i < ARRAY_LEN(c->series) && c->series[i].labels; i++) {
                size_t len;
                const char *labels = series_labels(r, row, c->series[i].labels, &len);

                metrics_sample_text_u64(w, labels, len,
                                        series_value(row_at(r, row), c->series[i].offset));
            }
        }
    }
}

static void put_gauge(struct series_rows *r, struct metrics_writer *w, const struct series_gauge *g,
                      size_t row)
{
    for (size_t i = 0; i < ARRAY_LEN(g->series) && g->series[i].labels; i++) {
        double value = g->series[i].value(row_at(r, row));
        const char *labels;
        size_t len;

        if (isnan(value))
            continue;
        labels = series_labels(r, row, g->series[i].labels, &len);
        if (g->scale ==
            SERIES_FROM_NS) /* a nanosecond is fine enough, and exact is quick to write */
            metrics_sample_text_ns(w, labels, len, (uint64_t)(value + 0.5));
        else
            metrics_sample_text(w, labels, len, value);
    }
}

void series_gauges(struct series_rows *r, struct metrics_writer *w,
                   const struct series_gauge *table, size_t count, bool (*shown)(const void *row))
{
    for (const struct series_gauge *g = table; g < table + count; g++) {
        metrics_family(w, &g->family);
        for (size_t row = 0; row < r->count; row++)
            if (shown(row_at(r, row)))
                put_gauge(r, w, g, row);
    }
}

bool series_rows_ok(const struct series_rows *r)
{
    return strbuf_ok(&r->labels) && strbuf_ok(&r->combined);
}

void series_rows_free(struct series_rows *r)
{
    strbuf_free(&r->labels);
    strbuf_free(&r->combined);
    free(r->spans);
    r->spans = NULL;
}
