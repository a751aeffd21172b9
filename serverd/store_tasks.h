/*
 * store_tasks - tasks, their rows and their outputs in the store's file (with store.c, the adapter of
 * SQLite).
 *
 * Purpose    What is written between store_tasks_begin and a store_tasks_commit that succeeds is
 *            durable, all of it; when anything fails, nothing of it is.
 * Threads    store_tasks_read from any thread; all else from one.
 * Ownership  Copies what it is given.
 */
#ifndef SERVERD_STORE_TASKS_H
#define SERVERD_STORE_TASKS_H

#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "serverd/task_book.h"
#include "serverd/task_record.h"

struct store_tasks;

/* Opens the file of a store, which has been opened before, in the state directory `dir`.
 * Errors: PROBER_ERR_IO, _NOMEM. */
enum prober_error store_tasks_open(struct store_tasks **out, const char *dir,
                                   struct prober_failure *why);
/* Calls `take` for every task, oldest first; it takes over what the view points to. A row that makes
 * no sense is left out. Errors: PROBER_ERR_IO, _NOMEM. */
enum prober_error store_tasks_load(struct store_tasks *store,
                                   void (*take)(void *context, int64_t number,
                                                struct task_view *view),
                                   void *context, struct prober_failure *why);

void store_tasks_begin(struct store_tasks *store);
/* Adds a task with its rows. Returns its number; 0 when something failed. */
int64_t store_tasks_add(struct store_tasks *store, const struct task_view *view);
void store_tasks_cancel(struct store_tasks *store, int64_t number, const char *who,
                        uint64_t at_real_ns);
void store_tasks_put_row(struct store_tasks *store, int64_t number, const struct task_row *row);
void store_tasks_put_output(struct store_tasks *store, int64_t number,
                            const struct prober_id *agent, const struct task_piece *piece);
void store_tasks_remove(struct store_tasks *store, int64_t number);
/* Errors: PROBER_ERR_IO: nothing was written since store_tasks_begin. */
enum prober_error store_tasks_commit(struct store_tasks *store, struct prober_failure *why);

/* Appends at most `max` bytes of a stream from the byte `from` on. Errors: PROBER_ERR_IO, _NOMEM. */
enum prober_error store_tasks_read(struct store_tasks *store, int64_t number,
                                   const struct prober_id *agent, enum task_stream_kind stream,
                                   uint64_t from, uint64_t max, struct strbuf *out);
void store_tasks_close(struct store_tasks *store); /* NULL is fine */

#endif
