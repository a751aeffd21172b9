/*
 * icmp_rows - collects the results of one window of ICMP probes, row by row, into a batch.
 *
 * Threads    The icmp thread.
 * Ownership  Holds a reference to the name of each row until it goes with the batch.
 */
#ifndef AGENTD_ICMP_ROWS_H
#define AGENTD_ICMP_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/batch.h"
#include "agentd/target_name.h"
#include "common/error.h"
#include "libprober/icmp_arrivals.h"
#include "libprober/icmp_window.h"

#define ICMP_ROWS_BINS_MAX (128u << 10) /* half of what the wire takes */

struct icmp_rows;

enum prober_error icmp_rows_create(struct icmp_rows **out);
/* Adds a row. Errors: PROBER_ERR_FULL: close, then add it again. It is full too when the row
 * belongs to another window than those before it. */
enum prober_error icmp_rows_add(struct icmp_rows *r, struct target_name *name,
                                const struct icmp_window *w, uint64_t resolve_ns);
/* Room for `max` arrivals to be filled in; icmp_rows_add_arrivals says how many were. */
struct icmp_arrival *icmp_rows_arrivals(struct icmp_rows *r, size_t *max);
void icmp_rows_add_arrivals(struct icmp_rows *r, size_t count);
/* Makes a batch of what was added and begins anew; *out is NULL when nothing was. `window` names
 * the batch when it has no rows. Errors: PROBER_ERR_NOMEM; what was added is lost then. */
enum prober_error icmp_rows_close(struct icmp_rows *r, uint32_t window, uint64_t window_ns,
                                  uint64_t ended_boot_ns, struct batch **out);
size_t icmp_rows_count(const struct icmp_rows *r);
void icmp_rows_destroy(struct icmp_rows *r); /* NULL is fine */

#endif
