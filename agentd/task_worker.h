/*
 * task_worker - the thread that runs the tasks of this agent.
 *
 * Purpose    An order, a command line under an id, is understood (task_command), its host is looked
 *            up and judged, it is noted in the ledger (task_ledger), and then its program runs
 *            (task_run); so many at once, the others wait their turn, and of more than that an
 *            order is refused. Every id that was taken comes to exactly one result, but for those
 *            that never began when the worker is stopped: these may be given again.
 * Threads    One of its own. task_worker_submit, _cancel, _told, _set_policy and _close from any
 *            thread; the
 *            listener is called on the worker's, and must not call task_worker_stop.
 * Ownership  Borrows the ledger until task_worker_destroy: nobody else uses it meanwhile.
 */
#ifndef AGENTD_TASK_WORKER_H
#define AGENTD_TASK_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/policy.h"
#include "agentd/task_command.h"
#include "agentd/task_ledger.h"
#include "agentd/task_run.h"
#include "common/error.h"

#define TASK_WORKER_RUNNING_MAX 16
#define TASK_WORKER_WAITING_MAX 256

struct task_settings {
    struct task_terms terms; /* its deadline_ns is the longest that an order may have */
    uint64_t grace_ns;       /* task_run_order */
    size_t output_max;       /* likewise */
    uint64_t output_stop;    /* likewise */
    size_t running_max;      /* at once, 1..TASK_WORKER_RUNNING_MAX */
    size_t waiting_max;      /* besides, 0..TASK_WORKER_WAITING_MAX */
    unsigned per_minute;     /* how many orders are taken, 1 or more */
    unsigned burst;          /* of those at once, 1 or more */
    const char *servers;     /* of names (resolver.h); NULL: the system's */
    const char *directories; /* of programs (task_program.h) */
};

enum task_fate {
    TASK_RAN,         /* outcome tells how */
    TASK_REFUSED,     /* it did not run, and why: text */
    TASK_INTERRUPTED, /* it ran when the agent died, and does not run again */
    TASK_RAN_BEFORE   /* it has ended, mostly in an earlier life of the agent; its result is gone */
};

struct task_result {
    const char *id;
    enum task_fate fate;
    enum prober_error error;            /* of TASK_REFUSED */
    const char *text;                   /* a sentence, or "" */
    const char *notes;                  /* task_command_notes; "" when there are none */
    const struct task_outcome *outcome; /* of TASK_RAN, else NULL */
};

enum task_stream { TASK_STDOUT, TASK_STDERR };

/* Who is told, on the worker's thread. began and wrote may be NULL. */
struct task_listener {
    void (*began)(void *context, const char *id); /* its program runs */
    /* It wrote bytes[len], the ones from `offset` on. Told are the first output_max / 2 bytes of a
     * stream, which are also the first that task_output_write writes in the end. */
    void (*wrote)(void *context, const char *id, enum task_stream stream, uint64_t offset,
                  const char *bytes, size_t len);
    void (*done)(void *context, const struct task_result *result);
    void *context;
};

struct task_worker;

/* Makes a worker and starts its thread. Settings and listener are copied, but for their texts and
 * context, which have to stay.
 * Errors: PROBER_ERR_RANGE, PROBER_ERR_SYNTAX (servers), PROBER_ERR_NOMEM, PROBER_ERR_IO; with a
 * sentence in *why and *out untouched. */
enum prober_error task_worker_create(struct task_worker **out, const struct task_settings *settings,
                                     struct task_ledger *ledger, struct policy *policy,
                                     const struct task_listener *listener,
                                     struct prober_failure *why);
/* Orders line[len], copied, under `id` (task_ledger.h). It may run for deadline_ns, 1 ms or more.
 * An id that waits or runs changes nothing, and has no second result; one that has run does not run
 * again.
 * Errors: PROBER_ERR_FULL (too many, or too many of late), PROBER_ERR_CLOSED, PROBER_ERR_RANGE (too
 * long, no id), PROBER_ERR_NOMEM; with a sentence in *why: it was not taken. */
enum prober_error task_worker_submit(struct task_worker *worker, const char *id, const char *line,
                                     size_t len, uint64_t deadline_ns, struct prober_failure *why);
/* Ends a task that waits or runs, with a result; any other id changes nothing.
 * Errors: PROBER_ERR_FULL (try later), PROBER_ERR_CLOSED, PROBER_ERR_NOMEM. */
enum prober_error task_worker_cancel(struct task_worker *worker, const char *id);
/* Notes that the end of a task is known to who ordered it (task_ledger_tell); any other id changes
 * nothing. Errors: as those of task_worker_cancel. */
enum prober_error task_worker_told(struct task_worker *worker, const char *id);
/* Judges hosts by another policy from the next task on. */
void task_worker_set_policy(struct task_worker *worker, struct policy *policy);
/* Takes no more orders, and cancels what runs. */
void task_worker_close(struct task_worker *worker);
/* The same, and waits for the end of what runs and for its results. */
void task_worker_stop(struct task_worker *worker);
/* Stops it if need be. NULL is fine. */
void task_worker_destroy(struct task_worker *worker);

#endif
