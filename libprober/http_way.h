/*
 * http_way - how a transfer reaches its server: straight, or through a proxy (with http_*, the
 *            adapter of libcurl).
 *
 * Purpose    Sets what libcurl must know to connect to the address that it is given, and what is
 *            said to a proxy alone. A plain request goes to a proxy of HTTP as such; all else goes
 *            through a tunnel: CONNECT, or SOCKS 5. The certificate of a proxy is judged by the
 *            same roots as the server's, and must be for the proxy's own name.
 * Threads    None of its own; whoever owns the transfer.
 * Ownership  Owns the lists that libcurl borrows. Borrows the proxy until it is cleared.
 */
#ifndef LIBPROBER_HTTP_WAY_H
#define LIBPROBER_HTTP_WAY_H

#include <stdbool.h>

#include "libprober/http_proxy.h"
#include "libprober/http_spec.h"
#include "libprober/http_tls.h"

struct curl_slist;
struct http_hop;

struct http_way {
    const struct http_proxy_server *proxy; /* NULL: none */
    bool is_tls;                           /* the server's */
    struct http_tls_session proxy_tls;     /* of a proxy of HTTPS */
    struct curl_slist *connect_to, *addresses, *lines;
    void *share; /* a cache of addresses for this transfer alone; NULL until it is needed */
};

/* Sets `easy`, a CURL handle, on the way to the hop. The certificate of a proxy is judged as `like`
 * judges the server's. False for lack of memory. */
bool http_way_set(struct http_way *w, void *easy, const struct http_hop *hop,
                  const struct http_spec *spec, const struct http_tls_session *like);
/* Takes from `easy` all that http_way_set gave it. */
void http_way_clear(struct http_way *w, void *easy);
/* The session of the handshake that begins now: the proxy's comes first; else `server`. */
struct http_tls_session *http_way_session(struct http_way *w, struct http_tls_session *server);
/* True once nothing but the server answers, or, for a plain request to a proxy of HTTP, that. */
bool http_way_is_open(const struct http_way *w, void *easy, const struct http_tls_session *server);
/* Clears the way and frees it; the handle must be in no set. */
void http_way_free(struct http_way *w, void *easy);

#endif
