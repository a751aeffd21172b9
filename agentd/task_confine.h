/*
 * task_confine - what a task's program may do, taken from the process that becomes it.
 *
 * Purpose    Limits of resources, capabilities, no_new_privs and Landlock (task_landlock).
 *
 *            Of the capabilities, CAP_NET_RAW alone is left, and that only to programs that need it
 *            and only if the agent has it: as an ambient one, so that ping, mtr and mtr's helper
 *            have it also where their files grant nothing. Then no_new_privs can be set for all of
 *            them: a file that grants CAP_NET_RAW grants nothing new. Where the agent has no
 *            CAP_NET_RAW itself, no_new_privs would take from ping and mtr what their files grant
 *            them, so these run without it, and without Landlock, which needs it; the grammar holds
 *            them all the same. A shell never runs without either.
 * Threads    For a process of one thread, between fork and exec.
 */
#ifndef AGENTD_TASK_CONFINE_H
#define AGENTD_TASK_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define TASK_MEMORY_MAX (UINT64_C(1) << 30)
#define TASK_FILES_MAX 256
#define TASK_PROCESSES_MAX 1024 /* of the agent's user, all in all; root is not bound by it */

struct task_confinement {
    bool raw;        /* the program sends packets of its own making */
    bool shell;      /* Landlock is a must, and reads more */
    bool own;        /* it is the agent's own program, whose file grants it nothing new */
    uint64_t cpu_ns; /* the most processor time of each process */
};

/* Errors: PROBER_ERR_UNSUPPORTED (a shell without Landlock), PROBER_ERR_IO: the program must not be
 * executed then. */
enum prober_error task_confine(const struct task_confinement *c, struct prober_failure *why);

#endif
