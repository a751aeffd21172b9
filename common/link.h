/*
 * link - request/reply and wake-up hints over nng (the adapter of nng).
 *
 * Purpose    Agents call (req), the server serves (rep); the server publishes hints (pub) that only
 *            wake (sub). Sizes are bounded; a peer that misbehaves is disconnected and counted.
 * Threads    The serving callback runs on nng's threads and must only queue the call. Replies come
 *            from any thread. A client belongs to one thread; link_client_interrupt is for others.
 * Ownership  A link_call belongs to whoever got it, until link_call_reply or link_call_drop.
 */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"

#define LINK_MESSAGE_MAX ((4u << 20) + (16u << 10) + 64) /* a sealed body of the largest size */
#define LINK_HINT_MAX 64
/* Calls of one connection that are open at once; a peer that exceeds it is disconnected. An honest
 * one has one, and a second for a moment after it gave up waiting. */
#define LINK_CALLS_PER_CONNECTION 4

struct link_server;
struct link_call;
struct link_client;
struct link_publisher;
struct link_subscriber;

/* ---- serving ---- */

/* One request arrived. */
typedef void (*link_serve_fn)(void *context, struct link_call *call);

/* What a connection carries. The user pointer is set by whoever serves; `release` is called once
 * for it, after the connection ended and no call of it is open: on an nng thread, or on the thread
 * that ended the last call. */
typedef void (*link_release_fn)(void *context, void *user);

struct link_server_config {
    const char *listen;            /* "localhost:6000", ":6000", "0.0.0.0:6000", "[::]:6000" */
    unsigned parallel;             /* requests received at once; 0: 64 */
    unsigned connections_max;      /* further ones are refused and counted; 0: 4096 */
    unsigned connections_per_peer; /* the same of one address; 0: no such bound */
    link_serve_fn serve;
    link_release_fn release;
    void *context;
};

/* Errors: PROBER_ERR_IN_USE, _SYNTAX, _DENIED, _NOT_FOUND (a name that does not resolve, an address
 * that the host does not have), _NOMEM, _IO with a sentence in *why. */
enum prober_error link_server_open(struct link_server **out,
                                   const struct link_server_config *config,
                                   struct prober_failure *why);
uint16_t link_server_port(const struct link_server *server);
/* Changes connections_max and connections_per_peer; what is open stays. Any thread. */
void link_server_bound(struct link_server *server, unsigned connections_max,
                       unsigned connections_per_peer);

struct link_server_counts {
    uint64_t connections; /* open now */
    uint64_t accepted_total;
    uint64_t refused_total; /* over connections_max or connections_per_peer */
    uint64_t dropped_total; /* disconnected for misbehaviour: link_call_drop, too many calls at
                               once, a reply that was not taken within 10 s */
    uint64_t requests_total;
};
void link_server_counts(const struct link_server *server, struct link_server_counts *out);
/* Stops receiving; calls that are open may still be replied to or dropped, and must be: to wait for
 * them, link_server_close takes up to 5 s. NULL is fine for both. */
void link_server_stop(struct link_server *server);
void link_server_close(struct link_server *server);

const void *link_call_bytes(const struct link_call *call, size_t *len);
struct prober_addr link_call_peer(const struct link_call *call);
/* A number that no other connection of this process has or had. */
uint64_t link_call_connection(const struct link_call *call);
void *link_call_user(const struct link_call *call);
/* Sets the connection's user pointer. A pointer it replaces is released. */
void link_call_set_user(struct link_call *call, void *user);
/* Sends bytes[len] (copied; at most LINK_MESSAGE_MAX) and frees the call. */
void link_call_reply(struct link_call *call, const void *bytes, size_t len);
/* Disconnects the peer without a reply, and frees the call. */
void link_call_drop(struct link_call *call);

/* ---- calling ---- */

/* `address` is "host:port"; dialled in the background and again after a loss, after a random pause
 * of up to 0.25 s, and longer after each further failure, up to 10 s. A name is resolved at each
 * dial. Errors: PROBER_ERR_SYNTAX, _NOMEM. */
enum prober_error link_client_open(struct link_client **out, const char *address,
                                   struct prober_failure *why);
/* Sends bytes[len] and waits for the reply, *reply (malloc'd) of *reply_len bytes. A request is
 * sent once, over one connection, and never again by itself; after a timeout the connection is made
 * anew. Errors: PROBER_ERR_TIMEOUT, _UNREACHABLE (no connection within the timeout, or it was
 * lost), _CLOSED (interrupted), _RANGE (len over LINK_MESSAGE_MAX), _NOMEM. After an error the
 * server may or may not have taken the request. */
enum prober_error link_client_call(struct link_client *client, const void *bytes, size_t len,
                                   uint64_t timeout_ns, void **reply, size_t *reply_len);
bool link_client_is_connected(const struct link_client *client);
/* How often a connection was made: a change since the last call means a new server connection. */
uint64_t link_client_connections(const struct link_client *client);
/* The local address of the present connection (family NONE when there is none). */
struct prober_addr link_client_local_addr(const struct link_client *client);
/* Ends the present connection, if there is one; the next call goes over another. */
void link_client_disconnect(struct link_client *client);
/* Makes a running and every later call end with PROBER_ERR_CLOSED; from any thread. */
void link_client_interrupt(struct link_client *client);
void link_client_close(struct link_client *client);

/* ---- hints ---- */

/* connections_max: further ones are refused; 0: 4096. Errors: as link_server_open. */
enum prober_error link_publisher_open(struct link_publisher **out, const char *listen,
                                      unsigned connections_max, struct prober_failure *why);
uint16_t link_publisher_port(const struct link_publisher *publisher);
/* Changes connections_max; what is open stays. Any thread. */
void link_publisher_bound(struct link_publisher *publisher, unsigned connections_max);
/* Publishes a hint of at most LINK_HINT_MAX bytes; never blocks, and may be lost. */
void link_publisher_send(struct link_publisher *publisher, const void *bytes, size_t len);
void link_publisher_close(struct link_publisher *publisher);

/* `hint` runs on an nng thread and must only wake someone. */
typedef void (*link_hint_fn)(void *context, const void *bytes, size_t len);
enum prober_error link_subscriber_open(struct link_subscriber **out, const char *address,
                                       link_hint_fn hint, void *context,
                                       struct prober_failure *why);
void link_subscriber_close(struct link_subscriber *subscriber);

#endif
