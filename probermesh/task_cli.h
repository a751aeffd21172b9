/*
 * task_cli - `probermesh task`: has agents run commands, and looks at tasks.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_TASK_CLI_H
#define PROBERMESH_TASK_CLI_H

/* argv[argc]: the words after "task". Returns the exit status (its help tells them). */
int task_cli(int argc, char *const *argv);

#endif
