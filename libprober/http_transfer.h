/*
 * http_transfer - one request and its answer, over a connection of its own (with http_*, the adapter of
 *                 libcurl).
 *
 * Purpose    What a hop of a probe sends and brings: the address is given, nothing is looked up, nothing
 *            is followed. The hops of a probe share one transfer, and so their cookies.
 * Threads    None of its own, no locks: one thread owns it.
 * Ownership  Owns the request, the answer and the handle that http_engine drives. Borrows the spec.
 */
#ifndef LIBPROBER_HTTP_TRANSFER_H
#define LIBPROBER_HTTP_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_proxy.h"
#include "libprober/http_spec.h"
#include "libprober/http_tls.h"
#include "libprober/http_trace.h"
#include "libprober/http_url.h"

struct http_transfer;

/* What is asked. All is copied but tls_name and proxy, which must stay until the next hop. */
struct http_hop {
    const struct http_url *url;
    struct prober_addr address;            /* NONE, with a proxy: it looks the name up */
    const struct http_proxy_server *proxy; /* NULL: straight there */
    struct prober_addr proxy_address;
    const char *method;
    bool has_body;              /* the spec's */
    const char *host;           /* the Host header */
    const char *tls_name;       /* for SNI, and what the certificate must be for */
    struct http_fields *fields; /* further header lines */
    struct http_trace *trace;   /* to be told; NULL */
};

/* What came of it. Texts are the transfer's, valid until the next hop. */
struct http_hop_result {
    enum http_reason fault; /* what kept the answer from being read whole */
    bool has_head;          /* the head came whole: the reply is valid */
    struct http_reply reply;
    const char *trouble; /* what was wrong with the proxy, or with our certificate; NULL: nothing */
    const char *location; /* of a redirect, whose body is not read; else NULL */
    uint64_t connect_ns, tls_ns, processing_ns, transfer_ns;
    int64_t content_length; /* as the answer says; -1: it does not */
    uint64_t body_received, body_decoded;
    const struct http_tls_session *tls;
};

/* trust: NULL when nothing is verified. Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error http_transfer_create(struct http_transfer **out, const struct http_spec *spec,
                                       const struct http_tls_trust *trust, bool keeps_body);
/* Makes the transfer ready for the hop; context: what http_transfer_context gives for the handle.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error http_transfer_prepare(struct http_transfer *t, const struct http_hop *hop,
                                        void *context, uint64_t now_ns);
/* The CURL handle. */
void *http_transfer_handle(const struct http_transfer *t);
void *http_transfer_context(void *handle);
/* Tells what came of the hop, which ended with `code`, a CURLcode; the handle is still as it was. */
void http_transfer_end(struct http_transfer *t, int code, struct http_hop_result *out);
/* The same for a hop whose time is up at now_ns. */
void http_transfer_expire(struct http_transfer *t, uint64_t now_ns, struct http_hop_result *out);
/* The handle must be in no set. NULL is fine. */
void http_transfer_destroy(struct http_transfer *t);

#endif
