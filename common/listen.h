/*
 * listen - which addresses a "host:port" to listen on means, and whether they are free.
 *
 * Purpose    The link and the web server take the same notation and tell the same failures: the
 *            libraries below them hide the cause of a failed bind.
 * Threads    Any thread. May wait for name resolution: for start-up only.
 */
#ifndef COMMON_LISTEN_H
#define COMMON_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"

#define LISTEN_ADDRESSES_MAX 8

struct listen_address {
    struct prober_addr addr;
    bool optional; /* may be left out where the host has no such address */
};

struct listen_set {
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    size_t count;  /* from 1 */
    uint16_t port; /* 0: any free one */
    bool any;      /* every address of both families: [::] (optional) and 0.0.0.0 */
};

/* Reads "host:port", "[v6]:port" or ":port" (every address). "localhost" is 127.0.0.1 and, where it
 * exists, ::1; another name is resolved. Errors: PROBER_ERR_SYNTAX, PROBER_ERR_NOT_FOUND. */
enum prober_error listen_set_parse(const char *text, struct listen_set *out,
                                   struct prober_failure *why);
/* Binds a TCP socket to the address and lets go of it again. When *port is 0 it gets a free one.
 * Errors: PROBER_ERR_IN_USE, _DENIED, _NOT_FOUND (the host has no such address), _IO. */
enum prober_error listen_check(const struct prober_addr *addr, uint16_t *port,
                               struct prober_failure *why);

#endif
