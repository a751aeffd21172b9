/*
 * http_token - what is asked of a token server, and what it answers (RFC 6749, 4.4 and 5).
 *
 * Purpose    The form of a request for client credentials, and a strict reading of the answer:
 *            JSON, or a form where the server calls it so. No sentence quotes a token or a secret.
 * Threads    Pure functions; any thread.
 */
#ifndef LIBPROBER_HTTP_TOKEN_H
#define LIBPROBER_HTTP_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "libprober/http_judge.h"
#include "libprober/http_spec.h"

#define HTTP_TOKEN_MAX (64 << 10)       /* bytes of a token */
#define HTTP_TOKEN_ANSWER_MAX (1 << 20) /* bytes of an answer */

/* Appends text as a value of a form: letters, digits and "-_.~" stay, a blank is '+', the rest is
 * %-escaped. */
void http_token_put_escaped(struct strbuf *out, const char *text);
/* Appends the form. with_client: the client's id and secret are in it; else they go into a header.
 * A grant_type among endpoint_params goes before ours. */
void http_token_put_form(struct strbuf *out, const struct http_oauth2 *oauth2, bool with_client);

struct http_token {
    char *authorization; /* the value of the header, "Bearer …"; malloc'd */
    uint64_t life_ns;    /* from now; UINT64_MAX: it does not end */
};

/* Reads an answer. Errors: PROBER_ERR_DENIED (not 2xx, or with an error code), PROBER_ERR_SYNTAX
 * (no token that can be used, or not read whole), PROBER_ERR_NOMEM; *out is untouched then. */
enum prober_error http_token_read(const struct http_reply *reply, struct http_token *out,
                                  struct prober_failure *why);

#endif
