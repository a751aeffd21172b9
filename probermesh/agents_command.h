/*
 * agents_command - `probermesh agents`: who is there.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_AGENTS_COMMAND_H
#define PROBERMESH_AGENTS_COMMAND_H

/* argv[argc]: the words after "agents". Returns the exit status: 0, 1 when the server does not
 * answer as it should, 2 for a usage error. */
int agents_command(int argc, char *const *argv);

#endif
