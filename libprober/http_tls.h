/*
 * http_tls - verifies the certificates of a probed server (adapter of OpenSSL).
 *
 * Purpose    One set of trusted roots serves all connections; each handshake is verified here, so that
 *            the expiry of what the server sent is known even when nobody trusts it, and so that the
 *            reason is. Names are checked as Go does: subject alternative names alone.
 * Threads    Trust and session belong to one thread.
 * Ownership  A session is a value of the caller's; it borrows the trust and the name, and must stay in
 *            place until its handshake is over.
 */
#ifndef LIBPROBER_HTTP_TLS_H
#define LIBPROBER_HTTP_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_trace.h"

struct http_tls_trust;

struct http_tls_session {
    const struct http_tls_trust *trust;
    struct http_trace *trace; /* to be told; NULL */
    bool is_proxy;            /* the server is a proxy, to the trace */
    const char *name;    /* that the certificate must be for: a host name or a literal address */
    bool is_unverified;  /* anything will do */
    bool allows_old;     /* TLS below 1.2 */
    uint64_t started_ns; /* monotonic: the connection was there; 0: no handshake was begun */
    int64_t earliest_expiry;   /* Unix seconds, of all certificates sent; 0: unknown */
    int64_t last_chain_expiry; /* the earliest of the chain that was verified; 0: there is none */
    enum http_reason failure;  /* of verification */
    const char *version;       /* "TLS 1.3"; NULL: no server has shown a certificate */
};

/* Trusts the certificates in `pem`, or the system's when NULL. Errors: PROBER_ERR_SYNTAX (no
 * certificate in it), PROBER_ERR_NOMEM; *out is untouched then. */
enum prober_error http_tls_trust_create(struct http_tls_trust **out, const char *pem,
                                        struct prober_failure *why);

/* The system's certificates: parsing them takes 20 ms and 1 MB, so all that trust them share one set. */
struct http_tls_roots;

/* Reads nothing yet. Errors: PROBER_ERR_NOMEM. */
enum prober_error http_tls_roots_create(struct http_tls_roots **out);
/* Stores a trust in them in *out, to be destroyed by the caller, in the same thread. They are read at
 * first, and again when their file was changed. Errors: PROBER_ERR_NOMEM; *out is untouched then. */
enum prober_error http_tls_roots_trust(struct http_tls_roots *r, struct http_tls_trust **out,
                                       struct prober_failure *why);
/* Trusts made of it go on. NULL is fine. */
void http_tls_roots_destroy(struct http_tls_roots *r);

/* Makes the session the judge of what handshakes with `ssl_ctx`, an SSL_CTX, bring. */
void http_tls_attach(struct http_tls_session *s, void *ssl_ctx);
/* Notes the version of `ssl`, an SSL whose handshake is over; NULL is fine. */
void http_tls_note_version(struct http_tls_session *s, void *ssl);
/* Tells the trace what `ssl` agreed on; NULL is fine. */
void http_tls_trace(const struct http_tls_session *s, void *ssl);
/* NULL is fine. */
void http_tls_trust_destroy(struct http_tls_trust *t);

#endif
