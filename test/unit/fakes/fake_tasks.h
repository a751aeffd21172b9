/*
 * fake_tasks - one task of two agents, whose course the test tells.
 *
 * Threads    The calls of serverd/tasks.h that operators use, from any thread; the test's own too.
 */
#ifndef FAKE_TASKS_H
#define FAKE_TASKS_H

#include <stdatomic.h>

#include "serverd/tasks.h"

#define FAKE_TASK "t1"
#define FAKE_AGENT "000102030405060708090a0b0c0d0e0f" /* the first one's; the second's ends in 10 */

/* What was asked for last, and how it is answered. */
extern struct fake_tasks_asked {
    char region[256], expr[8], line[256], who[64], cancelled_by[64];
    uint64_t timeout_ns;
    size_t created, cancels;
} fake_tasks_asked;
extern enum prober_error fake_tasks_error; /* of tasks_create and tasks_cancel */
extern atomic_int fake_tasks_await_error;  /* unless PROBER_OK */

/* What agents have to be told: one id and line, to be run or cancelled. NULL: nothing. */
extern const struct wire_task *fake_tasks_due;
extern const char *fake_tasks_due_cancel;

/* A task that is queued with both, and wrote nothing. */
void fake_tasks_reset(void);
void fake_tasks_set(size_t row, enum task_state state, int64_t value);
void fake_tasks_write(size_t row, enum task_stream_kind stream, const void *bytes, size_t len);

#endif
