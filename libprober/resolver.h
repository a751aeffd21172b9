/*
 * resolver - names to addresses, asynchronously, with the time that it took (adapter of c-ares).
 *
 * Purpose    A lookup never blocks and is bounded in time. Literal addresses answer at once. The
 *            system's resolv.conf and hosts file are honoured.
 * Threads    None of its own; one thread owns it. Callbacks run inside resolver_step and, for
 *            literals, inside resolver_lookup.
 * Ownership  Owns its sockets and lookups.
 */
#ifndef LIBPROBER_RESOLVER_H
#define LIBPROBER_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"

struct resolver;

enum resolver_status {
    RESOLVER_OK,
    RESOLVER_NXDOMAIN,
    RESOLVER_NODATA, /* the name exists, without an address of a wanted family */
    RESOLVER_TIMEOUT,
    RESOLVER_SERVFAIL,
    RESOLVER_REFUSED,
    RESOLVER_BAD_NAME,
    RESOLVER_CANCELLED,
    RESOLVER_STATUS_COUNT
};

/* "nxdomain", "timeout", …: constants fit for a metric label. */
const char *resolver_status_text(enum resolver_status status);

struct resolver_answer {
    enum resolver_status status;
    struct prober_addr address; /* the first of the preferred family, else of the other */
    size_t count;               /* of addresses in all */
    uint64_t elapsed_ns;        /* 0 for a literal */
};

typedef void (*resolver_done)(void *context, const struct resolver_answer *answer);

struct resolver_config {
    const char *servers;    /* "192.0.2.53[:port][,…]"; NULL: the system's */
    uint64_t timeout_ns;    /* of a lookup in all; 0: 3 s */
};

/* Errors: PROBER_ERR_NOMEM, _SYNTAX (servers), _IO. */
enum prober_error resolver_create(struct resolver **out, const struct resolver_config *config,
                                  struct prober_failure *why);
/* Starts a lookup. preferred: the family to take when there are both; strict: take no other.
 * `done` is called exactly once. */
void resolver_lookup(struct resolver *r, const char *name, enum prober_family preferred, bool strict,
                     uint64_t now_ns, resolver_done done, void *context);
/* An epoll fd that is readable when resolver_step has work. */
int resolver_fd(const struct resolver *r);
/* Does what is due. Returns the monotonic time of the next call, UINT64_MAX when idle. */
uint64_t resolver_step(struct resolver *r, uint64_t now_ns);
/* Ends what is open with RESOLVER_CANCELLED. */
void resolver_destroy(struct resolver *r);

#endif
