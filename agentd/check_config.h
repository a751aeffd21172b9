/*
 * check_config - `agentd check-config`: says whether settings would be taken, and what is wrong.
 *
 * Threads    main() only.
 */
#ifndef AGENTD_CHECK_CONFIG_H
#define AGENTD_CHECK_CONFIG_H

/* argv[argc] is a file, or flags as the agent takes them, or nothing (the environment is checked).
 * Prints the settings that would hold as YAML, or each problem with its place. Returns the exit
 * status: 0 good, 2 not. */
int check_config(int argc, char *const *argv);

#endif
