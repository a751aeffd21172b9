/*
 * http_trace - what happened in each hop of a probe, for a person who wants to know why.
 *
 * Purpose    A record that the engine fills when a probe is given one; daemons give none, and pay
 *            nothing. Secrets are masked before they get into it, see http_mask. It is bounded: what
 *            does not fit is left out, and is_cut tells so.
 * Threads    None of its own, no locks: it belongs to the thread of the engine while the probe runs.
 * Ownership  Owns its texts, valid until it is destroyed. Borrows the spec.
 */
#ifndef LIBPROBER_HTTP_TRACE_H
#define LIBPROBER_HTTP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_spec.h"
#include "libprober/http_url.h"
#include "libprober/resolver.h"

#define HTTP_TRACE_MAX (4u << 20)        /* bytes of a trace */
#define HTTP_TRACE_BODY_SEEN (16u << 10) /* of the beginning of a body that are looked through */
#define HTTP_TRACE_BODY_MAX 1024         /* of them that are kept */

/* A text in a list; NULL ends the list. */
struct http_trace_text {
    struct http_trace_text *next;
    const char *text;
};

struct http_trace_texts {
    struct http_trace_text *first, *last;
};

/* A head as it was sent or received: the start line, then the header lines. */
struct http_trace_head {
    struct http_trace_head *next;
    struct http_trace_texts lines;
};

struct http_trace_heads {
    struct http_trace_head *first, *last;
};

struct http_trace_certificate {
    struct http_trace_certificate *next;
    const char *subject, *issuer;  /* RFC 2253 */
    const char *serial, *sha256;   /* hexadecimal */
    const char *key, *signature;   /* "RSA 2048", "EC 256"; "RSA-SHA256" */
    int64_t not_before, not_after; /* Unix seconds */
    struct http_trace_texts names; /* that it is for: "*.a.test", "192.0.2.1" */
};

struct http_trace_tls {
    const char *version, *cipher; /* NULL: the handshake was not completed */
    const char *alpn;             /* NULL: none was agreed on */
    const char *server_name;      /* that the certificate must be for */
    enum { HTTP_TRACE_UNVERIFIED, HTTP_TRACE_TRUSTED, HTTP_TRACE_REFUSED } verdict;
    const char *verify_error; /* of HTTP_TRACE_REFUSED */
    int verify_depth;         /* which certificate of the chain it is about; 0: the server's own */
    struct http_trace_certificate *first, *last; /* as the server sent them */
};

/* What came of a hop that was asked of a server. 0 ns: the phase was not ended. */
struct http_trace_outcome {
    uint64_t connect_ns, tls_ns, processing_ns, transfer_ns;
    uint64_t body_received, body_decoded;
    const char *body; /* [body_len], how it begins, decoded */
    size_t body_len;
    const char *local; /* "192.0.2.1:50000", our end of the connection; NULL: there was none */
};

struct http_trace_hop {
    struct http_trace_hop *next;
    const char *url;   /* without user information */
    uint64_t began_ns; /* after the first hop */
    bool is_looked_up;
    struct resolver_answer answer;
    const char *proxy; /* "host:port"; NULL: none */
    struct prober_addr proxy_address;
    struct http_trace_heads requests, responses; /* several with a proxy, or interim answers */
    struct http_trace_tls *tls, *proxy_tls;      /* NULL: no handshake was begun */
    struct http_trace_tls *handshake;            /* the one that runs; private */
    struct http_trace_outcome outcome;
    enum http_reason failure; /* HTTP_SUCCEEDED: the answer came whole */
    const char *error;        /* what the library said of it; NULL: nothing */
};

struct http_trace {
    struct http_trace_hop *first, *last;
    struct http_check check; /* that failed in the end; key NULL: none */
    const char *error;       /* what was wrong before the first hop; NULL */
    bool is_cut;
    struct http_trace_store *store; /* private */
};

/* Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error http_trace_create(struct http_trace **out, const struct http_spec *spec);

/* The engine tells what happens, in this order; all is copied. A NULL trace is fine: nothing. */
void http_trace_begin_hop(struct http_trace *t, const struct http_url *url, uint64_t now_ns);
void http_trace_lookup(struct http_trace *t, const struct resolver_answer *answer);
/* The hop goes through the proxy host:port. */
void http_trace_proxy(struct http_trace *t, const char *host, uint16_t port,
                      const struct prober_addr *address);
/* A handshake begins that must prove server_name, that of the proxy perhaps. */
void http_trace_begin_tls(struct http_trace *t, const char *server_name, bool is_proxy);
/* Adds a certificate of the chain, then the names that it is for. */
void http_trace_certificate(struct http_trace *t, const struct http_trace_certificate *c);
void http_trace_name(struct http_trace *t, const char *name, size_t len);
/* error: NULL when the chain is trusted. */
void http_trace_verdict(struct http_trace *t, const char *error, int depth);
void http_trace_tls(struct http_trace *t, const char *version, const char *cipher,
                    const char *alpn);
/* A whole head as sent, with its line ends. */
void http_trace_request(struct http_trace *t, const char *head, size_t len);
/* One line of an answer, with its end; "HTTP/…" begins another answer. */
void http_trace_response(struct http_trace *t, const char *line, size_t len);
void http_trace_outcome(struct http_trace *t, const struct http_trace_outcome *outcome);
/* Why the hop, or what would have been the first, failed. error: NULL keeps what is known. */
void http_trace_fail(struct http_trace *t, enum http_reason reason, const char *error);

/* NULL is fine. */
void http_trace_destroy(struct http_trace *t);

#endif
