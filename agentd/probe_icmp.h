/*
 * probe_icmp - `agentd probe icmp`: its flags, and the run.
 *
 * Threads    main() alone.
 */
#ifndef AGENTD_PROBE_ICMP_H
#define AGENTD_PROBE_ICMP_H

/* argv[argc]: the words after "icmp". Returns the exit status, see probe_command.h. */
int probe_icmp_command(int argc, char *const *argv);

#endif
