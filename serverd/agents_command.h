/*
 * agents_command - `serverd agents`: lists agents and who they are trusted as, and revokes them.
 *
 * Threads    main() only.
 */
#ifndef SERVERD_AGENTS_COMMAND_H
#define SERVERD_AGENTS_COMMAND_H

/* argv[argc] without the program's name and the command's. Returns the exit status. */
int agents_command(int argc, char *const *argv, char *const *environment);

#endif
