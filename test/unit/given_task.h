/*
 * given_task - programs for tasks: shell scripts, run by this very test binary as task-exec, and the
 * built-in ones, which are it too.
 *
 * A test that includes this starts its main() with `if (given_task_exec(argc, argv, &status))`.
 */
#ifndef TEST_UNIT_GIVEN_TASK_H
#define TEST_UNIT_GIVEN_TASK_H

#include <stdbool.h>
#include <string.h>

#include "agentd/probe_command.h"
#include "agentd/task_exec.h"
#include "agentd/task_run.h"
#include "common/clock.h"
#include "unit.h"

static inline bool given_task_exec(int argc, char **argv, int *status)
{
    bool is_exec = argc > 1 && strcmp(argv[1], TASK_EXEC_NAME) == 0;
    bool is_probe = argc > 1 && strcmp(argv[1], "probe") == 0;

    if (is_exec || is_probe)
        *status = (is_exec ? task_exec_command : probe_command)(argc - 2, argv + 2);
    return is_exec || is_probe;
}

#endif
