/*
 * http_kind - a spec made ready for probing: what all probes of one `http` block have in common.
 *
 * Purpose    Regexps are compiled, certificates read, and what the spec leaves to the machine is
 *            found there, as far as the means allow. Files are looked at again by the first probe
 *            that begins HTTP_KIND_LOOK_NS or more after the last look, and compared by content: a
 *            secret that was swapped holds for the probes from then on, and one that cannot be read
 *            for none.
 * Threads    Made by any thread; then it belongs to the thread of the engine that uses it.
 * Ownership  Borrows the spec and the environment. Owns all else. A kit lives as long as somebody
 *            holds it, or its kind.
 */
#ifndef LIBPROBER_HTTP_KIND_H
#define LIBPROBER_HTTP_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_oauth2.h"
#include "libprober/http_proxy.h"
#include "libprober/http_spec.h"
#include "libprober/http_tls.h"

#define HTTP_KIND_LOOK_NS CLOCK_NS_PER_S

/* What of this machine probes may use. */
struct http_means {
    const char
        *secrets_dir; /* files that a spec names are read beneath it, absolute; NULL or "": no
                                 file is read */
    char *const
        *environment; /* "NAME=value", NULL at the end, for proxy_from_environment; or NULL */
    struct http_tls_roots *roots; /* what kinds without a ca trust, shared by them in one thread;
                                     NULL: each reads the system's certificates for itself */
};

struct http_kind;

/* means: NULL: none; its environment is borrowed. Errors: PROBER_ERR_UNSUPPORTED for files without
 * a directory for them; PROBER_ERR_DENIED for files elsewhere; PROBER_ERR_SYNTAX (regexp, ca); as
 * http_proxies_create; PROBER_ERR_NOMEM. Files are not looked at yet. */
enum prober_error http_kind_create(struct http_kind **out, const struct http_spec *spec,
                                   const struct http_means *means, struct prober_failure *why);
/* From now on the answers to probes have their body (see http_result), for whoever reads it. */
void http_kind_keep_bodies(struct http_kind *k);
/* No probe of the kind may be running. NULL is fine. */
void http_kind_destroy(struct http_kind *k);

/* What a probe uses from its begin to its end. */
struct http_kit {
    const struct http_spec *spec; /* without files: see http_filled.h */
    const struct http_judge *judge;
    const struct http_tls_trust *trust; /* NULL: nothing is verified */
    const struct http_proxies *proxies; /* NULL: there are none */
    struct http_oauth2_source *oauth2;  /* NULL: no token is needed */
    bool keeps_body;                    /* somebody will look at it */
};

/* The kit of a probe that begins at now_ns (monotonic), to be let go of by it; NULL when there is
 * none, as a file cannot be used: *trouble is then a sentence, valid until the next call. */
const struct http_kit *http_kind_hold(struct http_kind *k, uint64_t now_ns, const char **trouble);
/* NULL is fine. */
void http_kit_release(const struct http_kit *kit);

#endif
