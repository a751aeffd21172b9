/*
 * reload - reads the configuration again and applies it: all of it, or nothing.
 *
 * Purpose    On SIGHUP and /-/reload the flags, environment, configuration file and probe file are
 *            read as at the start. With any fault in them everything stays as it was. A setting
 *            that needs a restart keeps its value, and a warning says so.
 * Threads    reload_run from any thread; one at a time works, the others wait.
 * Ownership  Borrows arguments, environment and rpc.
 */
#ifndef SERVERD_RELOAD_H
#define SERVERD_RELOAD_H

#include "common/error.h"
#include "common/problems.h"
#include "serverd/control.h"
#include "serverd/directory.h"
#include "serverd/options.h"
#include "serverd/rpc.h"

/* Makes what the control logic needs of the settings, reading the probe file.
 * Errors: PROBER_ERR_SYNTAX and others, with the faults in `problems`; *out is untouched then. */
enum prober_error reload_read(const struct serverd_settings *settings, struct control_change *out,
                              struct problems *problems);
/* Opens the log as the settings say. Errors: as log_open. */
enum prober_error reload_open_log(const struct serverd_settings *settings,
                                  struct prober_failure *why);

struct reload;

/* argv[argc] and environment are read again at each reload. `settings`: those in force, borrowed, as is
 * the board, which tells who would probe what is read. */
enum prober_error reload_create(struct reload **out, int argc, char *const *argv,
                                char *const *environment, const struct serverd_settings *settings,
                                struct rpc *rpc, struct directory_board *board);
/* Errors: with every fault in `problems`; nothing changed then. */
enum prober_error reload_run(struct reload *reload, struct problems *problems);
void reload_destroy(struct reload *reload);

#endif
