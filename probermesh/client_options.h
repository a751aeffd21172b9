/*
 * client_options - the flags that the commands of the admin API's client share.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_CLIENT_OPTIONS_H
#define PROBERMESH_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "probermesh/client.h"

struct client_options {
    char *server;
    char *token; /* "": none */
    char *ca_file;
    bool plain_token;
    uint64_t timeout_ns;
    int colour; /* enum terminal_colour */
    bool json;
    bool help;
    bool watch;
    uint64_t interval_ns;
    bool pairs; /* of status alone */
    /* Of task. */
    char *region, *line; /* "": not given */
    int expr;            /* index into client_exprs */
    uint64_t task_timeout_ns; /* 0: not given */
    uint64_t wait_ns;
    bool detach;
    bool errors; /* stderr is asked for, not stdout */
};

/* How a region is compared, the default first; NULL at the end. */
extern const char *const client_exprs[];

enum client_command {
    CLIENT_STATUS,
    CLIENT_URLS,
    CLIENT_AGENTS,
    CLIENT_AUDIT,
    CLIENT_TASK,
    CLIENT_TASK_LIST,
    CLIENT_TASK_SHOW,
    CLIENT_TASK_OUTPUT,
    CLIENT_TASK_CANCEL
};

/* Reads the flags of a command, argv[argc], and PROBERMESH_SERVER and the like. Returns true when the
 * command is to go on; else *status is its exit status (help was printed, or an error). */
bool client_options_read(struct client_options *out, enum client_command command, int argc,
                         char *const *argv, int *status);
/* The strings are the options'. */
struct client_target client_options_target(const struct client_options *options);
void client_options_free(struct client_options *options, enum client_command command);

#endif
