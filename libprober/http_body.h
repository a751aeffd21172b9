/*
 * http_body - the body of a response as it comes: decoded, limited, and kept as far as needed.
 *
 * Purpose    Decodes by the coding that the probe asks for, whatever the response says, as
 *            blackbox_exporter does; counts the decoded bytes against a limit; keeps them, bounded,
 *            when something will search them.
 * Threads    None of its own, no locks: one thread owns it.
 * Ownership  Owns what it keeps.
 */
#ifndef LIBPROBER_HTTP_BODY_H
#define LIBPROBER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/compress.h"
#include "common/error.h"

#define HTTP_BODY_KEPT_MAX (16u << 20) /* bytes kept for a search when the probe sets no limit */

struct http_body;

struct http_body_config {
    enum compress_coding coding;
    uint64_t limit; /* decoded bytes; one more is an error; 0: none */
    bool kept;      /* for a search; bytes beyond HTTP_BODY_KEPT_MAX, or the limit, are an error */
    size_t begin;   /* how many are kept otherwise, of its beginning */
};

/* Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error http_body_create(struct http_body **out, const struct http_body_config *config);
/* Takes the next bytes[len] as received, transfer coding removed. Errors: PROBER_ERR_RANGE (more
 * than the limit), _SYNTAX (cannot be decoded), _NOMEM. An error stays for later calls. */
enum prober_error http_body_feed(struct http_body *b, const void *bytes, size_t len);
/* Tells whether the body may end here. Errors: as before; PROBER_ERR_SYNTAX when it was cut short or,
 * coded, is empty. */
enum prober_error http_body_end(const struct http_body *b);
/* Bytes so far: received, and decoded (never more than the limit). */
uint64_t http_body_received(const struct http_body *b);
uint64_t http_body_decoded(const struct http_body *b);
/* The decoded bytes so far, *len of them, when they are kept; "" and 0 otherwise. Valid until the
 * next call for this body. */
const char *http_body_text(const struct http_body *b, size_t *len);
/* NULL is fine. */
void http_body_destroy(struct http_body *b);

#endif
