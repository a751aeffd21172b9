/*
 * web - a small HTTP server over a table of routes (adapter of civetweb, plain HTTP).
 *
 * Purpose    Serves metrics and the admin API. Bodies, headers, time and connections are bounded;
 *            a method that a route does not have gets 405, an unknown path 404.
 * Threads    Handlers run on civetweb's threads: they read a snapshot or queue a command, no more.
 * Ownership  web_open copies nothing of the table: it must outlive the server.
 */
#ifndef COMMON_WEB_H
#define COMMON_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"

struct web_server;
struct web_exchange; /* one request and its answer */

enum web_method { WEB_GET = 1, WEB_POST = 2, WEB_PUT = 4, WEB_DELETE = 8 };

typedef void (*web_handler)(struct web_exchange *x, void *context);

struct web_route {
    /* Exact; "{name}" stands for one part of it between slashes, for web_path_part; a prefix when it
     * ends in "/" + "*": then web_path_rest. */
    const char *path;
    unsigned methods;    /* enum web_method, or'ed; GET takes HEAD along */
    unsigned role;       /* what it takes to be let in: the gate's to judge, if there is one */
    web_handler handler;
};

/* Gets every request in the handler's place, before its body is read: it answers, or has web_pass go
 * on. It runs on civetweb's threads, as handlers do. */
typedef void (*web_gate)(struct web_exchange *x, void *context);

struct web_config {
    const char *listen;   /* "localhost:6001", ":6001", "[::1]:6001", "0.0.0.0:0" */
    unsigned threads;     /* as many connections are served at a time; 0: 64 */
    uint64_t timeout_ns;  /* a request must arrive within it; 0: 5 s */
    size_t body_max;      /* a longer body is answered 413; 0: 1 MiB */
    void *context;        /* passed to every handler */
    web_gate gate;        /* NULL: everybody is let in */
    void *gate_context;
    /* When half of all connections are taken, those of one peer above so many, or above that half, are
     * ended; 0: they are not. Peers that `spared` names (NULL: none) may have any number. */
    unsigned per_peer;
    bool (*spared)(void *gate_context, const struct prober_addr *peer);
};

/* Opens the server; "localhost" and ":port" listen on both families where they exist and civetweb has
 * them (Debian 12 builds it without IPv6: there they are IPv4 alone).
 * Errors: PROBER_ERR_IN_USE, _SYNTAX, _DENIED, _NOT_FOUND (no such address), _UNSUPPORTED (an IPv6
 * address without IPv6 in civetweb), _NOMEM, _IO with a sentence in *why. */
enum prober_error web_open(struct web_server **out, const struct web_config *config,
                           const struct web_route *routes, size_t count,
                           struct prober_failure *why);
/* The port that was bound (for port 0). */
uint16_t web_port(const struct web_server *server);
/* Stops accepting, waits for running handlers, frees; takes up to some 3 s. NULL is fine. */
void web_close(struct web_server *server);

/* What is refused before any gate or handler sees it. */
enum web_refusal {
    WEB_REFUSED_REQUEST, /* no request, or one of too large a head */
    WEB_REFUSED_TIME,    /* it did not come in time */
    WEB_REFUSED_BODY,    /* too large, or of a form that is not taken */
    WEB_REFUSED_CROWD,   /* a connection more than a peer may have */
    WEB_REFUSAL_COUNT
};
/* Adds, for metrics, how many requests there were by status class (index 2: 2xx …), and how many of
 * them were refused. */
void web_add_counts(const struct web_server *server, uint64_t by_class[6],
                    uint64_t refused[WEB_REFUSAL_COUNT]);

/* The request. Strings are valid while the handler runs. */
enum web_method web_method(const struct web_exchange *x);
const char *web_path(const struct web_exchange *x);
const char *web_path_rest(const struct web_exchange *x);
/* The part that "{name}" in the route's path stands for, decoded and never empty, into out[room]; false
 * when it is too long. */
bool web_path_part(const struct web_exchange *x, const char *name, char *out, size_t room);
/* The decoded value of a query parameter into out[room]; false when absent or too long. */
bool web_query(const struct web_exchange *x, const char *name, char *out, size_t room);
const char *web_header(const struct web_exchange *x, const char *name); /* NULL when absent */
/* Header i, from 0 in the order they came; false: there are no more. */
bool web_header_at(const struct web_exchange *x, size_t i, const char **name, const char **value);
struct prober_addr web_peer(const struct web_exchange *x);
uint16_t web_peer_port(const struct web_exchange *x);
/* The port of ours that it came to. */
uint16_t web_own_port(const struct web_exchange *x);
/* The request target without the query, as it came; the query, NULL: none; "1.1", "1.0". */
const char *web_raw_path(const struct web_exchange *x);
const char *web_raw_query(const struct web_exchange *x);
const char *web_version(const struct web_exchange *x);
/* The request's method as it came, also one that no route can have. */
const char *web_method_text(const struct web_exchange *x);
/* The whole body, NUL-terminated and *len bytes long; "" when there is none. It was read, within the
 * bounds of size and time, before the handler was called. */
const char *web_body(const struct web_exchange *x, size_t *len);

/* ---- for a gate ---- */

/* The route that answers the request; NULL: none does. */
const struct web_route *web_matched(const struct web_exchange *x);
/* Reads the body now, not only before the handler is called. False: it did not come as it should,
 * and the client was told. */
bool web_receive(struct web_exchange *x);
/* Lets the handler answer; 404 and 405 where there is none. */
void web_pass(struct web_exchange *x);
/* Answers without reading what else the client sends, and ends the connection. `name` and `value`: a
 * header more; NULL: none. */
void web_refuse(struct web_exchange *x, int status, const char *name, const char *value,
                const char *text);
/* What the gate knows of the caller, for the handler; NULL before it is set. */
void web_set_caller(struct web_exchange *x, void *caller);
void *web_caller(const struct web_exchange *x);
/* Calls `hook` once, when the answer's status is known and before any of it is sent. */
void web_before_reply(struct web_exchange *x, void (*hook)(void *context, int status),
                      void *context);

/* The answer: exactly one call; without one the client gets 500. `type` is the Content-Type. A client
 * that has not taken it within 6 times the timeout is left. */
void web_reply(struct web_exchange *x, int status, const char *type, const void *bytes, size_t len);
void web_reply_text(struct web_exchange *x, int status, const char *text);
/* The same, with a Content-Encoding ("gzip"). */
void web_reply_encoded(struct web_exchange *x, int status, const char *type, const char *encoding,
                       const void *bytes, size_t len);
/* Asks whether the handler may take its time, waiting for something to happen: a quarter of all
 * connections may, so that the others are left for who asks in passing. */
bool web_linger(struct web_exchange *x);
/* True when web_close waits for the handlers: those that take their time are to return. */
bool web_is_closing(const struct web_exchange *x);
/* An answer without an end of its own: begins it, with status 200. False when there is nothing to
 * send: it was a HEAD, or it may not linger (then it was answered 503). */
bool web_stream(struct web_exchange *x, const char *type);
/* Sends bytes[len] of it. False when the client has gone, or has not taken them within the timeout, or
 * the server closes: the handler is to return. */
bool web_stream_put(struct web_exchange *x, const void *bytes, size_t len);
/* True when the client accepts gzip (RFC 9110, section 12.5.3). */
bool web_accepts_gzip(const struct web_exchange *x);

#endif
