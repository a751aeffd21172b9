/*
 * compress - gzip of whole buffers, and decoding of streams (adapter of zlib and libbrotlidec).
 *
 * Threads    Any thread; a decoder belongs to one.
 * Ownership  A decoder owns its state alone; what it decodes is the sink's.
 */
#ifndef COMMON_COMPRESS_H
#define COMMON_COMPRESS_H

#include <stddef.h>

#include "common/error.h"

/* Compresses bytes[len] into *out (malloc'd, *out_len bytes) as one gzip member (RFC 1952).
 * level: 1 (fast) to 9. Errors: PROBER_ERR_NOMEM. */
enum prober_error compress_gzip(const void *bytes, size_t len, int level, void **out,
                                size_t *out_len);
/* Inflates one gzip member of at most `max` bytes of content. Errors: PROBER_ERR_SYNTAX,
 * PROBER_ERR_RANGE (more than max), PROBER_ERR_NOMEM. */
enum prober_error compress_gunzip(const void *bytes, size_t len, size_t max, void **out,
                                  size_t *out_len);

/* What a stream is coded in. */
enum compress_coding {
    COMPRESS_IDENTITY, /* as it is */
    COMPRESS_GZIP,     /* one member or more, and nothing else (RFC 1952) */
    COMPRESS_DEFLATE,  /* raw, without zlib's wrapper (RFC 1951); what follows its end is ignored */
    COMPRESS_BROTLI    /* RFC 7932 */
};

struct compress_decoder;

/* Takes bytes[len] of the content; what it returns, unless PROBER_OK, ends the decoding. */
typedef enum prober_error (*compress_sink)(void *context, const void *bytes, size_t len);

/* Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error compress_decoder_create(struct compress_decoder **out,
                                          enum compress_coding coding);
/* Decodes the next bytes[len] of the stream into the sink, piece by piece. Errors: PROBER_ERR_SYNTAX
 * (no such coding, or damaged), PROBER_ERR_NOMEM, and the sink's; an error stays for later calls. */
enum prober_error compress_decoder_feed(struct compress_decoder *d, const void *bytes, size_t len,
                                        compress_sink sink, void *context);
/* Tells whether the stream may end here. Errors: as before, or PROBER_ERR_SYNTAX when it was cut
 * short; an empty stream is cut short unless it is COMPRESS_IDENTITY. */
enum prober_error compress_decoder_end(const struct compress_decoder *d);
/* NULL is fine. */
void compress_decoder_destroy(struct compress_decoder *d);

#endif
