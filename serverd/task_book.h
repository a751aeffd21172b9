/*
 * task_book - the tasks of a server and where they stand.
 *
 * Purpose    Pure logic in memory. What happens to a row is first judged, which yields a change; the
 *            change is written to disk by its owner, and only then applied: the book never shows
 *            what a crash could take back. A row has one change at a time, and what an agent is
 *            handed is settled without the disk, for it may be handed out again.
 *            A row ends when its agent tells how; or, by the book, when it is cancelled or too much
 *            time has passed. What the agent tells later still counts: it knows what happened.
 * Threads    One thread at a time. Time is an argument: now->mono_ns and now->real_ns.
 * Ownership  Owns its tasks. Changes own their row, and borrow a report's bytes.
 */
#ifndef SERVERD_TASK_BOOK_H
#define SERVERD_TASK_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/wire.h"
#include "serverd/task_record.h"

#define TASK_BOOK_OPEN_MAX 256    /* tasks that have not ended */
#define TASK_BOOK_ROWS_MAX 200000 /* of all tasks */
#define TASK_BOOK_TASKS_MAX 10000

struct task_book_config {
    uint64_t expire_ns;   /* what was not handed out within it is not handed out any more */
    uint64_t grace_ns;    /* beyond a deadline, for an agent to tell of it */
    uint64_t keep_ns;     /* a task that has ended */
    uint64_t output_max;  /* bytes kept of a stream */
    uint64_t outputs_max; /* bytes kept of all streams */
    bool files;           /* results are to be filed */
};

struct task_book;
struct book_task; /* of a book */

enum prober_error task_book_create(struct task_book **out, const struct task_book_config *config,
                                   uint64_t first_version);
/* PROBER_OK when a task with so many rows can be added. Errors: PROBER_ERR_FULL with a sentence. */
enum prober_error task_book_room(const struct task_book *book, size_t rows,
                                 struct prober_failure *why);
/* Adds a task, new or from the store, and takes over what `task` points to, in any case; rows are
 * put in order. Those that were loaded get the time to be heard of again.
 * Errors: PROBER_ERR_NOMEM, _EXISTS (its id). */
enum prober_error task_book_add(struct task_book *book, int64_t number, struct task_view *task,
                                const struct clock_reading *now);
/* NULL when there is none. Both are valid until the task is removed. */
struct book_task *task_book_find(const struct task_book *book, const char *id);
/* The i-th, oldest first; NULL beyond the last. */
struct book_task *task_book_at(const struct task_book *book, size_t i);
/* Its view, with the book's own rows. */
const struct task_view *task_book_view(const struct book_task *task);
int64_t task_book_number(const struct book_task *task); /* the store's */
/* The index of the agent's row; SIZE_MAX when it has none. */
size_t task_book_row(const struct book_task *task, const struct prober_id *agent);

/* ---- for agents ---- */

/* Tells an agent's tasks (handed out by this) and the ids to cancel: at most WIRE_TASKS_MAX and
 * WIRE_CANCELS_MAX, the oldest first; *count and *cancel_count of them. */
void task_book_pending(struct task_book *book, const struct prober_id *agent,
                       const struct clock_reading *now, const struct task_view **tasks,
                       size_t *count, const char **cancels, size_t *cancel_count);

struct task_piece {
    enum task_stream_kind stream;
    uint64_t offset;
    const char *bytes;
    size_t len;
};

/* What is to become of a row. */
struct task_change {
    struct book_task *task;
    size_t row;            /* index in the view's rows */
    struct task_row after; /* region and address are the row's own, text and notes the change's */
    struct task_piece pieces[WIRE_TASK_CHUNKS_MAX]; /* of output, to be kept */
    size_t piece_count;
    bool heard; /* from the agent */
};

/* Judges a report. *reply is what the agent is answered once the change is on disk; without a change
 * (*changes false) that is at once. Errors: PROBER_ERR_IN_USE: the row has a change already, which
 * is to be applied or dropped first. PROBER_ERR_NOMEM. */
enum prober_error task_book_report(struct task_book *book, const struct prober_id *agent,
                                   const struct wire_task_report *report,
                                   const struct clock_reading *now, struct task_change *change,
                                   bool *changes, struct wire_task_report_reply *reply);

/* ---- for time and operators ---- */

/* Where a search goes on; zeros to begin. */
struct task_cursor {
    size_t task, row;
};
/* Finds the next row that is to end by the book (its time has passed, or its task is cancelled), or
 * that has yet to be written as handed out or filed. is_alive tells of an agent. False: no more. */
bool task_book_overdue(struct task_book *book, struct task_cursor *at,
                       bool (*is_alive)(void *context, const struct prober_id *agent),
                       void *context, const struct clock_reading *now, struct task_change *change);
/* True when a task can be cancelled: it has not ended, and is not cancelled. */
bool task_book_is_open(const struct book_task *task);
/* Notes that a task is cancelled, by `who` (taken over); its rows are overdue now, or soon. */
void task_book_cancel(struct task_book *book, struct book_task *task, char *who,
                      const struct clock_reading *now);
/* A task that is not kept any more, or NULL. */
struct book_task *task_book_expired(const struct task_book *book, const struct clock_reading *now);
void task_book_remove(struct task_book *book, struct book_task *task);
/* Finds the next row that is to be filed (told, not filed). False: no more. */
bool task_book_unfiled(const struct task_book *book, struct task_cursor *at,
                       struct book_task **task, size_t *row);
void task_book_filed(struct task_book *book, struct book_task *task, size_t row);

/* ---- changes ---- */

/* The change is on disk: it takes place. */
void task_book_apply(struct task_book *book, struct task_change *change,
                     const struct clock_reading *now);
/* It could not be written: nothing changes. */
void task_book_drop(struct task_book *book, struct task_change *change);

struct task_book_totals {
    size_t tasks, open;
    size_t rows[TASK_STATE_COUNT];
    uint64_t output_bytes;
};
void task_book_totals(const struct task_book *book, struct task_book_totals *out);
void task_book_destroy(struct task_book *book); /* NULL is fine */

#endif
