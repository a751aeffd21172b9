/*
 * task_landlock - takes the file system from this process, but for reading what tools need.
 *
 * Purpose    Landlock (landlock(7)): programs, libraries, /proc, /sys and some of /etc can be read;
 *            nothing can be written but /dev/null and its like; keys, state and homes cannot even
 *            be read. Where the kernel can, signals to processes outside and their abstract sockets
 *            are out of reach as well.
 * Threads    For a process of one thread, before it executes another program.
 */
#ifndef AGENTD_TASK_LANDLOCK_H
#define AGENTD_TASK_LANDLOCK_H

#include <stdbool.h>

#include "common/error.h"

/* Needs no_new_privs. wide: all of /etc but secrets, and /var/log, for a shell. own: the file of
 * this very program too, wherever it is.
 * Errors: PROBER_ERR_UNSUPPORTED when the kernel has no Landlock, PROBER_ERR_IO; nothing is then
 * taken away. */
enum prober_error task_landlock_apply(bool wide, bool own, struct prober_failure *why);

#endif
