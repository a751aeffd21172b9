/*
 * laws - what must hold in a report, whoever sent it.
 *
 * Purpose    A report is checked whole before any of it is applied: names and kinds; and for each row
 *            of ICMP sent = received + lost + unknown, doubtful <= received, late_sent <= sent;
 *            nothing about RTTs without a reply, else min <= mean <= max and a sum of squares that
 *            such RTTs can have; histogram counts that sum to received, in bins that exist. A row of
 *            HTTP that succeeded has an answer. What a probed server may have said (lengths, expiries) can
 *            be anything: it must not cost the agent its report.
 * Threads    Pure functions.
 */
#ifndef SERVERD_LAWS_H
#define SERVERD_LAWS_H

#include <stddef.h>

#include "common/icmp_counts.h"
#include "common/wire.h"

#define LAWS_PROBES_MAX 65535 /* probes of one target in one window */
#define LAWS_RESOLVE_MAX_NS UINT64_C(3600000000000)
#define LAWS_HTTP_MAX_NS UINT64_C(7200000000000) /* of a probe: twice the greatest timeout */

/* NULL when the report is lawful, else the law that it breaks. */
const char *laws_broken(const struct wire_report *report);

/* The counts of one row. */
static inline struct icmp_counts laws_row_counts(const struct wire_icmp_columns *columns,
                                                 size_t row)
{
    struct icmp_counts c;
#define LAWS_COUNT(name, help) c.name = columns->name ? columns->name[row] : 0;
    ICMP_COUNTS(LAWS_COUNT)
#undef LAWS_COUNT
    return c;
}

#endif
