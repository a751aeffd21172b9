/*
 * series_table - families whose series are those of many rows (pairs of regions, URLs), as tables.
 *
 * Purpose    The labels of a row are written once and used for all its series; which families there
 *            are, and where in a row a value lies, is said by tables of the caller's.
 * Threads    One thread at a time.
 * Ownership  Borrows the rows and the tables; owns the labels.
 */
#ifndef SERVERD_SERIES_TABLE_H
#define SERVERD_SERIES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"
#include "common/strbuf.h"

/* For the `family` of a table's line. */
#define SERIES_COUNTER(name, help)                                                                 \
    {                                                                                              \
        name, METRIC_COUNTER, NULL, help                                                           \
    }
#define SERIES_GAUGE(name, unit, help)                                                             \
    {                                                                                              \
        name, METRIC_GAUGE, unit, help                                                             \
    }

struct series_counter {
    struct metric_family family;
    bool only_when_seen; /* no series while all of it is 0: then 0 would claim to know, or be one
                            of many that say nothing */
    struct {
        const char *labels; /* further labels, or ""; NULL ends the list */
        size_t offset;      /* of a uint64_t in the row */
    } series[7];
};

enum series_scale { SERIES_AS_IT_IS, SERIES_FROM_NS };

struct series_gauge {
    struct metric_family family;
    enum series_scale scale;
    struct {
        const char *labels;               /* as above */
        double (*value)(const void *row); /* NAN: no series */
    } series[6];
};

struct series_span {
    size_t from, len;
};

struct series_rows {
    const void *rows; /* [count], each of `size` bytes */
    size_t size, count;
    struct strbuf labels;      /* of all rows, one after the other */
    struct series_span *spans; /* [count], into labels */
    struct strbuf combined;    /* further labels and those of a row */
};

/* Writes the labels of all rows: labels_of(row, out) fills out[label_count].
 * Errors: PROBER_ERR_NOMEM; the rows must be freed all the same. */
enum prober_error series_rows_create(struct series_rows *out, const void *rows, size_t size,
                                     size_t count, size_t label_count,
                                     void (*labels_of)(const void *row, struct metric_label *out));
/* The text of a row's labels, behind `further` ones ("" for none); valid until the next call. */
const char *series_labels(struct series_rows *r, size_t row, const char *further, size_t *len);
/* Write families: of all rows, or of those for which `shown` holds. */
void series_counters(struct series_rows *r, struct metrics_writer *w,
                     const struct series_counter *table, size_t count);
void series_gauges(struct series_rows *r, struct metrics_writer *w,
                   const struct series_gauge *table, size_t count, bool (*shown)(const void *row));
/* True unless memory ran out on the way. */
bool series_rows_ok(const struct series_rows *r);
void series_rows_free(struct series_rows *r);

/* The counter's value at `offset` of `base`. */
uint64_t series_value(const void *base, size_t offset);

#endif
