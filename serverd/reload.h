/*
 * reload - reads the configuration again and applies it: all of it, or nothing.
 *
 * Purpose    On SIGHUP and /-/reload the flags, environment, configuration file and probe file are
 *            read as at the start. With any fault in them everything stays as it was. A setting
 *            that needs a restart keeps its value, and a warning says so. Lists of targets that the
 *            probe file goes on naming go on; what is wrong with a list is no fault of the reload.
 * Threads    reload_run from any thread; one at a time works, the others wait.
 * Ownership  Borrows all that is in its configuration.
 */
#ifndef SERVERD_RELOAD_H
#define SERVERD_RELOAD_H

#include "common/error.h"
#include "common/problems.h"
#include "serverd/control.h"
#include "serverd/directory.h"
#include "serverd/gate.h"
#include "serverd/options.h"
#include "serverd/rpc.h"
#include "serverd/target_lists.h"

/* Makes what the control logic needs of the settings, reading the probe file.
 * Errors: PROBER_ERR_SYNTAX and others, with the faults in `problems`; *out is untouched then. */
enum prober_error reload_read(const struct serverd_settings *settings, struct control_change *out,
                              struct problems *problems);
/* Adds to `problems` when the spec's URLs make more series than `plan` allows: with the regions that
 * have agents now, more is known of that than from the spec alone. Any thread.
 * Errors: as plan_limits_check_urls. */
enum prober_error reload_check_urls(const struct probe_spec *spec, const char *file,
                                    const struct plan_config *plan, struct directory_board *board,
                                    struct problems *problems);
/* Opens the log as the settings say. Errors: as log_open. */
enum prober_error reload_open_log(const struct serverd_settings *settings,
                                  struct prober_failure *why);

struct reload;

struct reload_config {
    int argc; /* read again at each reload, as is the environment */
    char *const *argv;
    char *const *environment;
    const struct serverd_settings *settings; /* in force */
    struct rpc *rpc;
    struct directory_board *board; /* tells who would probe what is read */
    struct target_lists *lists;
    struct gate *gate; /* NULL: nobody is let in by it */
};

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error reload_create(struct reload **out, const struct reload_config *config);
/* Errors: with every fault in `problems`; nothing changed then. */
enum prober_error reload_run(struct reload *reload, struct problems *problems);
void reload_destroy(struct reload *reload);

#endif
