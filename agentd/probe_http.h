/*
 * probe_http - `agentd probe http`: its flags, and the run.
 *
 * Threads    main() alone.
 */
#ifndef AGENTD_PROBE_HTTP_H
#define AGENTD_PROBE_HTTP_H

/* argv[argc]: the words after "http". Returns the exit status, see probe_command.h. */
int probe_http_command(int argc, char *const *argv);

#endif
