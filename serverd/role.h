/*
 * role - what a caller of the admin API may do.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef SERVERD_ROLE_H
#define SERVERD_ROLE_H

#include <stdbool.h>

/* Each may do what those before it may. */
enum role {
    ROLE_NONE,    /* ask whether the server is well */
    ROLE_SCRAPE,  /* scrape the metrics, by whatever name the server is called */
    ROLE_READ,    /* see what it knows */
    ROLE_OPERATE, /* have it do things */
    ROLE_ADMIN,   /* decide who may, and see who did */
    ROLE_COUNT
};

/* "none", "scrape", "read", "operate", "admin". */
const char *role_text(enum role role);
/* Reads one of them but the first. */
bool role_parse(const char *text, enum role *out);

#endif
