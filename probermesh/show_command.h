/*
 * show_command - the commands that show what a server knows: the mesh, URLs, agents; once, or live.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_SHOW_COMMAND_H
#define PROBERMESH_SHOW_COMMAND_H

/* argv[argc]: the words after the command's name. Returns the exit status: 0, 1 when the server does
 * not answer as it should, 2 for a usage error. */

/* `probermesh status`: the mesh of regions. */
int status_command(int argc, char *const *argv);
/* `probermesh urls`: every URL from every region. */
int urls_command(int argc, char *const *argv);
/* `probermesh agents`: who is there. */
int agents_command(int argc, char *const *argv);
/* `probermesh audit`: who changed what. */
int audit_command(int argc, char *const *argv);

#endif
