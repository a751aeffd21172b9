/*
 * task_desk - between the server, who orders tasks, and the thread that runs them.
 *
 * Purpose    Orders and cancels of the server's go to the worker (task_worker.h), each id once. What
 *            becomes of a task goes back as reports: at once when it begins and when it ends, every
 *            half second while it writes. A task is held until the server knows how it ended, or
 *            says that it knows nothing of it; that is then noted in the ledger. What an earlier
 *            life of the agent left untold is told first.
 *
 *            Memory is bounded: so many tasks are held, and so many bytes of their output. An order
 *            that finds no place is left for the next time that the server gives it; output that
 *            finds none is left out, with a line in its place.
 * Threads    The worker's thread, and that of the link: task_desk_take, _next, _answer, _reject.
 *            task_desk_counts, _set_policy, _is_empty from any; the others from the thread that made
 *            it.
 * Ownership  Owns the worker. Borrows ledger and wakeup until task_desk_destroy.
 */
#ifndef AGENTD_TASK_DESK_H
#define AGENTD_TASK_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/policy.h"
#include "agentd/task_ledger.h"
#include "agentd/task_worker.h"
#include "agentd/wakeup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/wire.h"

#define TASK_DESK_MAX 512                           /* tasks that are held */
#define TASK_DESK_FOLLOW_NS (500 * CLOCK_NS_PER_MS) /* between reports of a task that runs */

struct task_desk_config {
    struct task_settings
        settings; /* as for the worker; output_max up to WIRE_TASK_STREAM_MAX / 2 */
    struct task_ledger *ledger;
    struct policy *policy;
    struct wakeup *wakeup; /* signalled when there is something to report */
    size_t held_max;       /* bytes of output */
};

struct task_desk_counts {
    uint64_t taken, refused, ran, interrupted; /* since the start */
    size_t held;                               /* tasks of which the server does not know the end */
    size_t running;
    size_t bytes; /* of output, that are held */
};

struct task_desk;

/* Makes a desk and starts its worker. Errors: those of task_worker_create. */
enum prober_error task_desk_create(struct task_desk **out, const struct task_desk_config *config,
                                   struct prober_failure *why);
/* Takes the tasks and cancels of an answer that came over a trusted link. */
void task_desk_take(struct task_desk *desk, const struct wire_sync_reply *sync);
/* True when there is something to report at now_ns (monotonic clock): it is in *out, valid until the
 * next call of these four. Else *due_ns is when there may be, UINT64_MAX: after a signal. */
bool task_desk_next(struct task_desk *desk, uint64_t now_ns, struct wire_task_report *out,
                    uint64_t *due_ns);
/* The server's answer to the report that task_desk_next gave last. Without one, the report comes
 * again. */
void task_desk_answer(struct task_desk *desk, const struct wire_task_report_reply *reply,
                      uint64_t now_ns);
/* The server does not understand that report, and why: the task is given up. */
void task_desk_reject(struct task_desk *desk, const char *cause);
/* True when no task has anything left to be told. */
bool task_desk_is_empty(struct task_desk *desk);
void task_desk_counts(struct task_desk *desk, struct task_desk_counts *out);
void task_desk_set_policy(struct task_desk *desk, struct policy *policy);
/* Takes no more tasks, and ends what runs. */
void task_desk_close(struct task_desk *desk);
/* The same, and waits for that; results can still be delivered. What did not begin is let go of. */
void task_desk_stop(struct task_desk *desk);
void task_desk_destroy(struct task_desk *desk); /* NULL is fine */

#endif
