/*
 * agent_check - `agentd check-config`: says whether settings would be taken, and what is wrong.
 *
 * Threads    main() only.
 */
#ifndef AGENTD_AGENT_CHECK_H
#define AGENTD_AGENT_CHECK_H

/* argv[argc] is a file, or flags as the agent takes them; -dump first prints the settings that would
 * hold, as YAML. Environment variables are left out: what is checked does not depend on who checks.
 * Returns the exit status: 0 good, 1 not. */
int agent_check(int argc, char *const *argv);

#endif
