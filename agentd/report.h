/*
 * report - turns a batch into the message that goes to the server, anew for each copy that is sent.
 *
 * Purpose    Adds what only the moment of sending knows: the age of the window, and for each target
 *            its number and, unless the server has it already, its name.
 * Threads    The link thread.
 * Ownership  Keeps nothing of a batch.
 */
#ifndef AGENTD_REPORT_H
#define AGENTD_REPORT_H

#include <stdint.h>

#include "agentd/batch.h"
#include "common/error.h"
#include "common/id.h"
#include "common/strbuf.h"

/* The numbers of targets, as this server boot knows them. */
struct report_table {
    uint32_t next;       /* number of the next target that has none; from 1 */
    uint32_t generation; /* of the server's table: rises when the server may have forgotten it */
    uint32_t mark;       /* of the report that is being written */
};

void report_table_init(struct report_table *table);
/* Every name must be sent again: another server boot, or "unknown table". */
void report_table_forget(struct report_table *table);

/* Appends the encoded request to *out. now_boot_ns: boottime clock.
 * Errors: PROBER_ERR_NOMEM, PROBER_ERR_RANGE. */
enum prober_error report_encode(struct report_table *table, const struct batch *batch,
                                const struct prober_id *agent_id, const struct prober_id *boot_id,
                                uint64_t now_boot_ns, struct strbuf *out);
/* The server has taken this batch, and with it the names in it. */
void report_taken(struct report_table *table, const struct batch *batch);

#endif
