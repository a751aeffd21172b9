/*
 * status_command - `probermesh status`: the mesh of regions at a glance.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_STATUS_COMMAND_H
#define PROBERMESH_STATUS_COMMAND_H

/* argv[argc]: the words after "status". Returns the exit status: 0, 1 when the server does not
 * answer as it should, 2 for a usage error. */
int status_command(int argc, char *const *argv);

#endif
