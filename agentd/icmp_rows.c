#include "agentd/icmp_rows.h"

#include <stdlib.h>

#include "common/array.h"

/* The columns of 64 bits. */
#define ICMP_ROWS_WIDE(X)                                                                          \
    X(rtt_sum_ns)                                                                                  \
    X(rtt_square_low)                                                                              \
    X(rtt_square_high)                                                                             \
    X(rtt_min_ns)                                                                                  \
    X(rtt_max_ns)                                                                                  \
    X(jitter_ns)                                                                                   \
    X(resolve_ns)

struct icmp_rows {
    uint32_t window; /* of the rows */
    size_t rows, bins, arrivals;
    struct icmp_totals totals;
    struct target_name *names[BATCH_ROWS_MAX];
#define ROWS_COUNT(name, help) uint32_t name[BATCH_ROWS_MAX];
    ICMP_COUNTS(ROWS_COUNT)
#undef ROWS_COUNT
#define ROWS_WIDE(name) uint64_t name[BATCH_ROWS_MAX];
    ICMP_ROWS_WIDE(ROWS_WIDE)
#undef ROWS_WIDE
    uint32_t histogram_bins[BATCH_ROWS_MAX];
    uint32_t bin_step[ICMP_ROWS_BINS_MAX];
    uint32_t bin_count[ICMP_ROWS_BINS_MAX];
    struct icmp_arrival arrival[WIRE_ARRIVALS_MAX];
    uint32_t sender[WIRE_ARRIVALS_MAX], window_of[WIRE_ARRIVALS_MAX], count[WIRE_ARRIVALS_MAX];
};

enum prober_error icmp_rows_create(struct icmp_rows **out)
{
    struct icmp_rows *r = calloc(1, sizeof(*r));

    if (!r)
        return PROBER_ERR_NOMEM;
    *out = r;
    return PROBER_OK;
}

static void add_bins(struct icmp_rows *r, const struct icmp_window *w)
{
    uint32_t previous = 0;

    for (size_t i = 0; i < w->pair_count; i++) {
        r->bin_step[r->bins] = w->pairs[i].bin - previous;
        r->bin_count[r->bins] = w->pairs[i].count;
        previous = w->pairs[i].bin;
        r->bins++;
    }
    r->histogram_bins[r->rows] = (uint32_t)w->pair_count;
}

enum prober_error icmp_rows_add(struct icmp_rows *r, struct target_name *name,
                                const struct icmp_window *w, uint64_t resolve_ns)
{
    size_t row = r->rows;
    bool heard = w->rtt.count > 0;

    if (row == BATCH_ROWS_MAX || r->bins + w->pair_count > ICMP_ROWS_BINS_MAX ||
        (row > 0 && r->window != w->number))
        return PROBER_ERR_FULL;
#define ADD_COUNT(member, help) r->member[row] = w->counts.member;
    ICMP_COUNTS(ADD_COUNT)
#undef ADD_COUNT
    r->rtt_sum_ns[row] = w->rtt.sum_ns;
    r->rtt_square_low[row] = (uint64_t)w->rtt.square_ns2;
    r->rtt_square_high[row] = (uint64_t)(w->rtt.square_ns2 >> 64);
    r->rtt_min_ns[row] = heard ? w->rtt.min_ns : 0;
    r->rtt_max_ns[row] = heard ? w->rtt.max_ns : 0;
    r->jitter_ns[row] = w->jitter_ns;
    r->resolve_ns[row] = resolve_ns;
    add_bins(r, w);
    if (!name->control)
        icmp_totals_add(&r->totals, &w->counts);
    r->names[row] = target_name_get(name);
    r->window = w->number;
    r->rows++;
    return PROBER_OK;
}

struct icmp_arrival *icmp_rows_arrivals(struct icmp_rows *r, size_t *max)
{
    *max = WIRE_ARRIVALS_MAX - r->arrivals;
    return r->arrival + r->arrivals;
}

void icmp_rows_add_arrivals(struct icmp_rows *r, size_t count)
{
    for (size_t i = r->arrivals; i < r->arrivals + count; i++) {
        r->sender[i] = r->arrival[i].sender;
        r->window_of[i] = r->arrival[i].window;
        r->count[i] = r->arrival[i].count;
    }
    r->arrivals += count;
}

size_t icmp_rows_count(const struct icmp_rows *r)
{
    return r->rows;
}

static enum prober_error make_batch(const struct icmp_rows *r, struct batch **out)
{
#define TO(column) offsetof(struct batch, icmp.column)
#define COUNT(name, help) {TO(name), r->name, r->rows * sizeof(uint32_t), false},
#define WIDE(name) {TO(name), r->name, r->rows * sizeof(uint64_t), false},
#define ARRIVALS(column, from)                                                                     \
    {                                                                                              \
        offsetof(struct batch, arrivals.column), from, r->arrivals * sizeof(uint32_t), true        \
    }
    const struct batch_column columns[] = {
        {TO(histogram_bins), r->histogram_bins, r->rows * sizeof(uint32_t), false},
        {TO(bin_step), r->bin_step, r->bins * sizeof(uint32_t), true},
        {TO(bin_count), r->bin_count, r->bins * sizeof(uint32_t), true},
        ARRIVALS(sender, r->sender),
        ARRIVALS(window, r->window_of),
        ARRIVALS(count, r->count),
        ICMP_COUNTS(COUNT) ICMP_ROWS_WIDE(WIDE)};
#undef ARRIVALS
#undef WIDE
#undef COUNT
#undef TO

    return batch_create(out, r->names, r->rows, columns, ARRAY_LEN(columns));
}

static void empty(struct icmp_rows *r, bool put_names)
{
    for (size_t i = 0; put_names && i < r->rows; i++)
        target_name_put(r->names[i]);
    r->rows = r->bins = r->arrivals = 0;
    r->totals = (struct icmp_totals){0};
}

enum prober_error icmp_rows_close(struct icmp_rows *r, uint32_t window, uint64_t window_ns,
                                  uint64_t ended_boot_ns, struct batch **out)
{
    struct batch *batch;

    *out = NULL;
    if (r->rows == 0 && r->arrivals == 0)
        return PROBER_OK;
    if (make_batch(r, &batch)) {
        empty(r, true);
        return PROBER_ERR_NOMEM;
    }
    batch->kind = WIRE_KIND_ICMP;
    batch->window = r->rows ? r->window : window;
    batch->window_ns = window_ns;
    batch->ended_boot_ns = ended_boot_ns;
    batch->icmp.bin_total = r->bins;
    batch->arrivals.length = r->arrivals;
    batch->totals.icmp = r->totals;
    empty(r, false); /* the batch has the references to the names now */
    *out = batch;
    return PROBER_OK;
}

void icmp_rows_destroy(struct icmp_rows *r)
{
    if (!r)
        return;
    empty(r, true);
    free(r);
}
