/*
 * given_task - small programs for tasks: shell scripts, run by this very test binary as task-exec.
 *
 * A test that includes this starts its main() with `if (given_task_exec(argc, argv, &status))`.
 */
#ifndef TEST_UNIT_GIVEN_TASK_H
#define TEST_UNIT_GIVEN_TASK_H

#include <stdbool.h>
#include <string.h>

#include "agentd/task_exec.h"
#include "agentd/task_run.h"
#include "common/clock.h"
#include "unit.h"

static inline bool given_task_exec(int argc, char **argv, int *status)
{
    if (argc < 2 || strcmp(argv[1], TASK_EXEC_NAME) != 0)
        return false;
    *status = task_exec_command(argc - 2, argv + 2);
    return true;
}

#endif
