/*
 * http_tls_contexts - keeps what an HTTPS connection is made of for the next one (adapter of OpenSSL).
 *
 * Purpose    libcurl makes an SSL_CTX for each connection, which is a sixth of the CPU of a whole probe,
 *            and has no way to be given one. But it calls SSL_CTX_new, and by the rules of ELF a
 *            program's own function comes before a library's: this module defines SSL_CTX_new. In a
 *            thread that uses such a set, it hands out the context of a connection that has ended, put
 *            back as it was when it was new; in all others it does what OpenSSL's does. A context serves
 *            one connection at a time. No session is kept: each handshake is whole. Where libcurl does
 *            not call this function, all works as before.
 * Threads    A set belongs to one thread.
 * Ownership  Owns the contexts that are idle.
 */
#ifndef LIBPROBER_HTTP_TLS_CONTEXTS_H
#define LIBPROBER_HTTP_TLS_CONTEXTS_H

#include <stddef.h>

#include "common/error.h"

#define HTTP_TLS_CONTEXTS_MAX 64 /* idle ones; more are freed */

struct http_tls_contexts;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error http_tls_contexts_create(struct http_tls_contexts **out);
/* From now on this thread's connections take from `c` and give back to it; NULL: to none. Call it with
 * NULL before anybody else in the thread may use OpenSSL. */
void http_tls_contexts_use(struct http_tls_contexts *c);
size_t http_tls_contexts_idle(const struct http_tls_contexts *c);
/* NULL is fine. */
void http_tls_contexts_destroy(struct http_tls_contexts *c);

#endif
