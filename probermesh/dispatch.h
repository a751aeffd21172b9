/*
 * dispatch - the original's command lines: one program for server and agent.
 *
 * Purpose    `probermesh -mode agent|server …` takes the flags of both daemons, passes on those that
 *            the chosen one has, and executes it from the dispatcher's own directory.
 * Threads    main() only.
 * Ownership  A plan owns its argument vector.
 */
#ifndef PROBERMESH_DISPATCH_H
#define PROBERMESH_DISPATCH_H

#include <stddef.h>

#include "common/error.h"
#include "common/options.h"

enum dispatch_action { DISPATCH_RUN, DISPATCH_HELP, DISPATCH_VERSION };

/* A daemon that can be chosen: the name of its mode, its program, its options. */
struct dispatch_mode {
    const char *name;
    const char *program;
    const struct option *options;
    size_t option_count;
};

struct dispatch_plan {
    enum dispatch_action action;
    const struct dispatch_mode *mode;
    char **argv; /* [argc], then NULL: the program's name, then the flags that apply */
    size_t argc;
};

/* Reads the words after the program's name, argv[argc]. modes[count]; the first is the default.
 * Every flag must belong to some mode; one that belongs to another mode alone is left out. The last
 * -mode wins. Errors: PROBER_ERR_SYNTAX with a sentence in *why, _NOMEM; *out is then empty. */
enum prober_error dispatch_read(struct dispatch_plan *out, int argc, char *const *argv,
                                const struct dispatch_mode *modes, size_t count,
                                struct prober_failure *why);
void dispatch_free(struct dispatch_plan *plan);

/* The command `probermesh` without a sub-command: argv[argc] without the program's name. Returns
 * only when it did not execute a daemon: the exit status. */
int dispatch_command(int argc, char *const *argv);

#endif
