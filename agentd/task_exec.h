/*
 * task_exec - `agentd task-exec`: the process between the agent and the program of a task.
 *
 * Purpose    The agent cannot fork (nng forbids it), and must not have the children of others, so
 *            it starts this, by posix_spawn, for every task. It starts the program, confined
 *            (task_confine), as its child in a session of its own, with /dev/null as its input, a
 *            cleared environment and no descriptors but 0 to 2. It is the subreaper of all that the
 *            program starts. When the program has ended, or its time is up, or the agent says so or
 *            is gone, it kills what is left of them (task_tree), reports, and ends.
 *
 *            That the agent is gone shows on descriptor 3. PR_SET_PDEATHSIG would tell of the death
 *            of the thread that started this, not of the agent's; the program has it, for the case
 *            that this process is killed, but loses it when its file grants capabilities.
 *
 *            Descriptor 3 is one end of a SOCK_SEQPACKET pair: the agent's shutdown of its end, or
 *            its death, is "stop"; the report goes back through it as one struct task_exec_report.
 *            Descriptors 1 and 2 are the program's; this process keeps no copy of them, so when
 *            they end, the whole tree has.
 * Threads    A program of its own, of one thread.
 */
#ifndef AGENTD_TASK_EXEC_H
#define AGENTD_TASK_EXEC_H

#include <stdint.h>

#define TASK_EXEC_NAME "task-exec"
#define TASK_EXEC_CONTROL 3

enum task_exec_end {
    TASK_EXEC_EXITED,    /* value: its exit status */
    TASK_EXEC_SIGNALLED, /* value: the signal */
    TASK_EXEC_REFUSED    /* it could not be started: text says why */
};

enum task_exec_stop { TASK_EXEC_NOT_STOPPED, TASK_EXEC_DEADLINE, TASK_EXEC_TOLD };

/* Between two processes of the same binary. */
struct task_exec_report {
    int32_t end; /* enum task_exec_end */
    int32_t value;
    int32_t stop;         /* enum task_exec_stop: why the program was killed */
    uint32_t left_behind; /* processes that outlived the program, and were killed */
    uint64_t duration_ns; /* from its start to its end */
    char text[256];
};

/* Runs `task-exec argv[0] …`:
 *   -deadline MS  -grace MS  [-raw] [-shell] [-own]  --  PATH  ARGV0 [ARG…]
 * Returns the exit status of the process: 0 when it reported, 2 for wrong usage. */
int task_exec_command(int argc, char *const *argv);

#endif
