/*
 * link_nng - what the parts of the link share: nng's sockets, and the connections of a listening
 * one.
 *
 * Purpose    For link.c, link_client.c, link_cut.c and link_hints.c alone, which together are the
 *            adapter of nng: one file would be too long to read.
 * Threads    A connection_table has a lock of its own; the rest is for any thread.
 * Ownership  A table owns its connections; an open call holds its connection.
 */
#ifndef COMMON_LINK_NNG_H
#define COMMON_LINK_NNG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <nng/nng.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/link.h"

/* ---- sockets ---- */

/* The error that a result of nng's means. */
enum prober_error link_error(int rc);
/* The address of a pipe's end, NNG_OPT_LOCADDR or NNG_OPT_REMADDR; family NONE when it has none. */
struct prober_addr link_pipe_addr(nng_pipe pipe, const char *which);
/* Every socket is bounded: a peer's message above `max` bytes ends its connection. Keep-alive finds
 * hosts that vanished without a word. Returns nng's result. */
int link_bound_socket(nng_socket sock, size_t max);
/* Listens on every address of "host:port"; *port gets the port that was bound. */
enum prober_error link_listen(nng_socket sock, const char *listen, uint16_t *port,
                              struct prober_failure *why);
/* Dials "host:port" in the background, and again after each loss. */
enum prober_error link_dial(nng_socket sock, const char *address, struct prober_failure *why);

/* Ends a pipe's connection: shuts its socket down, so that nng finds that out while it reads. For
 * nng_pipe_close, with a read that just ended and another to follow, leaves the pipe waiting for it, and
 * the thread that frees pipes waiting for the pipe: for good (nng 1.5.2, tcptran_pipe_recv_cb). What had
 * come before may still be received. */
void link_cut(nng_pipe pipe);
/* The same for every connection that was accepted at a port. */
void link_cut_port(uint16_t port);

/* A condition whose waits end by the monotonic clock, and such an end. */
void link_init_monotonic(pthread_cond_t *cond);
struct timespec link_timespec(uint64_t ns);

/* ---- connections: one per pipe of a listening socket ---- */

#define CONNECTION_BUCKETS 1024

struct connection {
    struct connection *next; /* in its bucket */
    uint32_t pipe;           /* nng's id of it */
    uint64_t number;
    struct prober_addr peer;
    void *user;
    unsigned calls; /* open ones: each holds the connection */
    bool cut;       /* no call is taken from it any more */
    bool ended;     /* out of the table: it goes when no call is open */
};

struct connection_table {
    pthread_mutex_t lock;
    struct connection *buckets[CONNECTION_BUCKETS];
    unsigned max, per_peer; /* 0: no bound */
    bool closing;           /* none is admitted any more */
    uint64_t open, accepted, refused, dropped;
    link_release_fn release;
    void *context;
};

/* max 0: the default; of one peer there is no bound at first. `release` may be NULL. */
void link_connections_init(struct connection_table *t, unsigned max, link_release_fn release,
                           void *context);
/* Changes the bounds; 0 as above. */
void link_connections_bound(struct connection_table *t, unsigned max, unsigned per_peer);
/* Has nng tell the table of each pipe of the socket. Returns nng's result. */
int link_connections_watch(nng_socket sock, struct connection_table *t);
/* The pipe's connection, held by one more call; NULL when it has ended or has too many open: then
 * it is disconnected. */
struct connection *link_connection_hold(struct connection_table *t, nng_pipe pipe);
/* Disconnects the peer of an open call, and counts it. */
void link_connection_drop(struct connection_table *t, struct connection *c);
/* Ends all connections, admits no more, and waits a moment for that. */
void link_connections_cut(struct connection_table *t, uint16_t port);
void link_connection_release(struct connection_table *t, struct connection *c);
/* After the socket was closed. */
void link_connections_clear(struct connection_table *t);

#endif
