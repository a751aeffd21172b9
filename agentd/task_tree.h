/*
 * task_tree - the descendants of this process, and the end of them.
 *
 * Purpose    For a process that is a child subreaper (prctl(2)): whatever its children start, and
 *            whatever that makes of itself (a session, a daemon), stays below it and is found in
 *            /proc. Nothing escapes by forking faster than it is killed: all are stopped before any
 *            is killed.
 * Threads    One thread, in a process that waits for its children nowhere else.
 */
#ifndef AGENTD_TASK_TREE_H
#define AGENTD_TASK_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sends a signal to every descendant that is alive; returns how many there are. */
size_t task_tree_signal(int signal);
/* Takes the children that have ended; when `child` is among them, its status goes to *status.
 * Returns how many ended. *none (may be NULL) tells that there are no children any more. */
size_t task_tree_reap(pid_t child, int *status, int *none);
/* Kills every descendant, and takes them all, and `child` as task_tree_reap does. What the kernel
 * does not let go (it waits for a device) is waited for until `patience_ns` is over. Returns how
 * many were left alive before the call, without `child`. */
size_t task_tree_end(pid_t child, int *status, uint64_t patience_ns);

#endif
