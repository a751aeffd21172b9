/*
 * http_rows - collects scheduled HTTP probes, row by row, into a batch.
 *
 * Purpose    A row is a probe that was due: what came of it, or that nothing was measured. Probes
 *            that were not even started in time have no rows of their own: their number goes with
 *            the next row of their target.
 * Threads    The http thread.
 * Ownership  Holds a reference to the name of each row until it goes with the batch.
 */
#ifndef AGENTD_HTTP_ROWS_H
#define AGENTD_HTTP_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/batch.h"
#include "agentd/target_name.h"
#include "common/error.h"
#include "libprober/http_engine.h"

#define HTTP_ROWS_TEXT_MAX (1u << 20) /* bytes of names: a quarter of what the wire takes */

struct http_rows;

enum prober_error http_rows_create(struct http_rows **out);
/* Adds a probe that ended at ended_boot_ns (boottime clock), and the unsent_late ones before it. Of a
 * result with HTTP_FAILED_LOCAL only the reason is kept. Errors: PROBER_ERR_FULL: close, then add it
 * again. */
enum prober_error http_rows_add(struct http_rows *r, struct target_name *name,
                                const struct http_result *result, uint32_t unsent_late,
                                uint64_t ended_boot_ns);
/* Makes a batch of what was added and begins anew; *out is NULL when nothing was.
 * Errors: PROBER_ERR_NOMEM; what was added is lost then. */
enum prober_error http_rows_close(struct http_rows *r, uint64_t interval_ns, struct batch **out);
size_t http_rows_count(const struct http_rows *r);
void http_rows_destroy(struct http_rows *r); /* NULL is fine */

#endif
