/*
 * task_program - where the programs are that tasks run.
 *
 * Purpose    A fixed list of directories instead of $PATH, so that nobody's environment decides.
 * Threads    Pure function; any thread.
 */
#ifndef AGENTD_TASK_PROGRAM_H
#define AGENTD_TASK_PROGRAM_H

#include "common/error.h"

#define TASK_PROGRAM_MAX 256

/* This very program, also while a new one takes its place. */
#define TASK_PROGRAM_OWN "/proc/self/exe"
/* The directories, colon-separated: also what programs get as PATH. */
#define TASK_PROGRAM_DIRS "/usr/bin:/bin:/usr/sbin:/sbin"

/* Writes the absolute path of `name` (without a slash) in `dirs`, of which the first that has it
 * counts. Errors: PROBER_ERR_NOT_FOUND with a sentence in *why, PROBER_ERR_SYNTAX for what is no
 * file name. */
enum prober_error task_program_find(const char *name, const char *dirs, char out[TASK_PROGRAM_MAX],
                                    struct prober_failure *why);

#endif
