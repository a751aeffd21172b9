/*
 * http_oauth2 - the token of a kind of probes, by client credentials (RFC 6749, 4.4).
 *
 * Purpose    All probes of a kind share one token, and at most one request for it runs, by the
 *            engine of the probes, so that nothing blocks. A token is used until
 *            HTTP_OAUTH2_SPARE_NS before its end (half its life, if that is shorter); in the last
 *            quarter before that, a probe has the next one asked for, and does not wait. After a
 *            failure none is asked for during HTTP_OAUTH2_PAUSE_NS. The client is named by a header
 *            first; a server that does not take that is asked with the client in the form, from
 *            then on always. Redirects are not followed: the secret is for the token server alone.
 * Threads    None of its own; the thread of the engine.
 * Ownership  Owns all; the spec is copied. It lives until it was released, and a request that runs
 *            has ended.
 */
#ifndef LIBPROBER_HTTP_OAUTH2_H
#define LIBPROBER_HTTP_OAUTH2_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_spec.h"

#define HTTP_OAUTH2_TIMEOUT_NS (10 * CLOCK_NS_PER_S) /* of a request */
#define HTTP_OAUTH2_PAUSE_NS CLOCK_NS_PER_S
#define HTTP_OAUTH2_SPARE_NS (10 * CLOCK_NS_PER_S)

struct http_engine;
struct http_oauth2_source;

/* spec: one with oauth2, without files. environment: see http_proxies_create. Errors: as
 * http_kind_create, for what is said of the token server. */
enum prober_error http_oauth2_create(struct http_oauth2_source **out, const struct http_spec *spec,
                                     char *const *environment, struct prober_failure *why);

/* What a wish for a token ends with. */
struct http_oauth2_answer {
    const char *authorization; /* the value of the header; NULL: there is no token */
    enum http_reason reason;   /* without a token: HTTP_FAILED_OAUTH2, or _LOCAL */
    bool is_forbidden;         /* the guard did not permit an address */
    const char *trouble;       /* a sentence without secrets */
};

/* The texts are valid until it returns. */
typedef void (*http_oauth2_ready)(void *context, const struct http_oauth2_answer *answer);

/* Wishes for the token at now_ns (monotonic); `ready` is called exactly once, here or later. */
void http_oauth2_want(struct http_oauth2_source *s, struct http_engine *engine, uint64_t now_ns,
                      http_oauth2_ready ready, void *context);
/* A server did not take this token: if it is still ours, the next wish asks anew. */
void http_oauth2_drop(struct http_oauth2_source *s, const char *authorization);
/* NULL is fine. */
void http_oauth2_release(struct http_oauth2_source *s);

#endif
