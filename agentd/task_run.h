/*
 * task_run - one program of a task while it runs, seen from the agent.
 *
 * Purpose    Starts `agentd task-exec` (task_exec.h), takes what the program writes, and tells how
 *            it ended. It never blocks and starts no thread: its owner polls it with others.
 * Threads    One thread owns it, the one that started it. To stop a task from another thread, wake
 *            that one (wakeup.h).
 * Ownership  Owns the process and its pipes until task_run_destroy.
 */
#ifndef AGENTD_TASK_RUN_H
#define AGENTD_TASK_RUN_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/task_output.h"
#include "common/error.h"

#define TASK_RUN_FDS 3

struct task_run_order {
    const char *path;        /* absolute */
    const char *const *argv; /* NULL-terminated, with the name at [0] */
    bool raw, shell, own;    /* see task_confine.h */
    uint64_t deadline_ns;    /* how long it may run: 1 ms to a day */
    uint64_t grace_ns;       /* from the first request to end until it is killed: 1 ms or more */
    size_t output_max;       /* bytes kept of each stream (task_output.h) */
    uint64_t output_stop;    /* a program that wrote more than this in all is stopped */
};

enum task_end {
    TASK_END_EXITED,     /* value: the exit status */
    TASK_END_SIGNALLED,  /* value: the signal, which was not of our sending */
    TASK_END_TIMED_OUT,  /* stopped at its deadline */
    TASK_END_CANCELLED,  /* stopped by task_run_cancel */
    TASK_END_OVERFLOWED, /* stopped for its output */
    TASK_END_REFUSED,    /* could not be started: text says why */
    TASK_END_LOST        /* task-exec ended without a word: killed by someone, or out of memory */
};

/* "exited", "signalled", …: constants. */
const char *task_end_text(enum task_end end);

struct task_outcome {
    enum task_end end;
    int value;
    uint64_t duration_ns;
    unsigned left_behind; /* processes that outlived the program, and were killed */
    struct task_output out, err;
    char text[256];
};

struct task_run;

/* Starts it. Errors: PROBER_ERR_IO, PROBER_ERR_NOMEM, with a sentence in *why and *out untouched:
 * nothing ran. (That the program cannot be executed is TASK_END_REFUSED, later.) */
enum prober_error task_run_start(struct task_run **out, const struct task_run_order *order,
                                 uint64_t now_ns, struct prober_failure *why);
/* Fills fds[TASK_RUN_FDS] for poll(2); what is closed is -1. */
void task_run_poll(const struct task_run *run, struct pollfd *fds);
/* The time by which task_run_step has to be called even if nothing happens; UINT64_MAX: never. */
uint64_t task_run_due(const struct task_run *run);
/* Does what is due. True when it has ended, and everything that it started with it. */
bool task_run_step(struct task_run *run, uint64_t now_ns);
/* Asks for its end, which task_run_step tells of. */
void task_run_cancel(struct task_run *run, uint64_t now_ns);
/* What came of it so far; whole when it has ended. Valid until task_run_destroy. */
const struct task_outcome *task_run_outcome(const struct task_run *run);
/* Of a task that has not ended yet, the end is waited for: its grace and at most some 2 s more.
 * NULL is fine. */
void task_run_destroy(struct task_run *run);

#endif
