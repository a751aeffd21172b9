/*
 * store_audit - the record of changes, in the store's file (with store.c, the adapter of SQLite).
 *
 * Purpose    Each change is a row: begun before it is made, ended before it is acknowledged. What is
 *            begun and never ended was under way when the server was killed. Writes are durable when
 *            they return. The newest STORE_AUDIT_KEPT rows are kept.
 * Threads    Any thread; one at a time works, the others wait.
 * Ownership  Copies what it is given.
 */
#ifndef SERVERD_STORE_AUDIT_H
#define SERVERD_STORE_AUDIT_H

#include <stdint.h>

#include "common/error.h"

#define STORE_AUDIT_KEPT 100000

struct store_audit;

/* All texts are UTF-8. */
struct store_audit_record {
    uint64_t at_real_ns;
    const char *who;    /* "token:NAME", "uid:0" */
    const char *client; /* from where: an address */
    const char *method, *target, *body;
};

/* Opens the file of a store, which has been opened before, in the state directory `dir`.
 * Errors: PROBER_ERR_IO, _NOMEM. */
enum prober_error store_audit_open(struct store_audit **out, const char *dir,
                                   struct prober_failure *why);
/* Errors: PROBER_ERR_IO: nothing was written. */
enum prober_error store_audit_begin(struct store_audit *audit,
                                    const struct store_audit_record *record, int64_t *id,
                                    struct prober_failure *why);
/* `status` is that of the answer. Errors: PROBER_ERR_IO. */
enum prober_error store_audit_end(struct store_audit *audit, int64_t id, int status,
                                  struct prober_failure *why);

struct store_audit_row {
    int64_t id;
    struct store_audit_record record;
    int status; /* 0: not ended */
};

/* Calls `each` for at most `limit` rows whose id is below `before`, the newest first. Texts are valid
 * within the call. Errors: PROBER_ERR_IO. */
enum prober_error store_audit_read(struct store_audit *audit, int64_t before, unsigned limit,
                                   void (*each)(void *context, const struct store_audit_row *row),
                                   void *context, struct prober_failure *why);
/* NULL is fine. */
void store_audit_close(struct store_audit *audit);

#endif
