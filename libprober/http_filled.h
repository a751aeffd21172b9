/*
 * http_filled - a spec with the content of its files in place.
 *
 * Purpose    Whoever probes sees texts alone. Credentials, names and header values are cut at both
 *            ends; what cannot be sent as it must (a line break in a header) is an error that names
 *            the key.
 * Threads    Made by one thread, then read by many.
 * Ownership  Owns what was read. Borrows the spec, for all that is no file.
 */
#ifndef LIBPROBER_HTTP_FILLED_H
#define LIBPROBER_HTTP_FILLED_H

#include <stdbool.h>

#include "common/error.h"
#include "libprober/http_spec.h"

#define HTTP_FILE_TEXT_MAX (64 << 10) /* bytes of a file that is a credential or a header value */
#define HTTP_FILE_MAX (1 << 20)       /* of any other: certificates, keys, bodies */

struct http_filled;

/* True when the spec names a file. */
bool http_filled_is_needed(const struct http_spec *spec);
/* Tells whether all that the spec names lies beneath `dir`, as far as the names alone show. Errors:
 * PROBER_ERR_UNSUPPORTED (dir is NULL or ""), PROBER_ERR_DENIED. */
enum prober_error http_filled_check(const struct http_spec *spec, const char *dir,
                                    struct prober_failure *why);
/* Reads the files of the spec beneath `dir`. Errors: as secret_file_read; PROBER_ERR_SYNTAX for a
 * content that cannot be used. */
enum prober_error http_filled_create(struct http_filled **out, const struct http_spec *spec,
                                     const char *dir, struct prober_failure *why);
/* The spec without files: their content is where the spec has texts. Only body_file stays, beside
 * the body that was read from it: such a body is sent as a stream. */
const struct http_spec *http_filled_spec(const struct http_filled *f);
/* True when both, made of one spec, hold the same. */
bool http_filled_equal(const struct http_filled *a, const struct http_filled *b);
/* NULL is fine. */
void http_filled_destroy(struct http_filled *f);

#endif
