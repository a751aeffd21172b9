/*
 * probe_trace - `agentd probe trace`: its flags, and the run.
 *
 * Threads    main() alone.
 */
#ifndef AGENTD_PROBE_TRACE_H
#define AGENTD_PROBE_TRACE_H

/* argv[argc]: the words after "trace". Returns the exit status, see probe_command.h. */
int probe_trace_command(int argc, char *const *argv);

#endif
