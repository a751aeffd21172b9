/*
 * task_ledger - which tasks this agent has begun, on disk, so that none runs twice.
 *
 * Purpose    A task is written down before its program starts. After a crash, one that was begun
 *            and not ended is interrupted: it is told as that, and never begun again. Ids are
 *            remembered for at least a given time; when there are as many as are kept and all of
 *            them are younger, no further task begins.
 * Threads    One thread at a time.
 * Ownership  Owns the file, which it replaces whole (file_replace): a crash leaves the one before
 *            or the one after. One ledger per file at a time: the agent locks its state directory.
 */
#ifndef AGENTD_TASK_LEDGER_H
#define AGENTD_TASK_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define TASK_ID_MAX 64 /* with its end */
#define TASK_LEDGER_MAX 4096

struct task_ledger;

enum task_ledger_state {
    TASK_LEDGER_RUNNING,
    TASK_LEDGER_INTERRUPTED, /* it was running when a process before this one died */
    TASK_LEDGER_ENDED,
    TASK_LEDGER_TOLD /* its end is known to who ordered it */
};

struct task_ledger_entry {
    char id[TASK_ID_MAX];
    enum task_ledger_state state;
    uint64_t began_ns; /* wall clock, as are all times here */
    bool former;       /* it was in the file when that was opened */
};

/* Reads the file at `path`, if there is one. max: entries, 1..TASK_LEDGER_MAX.
 * Errors: PROBER_ERR_SYNTAX (the file is damaged: what ran cannot be known), PROBER_ERR_IO,
 * PROBER_ERR_DENIED, PROBER_ERR_NOMEM, PROBER_ERR_RANGE; with a sentence in *why, *out untouched.
 */
enum prober_error task_ledger_open(struct task_ledger **out, const char *path, size_t max,
                                   uint64_t keep_ns, struct prober_failure *why);
/* Notes that a task begins; when this returns PROBER_OK the note is on disk. id: letters, digits,
 * '-' and '_', fewer than TASK_ID_MAX.
 * Errors: PROBER_ERR_EXISTS (it was begun before), PROBER_ERR_FULL (try later), PROBER_ERR_SYNTAX
 * (no id), PROBER_ERR_IO or another of file_replace: the task is not noted, and must not run. */
enum prober_error task_ledger_begin(struct task_ledger *ledger, const char *id, uint64_t now_ns,
                                    struct prober_failure *why);
/* Notes that a task has ended. Errors: PROBER_ERR_NOT_FOUND; PROBER_ERR_IO or another of
 * file_replace: after a crash it would count as interrupted. */
enum prober_error task_ledger_end(struct task_ledger *ledger, const char *id,
                                  struct prober_failure *why);
/* Notes that who ordered a task knows of its end or interruption. Errors: as those of
 * task_ledger_end; it would be told again. */
enum prober_error task_ledger_tell(struct task_ledger *ledger, const char *id,
                                   struct prober_failure *why);
/* NULL when it is not remembered. Valid until the next call that changes the ledger. */
const struct task_ledger_entry *task_ledger_find(const struct task_ledger *ledger, const char *id);
size_t task_ledger_count(const struct task_ledger *ledger);
/* The i-th, oldest first; valid as above. */
const struct task_ledger_entry *task_ledger_at(const struct task_ledger *ledger, size_t i);
void task_ledger_close(struct task_ledger *ledger); /* NULL is fine */

#endif
