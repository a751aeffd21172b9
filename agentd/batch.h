/*
 * batch - results of probes of one kind, in columns, ready to be reported.
 *
 * Purpose    One block of memory, of exactly the size it needs, in which a column of zeros takes no
 *            room. Rows of ICMP windows and of HTTP probes are collected by icmp_rows and http_rows,
 *            each in a thread of its own. What depends on the time and the server of sending (age,
 *            target numbers, names) is added by report.h for each copy that is sent.
 * Threads    A batch belongs to whoever holds it.
 * Ownership  A batch holds a reference to the name of each row.
 */
#ifndef AGENTD_BATCH_H
#define AGENTD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/probe_totals.h"
#include "agentd/target_name.h"
#include "common/error.h"
#include "common/wire.h"

#define BATCH_ROWS_MAX 2000

struct batch {
    struct batch *next;  /* owned by the spool */
    uint64_t sequence;   /* given by the spool */
    size_t bytes;        /* of memory */
    enum wire_kind kind; /* of all rows */
    uint32_t window;     /* of the rows of WIRE_KIND_ICMP */
    uint64_t window_ns;
    uint64_t ended_boot_ns; /* boottime clock, when the last of the probes had ended */
    size_t rows;
    struct target_name **names;    /* [rows] */
    struct wire_icmp_columns icmp; /* of WIRE_KIND_ICMP */
    struct wire_arrivals arrivals;
    struct wire_http_columns http; /* of WIRE_KIND_HTTP */
    struct probe_totals totals;    /* of the rows that are shown, which are those of no control */
};

/* A column to be kept: `len` bytes, a multiple of 4, at `from`. The copy's address is put where
 * `to` says, an offset in struct batch. Zeros are not kept, and the address stays NULL then, unless
 * they are to be. */
struct batch_column {
    size_t to;
    const void *from;
    size_t len;
    bool keeps_zeros;
};

/* Makes a batch of names[rows], whose references it takes over, and columns[count]; all else in it
 * is zero and the caller's to fill in. Errors: PROBER_ERR_NOMEM. */
enum prober_error batch_create(struct batch **out, struct target_name *const *names, size_t rows,
                               const struct batch_column *columns, size_t count);
void batch_destroy(struct batch *batch); /* NULL is fine */

#endif
