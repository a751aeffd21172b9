/*
 * http_kind - a spec made ready for probing: what all probes of one `http` block have in common.
 *
 * Purpose    Regexps are compiled, certificates read, and what the spec leaves to the machine is found
 *            there, as far as the means allow.
 * Threads    Made by any thread; then it belongs to the thread of the engine that uses it.
 * Ownership  Borrows the spec. Owns all else.
 */
#ifndef LIBPROBER_HTTP_KIND_H
#define LIBPROBER_HTTP_KIND_H

#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_spec.h"
#include "libprober/http_tls.h"

/* What of this machine probes may use. */
struct http_means {
    const char *secrets_dir; /* files that a spec names are read beneath it; NULL or "": none are */
    char *const
        *environment; /* "NAME=value", NULL at the end, for proxy_from_environment; or NULL */
};

struct http_kind;

/* means: copied; NULL: none. Errors: PROBER_ERR_UNSUPPORTED for keys that this engine does not honour:
 * proxies, oauth2, and what is read from files; PROBER_ERR_SYNTAX (regexp, ca), PROBER_ERR_NOMEM. */
enum prober_error http_kind_create(struct http_kind **out, const struct http_spec *spec,
                                   const struct http_means *means, struct prober_failure *why);
const struct http_spec *http_kind_spec(const struct http_kind *k);
const struct http_judge *http_kind_judge(const struct http_kind *k);
/* NULL: nothing is verified. */
const struct http_tls_trust *http_kind_trust(const struct http_kind *k);
/* No probe of the kind may be running. NULL is fine. */
void http_kind_destroy(struct http_kind *k);

#endif
