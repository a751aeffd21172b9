#include "agentd/batch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The columns of 64 bits. */
#define BATCH_WIDE(X)                                                                              \
    X(rtt_sum_ns)                                                                                  \
    X(rtt_square_low)                                                                              \
    X(rtt_square_high)                                                                             \
    X(rtt_min_ns)                                                                                  \
    X(rtt_max_ns)                                                                                  \
    X(jitter_ns)                                                                                   \
    X(resolve_ns)

struct batch_builder {
    uint32_t window; /* of the rows */
    size_t rows, bins, arrivals;
    struct icmp_totals totals;
    struct target_name *names[BATCH_ROWS_MAX];
#define BUILDER_COUNT(name, help) uint32_t name[BATCH_ROWS_MAX];
    ICMP_COUNTS(BUILDER_COUNT)
#undef BUILDER_COUNT
#define BUILDER_WIDE(name) uint64_t name[BATCH_ROWS_MAX];
    BATCH_WIDE(BUILDER_WIDE)
#undef BUILDER_WIDE
    uint32_t histogram_bins[BATCH_ROWS_MAX];
    uint32_t bin_step[BATCH_BINS_MAX];
    uint32_t bin_count[BATCH_BINS_MAX];
    struct icmp_arrival arrival[WIRE_ARRIVALS_MAX];
};

enum prober_error batch_builder_create(struct batch_builder **out)
{
    struct batch_builder *b = calloc(1, sizeof(*b));

    if (!b)
        return PROBER_ERR_NOMEM;
    *out = b;
    return PROBER_OK;
}

static void add_bins(struct batch_builder *b, const struct icmp_window *w)
{
    uint32_t previous = 0;

    for (size_t i = 0; i < w->pair_count; i++) {
        b->bin_step[b->bins] = w->pairs[i].bin - previous;
        b->bin_count[b->bins] = w->pairs[i].count;
        previous = w->pairs[i].bin;
        b->bins++;
    }
    b->histogram_bins[b->rows] = (uint32_t)w->pair_count;
}

enum prober_error batch_builder_add(struct batch_builder *b, struct target_name *name,
                                    const struct icmp_window *w, uint64_t resolve_ns)
{
    size_t row = b->rows;
    bool heard = w->rtt.count > 0;

    if (row == BATCH_ROWS_MAX || b->bins + w->pair_count > BATCH_BINS_MAX ||
        (row > 0 && b->window != w->number))
        return PROBER_ERR_FULL;
#define ADD_COUNT(member, help) b->member[row] = w->counts.member;
    ICMP_COUNTS(ADD_COUNT)
#undef ADD_COUNT
    b->rtt_sum_ns[row] = w->rtt.sum_ns;
    b->rtt_square_low[row] = (uint64_t)w->rtt.square_ns2;
    b->rtt_square_high[row] = (uint64_t)(w->rtt.square_ns2 >> 64);
    b->rtt_min_ns[row] = heard ? w->rtt.min_ns : 0;
    b->rtt_max_ns[row] = heard ? w->rtt.max_ns : 0;
    b->jitter_ns[row] = w->jitter_ns;
    b->resolve_ns[row] = resolve_ns;
    add_bins(b, w);
    if (!name->control)
        icmp_totals_add(&b->totals, &w->counts);
    b->names[row] = target_name_get(name);
    b->window = w->number;
    b->rows++;
    return PROBER_OK;
}

struct icmp_arrival *batch_builder_arrivals(struct batch_builder *b, size_t *max)
{
    *max = WIRE_ARRIVALS_MAX - b->arrivals;
    return b->arrival + b->arrivals;
}

void batch_builder_add_arrivals(struct batch_builder *b, size_t count)
{
    b->arrivals += count;
}

size_t batch_builder_rows(const struct batch_builder *b)
{
    return b->rows;
}

static bool all_zero(const void *bytes, size_t len)
{
    const char *b = bytes;

    return len == 0 || (b[0] == 0 && memcmp(b, b + 1, len - 1) == 0);
}

/* Copies a column to *room and moves that on; NULL, and no room, for a column of zeros. */
static void *keep(char **room, const void *column, size_t len)
{
    void *kept = *room;

    if (all_zero(column, len))
        return NULL;
    memcpy(kept, column, len);
    *room += len;
    return kept;
}

static size_t kept_size(const void *column, size_t len)
{
    return all_zero(column, len) ? 0 : len;
}

static size_t room_needed(const struct batch_builder *b)
{
    size_t n = b->rows * sizeof(b->names[0]);

#define SIZE_COUNT(name, help) n += kept_size(b->name, b->rows * sizeof(uint32_t));
    ICMP_COUNTS(SIZE_COUNT)
#undef SIZE_COUNT
#define SIZE_WIDE(name) n += kept_size(b->name, b->rows * sizeof(uint64_t));
    BATCH_WIDE(SIZE_WIDE)
#undef SIZE_WIDE
    n += b->rows * sizeof(uint32_t) + 2 * b->bins * sizeof(uint32_t);
    n += 3 * b->arrivals * sizeof(uint32_t);
    return n;
}

/* The 64-bit columns come first, so that all are aligned. */
static void keep_columns(const struct batch_builder *b, struct batch *batch, char **room)
{
    batch->names = (struct target_name **)*room;
    memcpy(*room, b->names, b->rows * sizeof(b->names[0]));
    *room += b->rows * sizeof(b->names[0]);
#define KEEP_WIDE(name) batch->icmp.name = keep(room, b->name, b->rows * sizeof(uint64_t));
    BATCH_WIDE(KEEP_WIDE)
#undef KEEP_WIDE
#define KEEP_COUNT(name, help) batch->icmp.name = keep(room, b->name, b->rows * sizeof(uint32_t));
    ICMP_COUNTS(KEEP_COUNT)
#undef KEEP_COUNT
    batch->icmp.histogram_bins = keep(room, b->histogram_bins, b->rows * sizeof(uint32_t));
    batch->icmp.bin_step = (const uint32_t *)*room;
    memcpy(*room, b->bin_step, b->bins * sizeof(uint32_t));
    *room += b->bins * sizeof(uint32_t);
    batch->icmp.bin_count = (const uint32_t *)*room;
    memcpy(*room, b->bin_count, b->bins * sizeof(uint32_t));
    *room += b->bins * sizeof(uint32_t);
    batch->icmp.bin_total = b->bins;
}

static void keep_arrivals(const struct batch_builder *b, struct batch *batch, char *room)
{
    uint32_t *sender = (uint32_t *)room;
    uint32_t *window = sender + b->arrivals, *count = window + b->arrivals;

    for (size_t i = 0; i < b->arrivals; i++) {
        sender[i] = b->arrival[i].sender;
        window[i] = b->arrival[i].window;
        count[i] = b->arrival[i].count;
    }
    batch->arrivals = (struct wire_arrivals){sender, window, count, b->arrivals};
}

static void empty(struct batch_builder *b, bool put_names)
{
    for (size_t i = 0; put_names && i < b->rows; i++)
        target_name_put(b->names[i]);
    b->rows = b->bins = b->arrivals = 0;
    b->totals = (struct icmp_totals){0};
}

enum prober_error batch_builder_close(struct batch_builder *b, uint32_t window, uint64_t window_ns,
                                      uint64_t ended_boot_ns, struct batch **out)
{
    struct batch *batch;
    size_t bytes;
    char *room;

    *out = NULL;
    if (b->rows == 0 && b->arrivals == 0)
        return PROBER_OK;
    bytes = sizeof(*batch) + room_needed(b);
    batch = calloc(1, bytes);
    if (!batch) {
        empty(b, true);
        return PROBER_ERR_NOMEM;
    }
    batch->bytes = bytes;
    batch->window = b->rows ? b->window : window;
    batch->window_ns = window_ns;
    batch->ended_boot_ns = ended_boot_ns;
    batch->rows = b->rows;
    batch->totals = b->totals;
    room = (char *)(batch + 1);
    keep_columns(b, batch, &room);
    keep_arrivals(b, batch, room);
    empty(b, false); /* the batch has the references to the names now */
    *out = batch;
    return PROBER_OK;
}

void batch_builder_destroy(struct batch_builder *b)
{
    if (!b)
        return;
    empty(b, true);
    free(b);
}

void batch_destroy(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->rows; i++)
        target_name_put(batch->names[i]);
    free(batch);
}
