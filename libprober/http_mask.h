/*
 * http_mask - shows what goes over the wire without the secrets in it.
 *
 * Purpose    Values of Authorization, Proxy-Authorization, Cookie and Set-Cookie, and of the header lines
 *            that a spec keeps secret, become HTTP_SPEC_SECRET_MASK; what is no secret in them stays: a
 *            known scheme, a cookie's name and attributes. What was masked once is masked wherever it
 *            comes again, in a body that echoes the request say, and so is user information in URLs.
 * Threads    None of its own, no locks: one thread owns it.
 * Ownership  Owns what it remembers; borrows the spec.
 */
#ifndef LIBPROBER_HTTP_MASK_H
#define LIBPROBER_HTTP_MASK_H

#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "libprober/http_spec.h"

#define HTTP_MASK_SECRETS_MAX 64 /* remembered; texts are not shown at all once there are more */
#define HTTP_MASK_SECRET_MIN 4   /* bytes of one that is looked for in texts */
#define HTTP_MASK_COOKIE_MIN 8   /* likewise of a cookie: short ones are seldom secret */

struct http_mask;

/* Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error http_mask_create(struct http_mask **out, const struct http_spec *spec);
/* Appends one line of a head, without its end, as it may be shown, and remembers its secrets. */
void http_mask_put_line(struct http_mask *m, struct strbuf *out, const char *line, size_t len);
/* Appends any text[len] as it may be shown. */
void http_mask_put_text(const struct http_mask *m, struct strbuf *out, const char *text,
                        size_t len);
/* NULL is fine. */
void http_mask_destroy(struct http_mask *m);

#endif
