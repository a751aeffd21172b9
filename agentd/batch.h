/*
 * batch - the results of one window (or a part of them), in columns, ready to be reported.
 *
 * Purpose    The icmp thread fills a builder row by row and closes it into a batch: one block of
 *            memory, of exactly the size it needs, in which a column of zeros takes no room. What
 *            depends on the time and the server of sending (age, target numbers, names) is added by
 *            report.h for each copy that is sent.
 * Threads    A builder belongs to the icmp thread; a batch to whoever holds it.
 * Ownership  A batch holds a reference to the name of each row.
 */
#ifndef AGENTD_BATCH_H
#define AGENTD_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/target_name.h"
#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/wire.h"
#include "libprober/icmp_arrivals.h"
#include "libprober/icmp_window.h"

#define BATCH_ROWS_MAX 2000
#define BATCH_BINS_MAX (128u << 10) /* half of what the wire takes */

struct batch {
    struct batch *next; /* owned by the spool */
    uint64_t sequence;  /* given by the spool */
    size_t bytes;       /* of memory */
    uint32_t window;
    uint64_t window_ns;
    uint64_t ended_boot_ns; /* boottime clock, when the window's last probe had ended */
    size_t rows;
    struct target_name **names; /* [rows] */
    struct wire_icmp_columns icmp;
    struct wire_arrivals arrivals;
    struct icmp_totals totals; /* of the rows that are shown, which are those of no control */
};

struct batch_builder;

enum prober_error batch_builder_create(struct batch_builder **out);
/* Adds a row. Errors: PROBER_ERR_FULL: close, then add it again. The builder is full too when the
 * row belongs to another window than those before it. */
enum prober_error batch_builder_add(struct batch_builder *b, struct target_name *name,
                                    const struct icmp_window *w, uint64_t resolve_ns);
/* Room for `max` arrivals to be filled in; batch_builder_add_arrivals says how many were. */
struct icmp_arrival *batch_builder_arrivals(struct batch_builder *b, size_t *max);
void batch_builder_add_arrivals(struct batch_builder *b, size_t count);
/* Makes a batch of what was added and empties the builder; *out is NULL when nothing was. `window`
 * names the batch when it has no rows. Errors: PROBER_ERR_NOMEM; what was added is lost then. */
enum prober_error batch_builder_close(struct batch_builder *b, uint32_t window, uint64_t window_ns,
                                      uint64_t ended_boot_ns, struct batch **out);
size_t batch_builder_rows(const struct batch_builder *b);
void batch_builder_destroy(struct batch_builder *b);

void batch_destroy(struct batch *batch); /* NULL is fine */

#endif
