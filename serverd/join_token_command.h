/*
 * join_token_command - `serverd join-token`: makes, lists and revokes tokens that agents join with.
 *
 * Threads    main() only.
 */
#ifndef SERVERD_JOIN_TOKEN_COMMAND_H
#define SERVERD_JOIN_TOKEN_COMMAND_H

/* argv[argc] without the program's name and the command's. Returns the exit status. */
int join_token_command(int argc, char *const *argv, char *const *environment);

#endif
