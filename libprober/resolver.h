/*
 * resolver - names to addresses, asynchronously, with the time that it took (adapter of c-ares).
 *
 * Purpose    A lookup never blocks and is bounded in time. Literal addresses answer at once, names
 *            of the hosts file too; other names are asked of the servers in resolv.conf, with its
 *            search list. A resolv.conf that changes is read again. When many lookups are open at
 *            once, RESOLVER_FLIGHTS_MAX are asked and the others wait for their turn; the time of a
 *            lookup begins with its turn.
 * Threads    None of its own; one thread owns it. Callbacks run inside resolver_step, and inside
 *            resolver_lookup for what is known at once. A callback may start further lookups, and
 *            must not destroy the resolver.
 * Time       A time that is earlier than one that was given before is taken for that one.
 * Ownership  Owns its sockets and lookups.
 */
#ifndef LIBPROBER_RESOLVER_H
#define LIBPROBER_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"

#define RESOLVER_FLIGHTS_MAX 128 /* their replies fit into a socket's default buffer */
#define RESOLVER_SHOWN_MAX 8     /* addresses of an answer that are told */

struct resolver;

enum resolver_status {
    RESOLVER_OK,
    RESOLVER_NXDOMAIN,
    RESOLVER_NODATA, /* the name exists, without an address of a wanted family */
    RESOLVER_TIMEOUT,
    RESOLVER_SERVFAIL, /* a server failed, or answered what is no answer */
    RESOLVER_REFUSED,  /* a server refused to answer, or no server takes packets */
    RESOLVER_BAD_NAME,
    RESOLVER_CANCELLED, /* the resolver was destroyed, or there is no memory for the lookup */
    RESOLVER_STATUS_COUNT
};

/* "nxdomain", "timeout", …: constants fit for a metric label. */
const char *resolver_status_text(enum resolver_status status);

struct resolver_answer {
    enum resolver_status status;
    struct prober_addr address; /* the first of the preferred family, else of the other */
    size_t count;               /* of addresses of that family */
    uint64_t elapsed_ns;        /* 0 for what was known at once */
    struct prober_addr shown[RESOLVER_SHOWN_MAX]; /* the first of them, `address` too */
};

typedef void (*resolver_done)(void *context, const struct resolver_answer *answer);

struct resolver_config {
    const char *servers; /* "192.0.2.53[:port][,…]"; NULL: the system's */
    uint64_t timeout_ns; /* of a lookup in all; 0: 3 s */
};

/* Errors: PROBER_ERR_NOMEM, _SYNTAX (servers), _IO. */
enum prober_error resolver_create(struct resolver **out, const struct resolver_config *config,
                                  struct prober_failure *why);
/* Starts a lookup of a literal address or a name of ASCII letters, digits, '-', '_' and '.', whose
 * last label is no number. preferred: the family to take when there are both (NONE: IPv4); strict:
 * take no other. `done` is called exactly once. The preferred family's answer ends the lookup, and
 * that of the other family counts when the preferred one has none or is not answered in time. */
void resolver_lookup(struct resolver *r, const char *name, enum prober_family preferred,
                     bool strict, uint64_t now_ns, resolver_done done, void *context);
/* An epoll fd that is readable when resolver_step has work. */
int resolver_fd(const struct resolver *r);
/* Does what is due. Returns the monotonic time of the next call, UINT64_MAX when idle. */
uint64_t resolver_step(struct resolver *r, uint64_t now_ns);
/* Ends what is open with RESOLVER_CANCELLED. NULL is fine. */
void resolver_destroy(struct resolver *r);

#endif
