/*
 * tasks - the tasks that operators give to agents, and what came of them.
 *
 * Purpose    A task is a command line for all agents whose region is chosen by an expression. It has
 *            one row per agent, which ends in a recorded state, whatever becomes of agent and server.
 *            What a caller is told has happened is on disk before, in the server's store.
 * Threads    One of its own, which alone writes. The calls may come from any thread;
 *            tasks_create and tasks_cancel wait for the disk, tasks_await waits as long as it is told
 *            to, the others read memory, tasks_output the store.
 * Ownership  Borrows the board. What a view points to is the view's.
 */
#ifndef SERVERD_TASKS_H
#define SERVERD_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"
#include "common/metrics.h"
#include "common/strbuf.h"
#include "common/wire.h"
#include "serverd/directory.h"
#include "serverd/task_record.h"

#define TASKS_WAITERS_MAX 16

struct tasks;

struct tasks_config {
    const char *state_dir; /* where the store is */
    const char *meta_dir;  /* of result files; "": none are written */
    struct directory_board *board;
    uint64_t timeout_ns;   /* of a task that does not say */
    uint64_t grace_ns;     /* what is given to an agent beyond a deadline, to tell of it */
    uint64_t expire_ns;    /* a task that was not delivered within it is not delivered any more */
    uint64_t keep_ns;      /* how long tasks that ended are kept */
    uint64_t output_max;   /* bytes kept of each stream of a row */
    uint64_t outputs_max;  /* bytes of output kept in all: the oldest tasks that ended go first */
    uint64_t files_max;    /* bytes of result files in all; 0: no limit */
    uint64_t files_age_ns; /* of a result file; 0: no limit */
    /* Tells agents to ask for their tasks; from any thread, never waits. May be NULL. */
    void (*hint)(void *context);
    void *context;
};

/* Opens the tables of a store that has been opened before, takes up what they hold, and starts the
 * thread. Errors: PROBER_ERR_IO, _NOMEM with a sentence in *why. */
enum prober_error tasks_open(struct tasks **out, const struct tasks_config *config,
                             struct prober_failure *why);

/* ---- for operators ---- */

struct tasks_order {
    const char *region, *expr; /* expr: "=", "!=", "=~", "!~" (task_select.h) */
    const char *line;          /* 1..WIRE_TASK_LINE_MAX bytes, no NUL */
    uint64_t timeout_ns;       /* how long it may run: up to a day; 0: as configured */
    const char *who, *client;  /* who orders, and from where */
};

/* Makes a task for all agents that are alive and chosen, and stores its view in *out, to be freed by
 * task_view_free. Agents whose links are plain get none: their rows are refused, with a sentence.
 * When it returns PROBER_OK, the task is on disk.
 * Errors, with a sentence in *why: PROBER_ERR_SYNTAX (expr, the pattern, line, timeout), _RANGE
 * (too long), _NOT_FOUND (no agent is chosen), _FULL (too many tasks have not ended), _IO (not
 * written: nothing was begun), _CLOSED, _NOMEM. */
enum prober_error tasks_create(struct tasks *tasks, const struct tasks_order *order,
                               struct task_view *out, struct prober_failure *why);
/* A copy of a task with its rows. Errors: PROBER_ERR_NOT_FOUND, _NOMEM. */
enum prober_error tasks_view(struct tasks *tasks, const char *id, struct task_view *out);
/* Calls `each` for at most `limit` tasks, without their rows (view->rows is NULL), newest first:
 * those older than the task `before`, or all with NULL. What is viewed is valid within the call, and
 * `each` must not call tasks_*. Errors: PROBER_ERR_NOT_FOUND (before). */
enum prober_error tasks_list(struct tasks *tasks, const char *before, size_t limit,
                             void (*each)(void *context, const struct task_view *view),
                             void *context);
/* Appends what is kept of a stream (enum task_stream_kind) from the byte `from` on, at most `max`
 * bytes. Errors: PROBER_ERR_NOT_FOUND, _RANGE (stream, or from is beyond what there is), _IO, _NOMEM. */
enum prober_error tasks_output(struct tasks *tasks, const char *id, const struct prober_id *agent,
                               enum task_stream_kind stream, uint64_t from, uint64_t max,
                               struct strbuf *out);
/* Calls a task off: rows that were not delivered end at once, agents are told to end the others.
 * Durable when it returns PROBER_OK; a task that has ended stays as it is (PROBER_OK).
 * Errors: PROBER_ERR_NOT_FOUND, _IO, _CLOSED, _NOMEM. */
enum prober_error tasks_cancel(struct tasks *tasks, const char *id, const char *who,
                               struct prober_failure *why);
/* Waits until the version of a task is another than `seen`, at most until deadline_ns (monotonic).
 * Errors: PROBER_ERR_TIMEOUT, _NOT_FOUND, _CLOSED (the server stops), _FULL (TASKS_WAITERS_MAX wait
 * already). */
enum prober_error tasks_await(struct tasks *tasks, const char *id, uint64_t seen,
                              uint64_t deadline_ns);

/* ---- for agents ---- */

/* What an agent with a trusted link has to be told: memory alone. Free it by tasks_pending_free. */
struct tasks_pending {
    struct wire_task *tasks; /* [task_count]; lines and ids within `memory` */
    size_t task_count;
    const char **cancels; /* [cancel_count] */
    size_t cancel_count;
    void *memory;
};
/* Without memory, or with nothing to tell, *out is empty. */
void tasks_pending(struct tasks *tasks, const struct prober_id *agent,
                   const struct clock_reading *now, struct tasks_pending *out);
void tasks_pending_free(struct tasks_pending *pending);

/* Called once for each report, on the tasks' own thread or within tasks_report. */
typedef void (*tasks_answer_fn)(void *context, const struct wire_task_report_reply *reply);
/* Takes an agent's report, and takes over `request`. Never waits. */
void tasks_report(struct tasks *tasks, const struct prober_id *agent, struct wire_request *request,
                  tasks_answer_fn answer, void *context);

/* Writes the families of tasks. Any thread. */
void tasks_write_metrics(struct tasks *tasks, struct metrics_writer *w);
/* Ends every tasks_await, refuses further calls, answers what was reported, and stops the thread. */
void tasks_stop(struct tasks *tasks);
/* NULL is fine. */
void tasks_close(struct tasks *tasks);

#endif
