/*
 * http_tls_reuse - keeps what an HTTPS connection is made of for the next one (adapter of OpenSSL).
 *
 * Purpose    Two things cost more than all else of a handshake, and need not be made anew. libcurl makes
 *            an SSL_CTX for each connection, and OpenSSL parses each certificate that a server sends,
 *            though it sent the same a moment ago: a sixth and a third of the CPU of a whole probe. There
 *            is no option to give them either. But by the rules of ELF a program's own function comes
 *            before a library's: this module defines SSL_CTX_new and d2i_X509. In a thread that uses a
 *            set of this module, the first hands out the context of a connection that has ended, put back
 *            as it was when it was new, and the second the certificate that it made of the same bytes
 *            before. Everywhere else, and where libraries do not call them, all is as without them.
 *
 *            Nothing that is proved in a handshake is kept: there is no session to resume, the server
 *            signs each time, and each time the whole chain is verified, by signature, name and date.
 * Threads    A set belongs to one thread.
 * Ownership  Owns the contexts that are idle, and holds the certificates.
 */
#ifndef LIBPROBER_HTTP_TLS_REUSE_H
#define LIBPROBER_HTTP_TLS_REUSE_H

#include <stddef.h>

#include "common/error.h"

#define HTTP_TLS_CONTEXTS_MAX 64       /* idle ones; more are freed */
#define HTTP_TLS_CERTIFICATES_MAX 4096 /* some 6 kB each; others take their places */

struct http_tls_reuse;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error http_tls_reuse_create(struct http_tls_reuse **out);
/* From now on this thread's connections take from `r` and give back to it; NULL: to none. Call it with
 * NULL before anybody else in the thread may use OpenSSL. */
void http_tls_reuse_use(struct http_tls_reuse *r);
size_t http_tls_reuse_contexts(const struct http_tls_reuse *r);
size_t http_tls_reuse_certificates(const struct http_tls_reuse *r);
/* NULL is fine. */
void http_tls_reuse_destroy(struct http_tls_reuse *r);

#endif
