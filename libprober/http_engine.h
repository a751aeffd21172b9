/*
 * http_engine - probes URLs, thousands at once, hop by hop (with http_*, the adapter of libcurl).
 *
 * Purpose    A probe resolves the host, connects to one address once, asks, reads the answer through a
 *            limit and judges it, as blackbox_exporter does; up to 10 redirects are followed, each over
 *            a connection of its own, and the phases are summed over them. Nothing of the environment
 *            is used. Nothing secret goes to another host: credentials, Authorization and Cookie
 *            headers and secret header values stay withheld once a redirect has left the target's host
 *            and what is below it.
 * Threads    None of its own; one thread owns it. Callbacks run inside http_engine_step, and inside
 *            http_engine_start for what fails at once. A callback may start further probes, and must
 *            not destroy the engine.
 * Ownership  Owns its probes and sockets. Borrows the resolver, and each kind of probe while a probe of
 *            that kind runs.
 */
#ifndef LIBPROBER_HTTP_ENGINE_H
#define LIBPROBER_HTTP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_kind.h"
#include "libprober/http_spec.h"
#include "libprober/http_trace.h"
#include "libprober/resolver.h"

#define HTTP_REDIRECTS_MAX 10
#define HTTP_ENGINE_BUSY_NS (10 * CLOCK_NS_PER_MS)

/* Resolving, connecting, TLS, processing (from the connection to the first byte of the answer, the
 * request included), and transfer (to its end; of the last hop alone). */
enum http_phase {
    HTTP_PHASE_RESOLVE,
    HTTP_PHASE_CONNECT,
    HTTP_PHASE_TLS,
    HTTP_PHASE_PROCESSING,
    HTTP_PHASE_TRANSFER,
    HTTP_PHASE_COUNT
};

/* "resolve", "connect", …: constants fit for a metric label. */
const char *http_phase_text(enum http_phase phase);

struct http_result {
    enum http_reason reason; /* HTTP_SUCCEEDED, or why not */
    int status;              /* of the last hop; 0: it brought no answer */
    char version[16];        /* "HTTP/1.1", "HTTP/2.0"; "" without an answer */
    const char
        *tls_version; /* "TLS 1.3", a constant; NULL: the last hop was plain, or without a certificate */
    uint64_t phases_ns[HTTP_PHASE_COUNT]; /* a phase that was not ended is 0 */
    uint64_t duration_ns;                 /* of all, with what lies between the phases */
    unsigned redirects;                   /* answers that redirect, followed or not */
    size_t dns_answers;                   /* addresses that the target's name has */
    struct prober_addr address;           /* of the last hop; NONE: there was none */
    int64_t content_length;               /* as the last answer says; -1: it does not */
    uint64_t body_received, body_decoded; /* bytes, of the last hop */
    int64_t earliest_cert_expiry; /* Unix seconds, of the last hop, trusted or not; 0: none */
    int64_t last_chain_expiry;    /* likewise, of the chain that was verified */
    bool is_forbidden;            /* the guard did not permit an address, be it a proxy's */
    bool is_resolve_skipped;      /* skip_resolve_phase_with_proxy held: there is no such phase */
    /* About a failure that lies with this machine, the proxy or the token: a sentence for a log,
     * without secrets, valid until `done` returns. NULL: none. */
    const char *trouble;
    /* The answer that was judged, valid until `done` returns. NULL: there was none. */
    const struct http_reply *reply;
};

typedef void (*http_done)(void *context, const struct http_result *result);

struct http_engine;

/* Errors: PROBER_ERR_NOMEM, PROBER_ERR_IO. */
enum prober_error http_engine_create(struct http_engine **out, struct resolver *resolver);
/* Has every address asked about, before a hop goes to it. Where `permits` is false the probe ends with
 * HTTP_FAILED_LOCAL. NULL, as at first: all are permitted. */
void http_engine_set_guard(struct http_engine *e,
                           bool (*permits)(void *context, const struct prober_addr *address),
                           void *context);
/* Probes `target` (as http_url_parse reads it); `done` is called exactly once, by timeout_ns after
 * now_ns, unless the engine is destroyed before. */
void http_engine_start(struct http_engine *e, struct http_kind *kind, const char *target,
                       uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context);
/* The same, and fills the trace (NULL: none) while the probe runs: the trace must stay until `done`. */
void http_engine_start_traced(struct http_engine *e, struct http_kind *kind, const char *target,
                              uint64_t timeout_ns, uint64_t now_ns, struct http_trace *trace,
                              http_done done, void *context);
/* The same for requests that are a part of the engine's own work: `done` is called too, with
 * HTTP_FAILED_LOCAL, when the engine is destroyed. */
void http_engine_start_inner(struct http_engine *e, struct http_kind *kind, const char *target,
                             uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context);
/* Probes that run, those of its own work too. */
size_t http_engine_running(const struct http_engine *e);
/* The last step took longer than HTTP_ENGINE_BUSY_NS: sockets were served that late, and phases are too
 * long by it. Who starts no probe until a step was shorter keeps the measure true when there is more to
 * do than the processor can. */
bool http_engine_is_busy(const struct http_engine *e);
/* An epoll fd that is readable when http_engine_step has work. */
int http_engine_fd(const struct http_engine *e);
/* Does what is due, the resolver's work too. Returns the monotonic time of the next call, UINT64_MAX
 * when idle. */
uint64_t http_engine_step(struct http_engine *e, uint64_t now_ns);
/* Drops the probes that run; lookups of theirs must be over or cancelled: destroy the resolver first.
 * NULL is fine. */
void http_engine_destroy(struct http_engine *e);

#endif
