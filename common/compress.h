/*
 * compress - gzip of whole buffers (adapter of zlib).
 *
 * Threads    Pure functions; any thread.
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

#endif
