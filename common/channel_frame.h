/*
 * channel_frame - the header around every message of the link.
 *
 * Purpose    16 bytes, big-endian: magic "PMSH", version 1, kind, reserved 16 bits of 0, length of the
 *            body 32 bits, CRC-32C 32 bits over the body; then the body. The checksum finds
 *            corruption of any kind of body before it is looked at; it keeps nobody out.
 * Threads    Pure functions; any thread.
 * Ownership  Frames are written to a strbuf of the caller.
 */
#ifndef COMMON_CHANNEL_FRAME_H
#define COMMON_CHANNEL_FRAME_H

#include <stddef.h>

#include "common/channel.h"

/* What records add to a body: each of 16 KiB 29 bytes at most, and one record of the length. */
#define CHANNEL_RECORDS_MAX (16u << 10)
/* The bodies of a handshake: certificates are the large part. */
#define CHANNEL_HANDSHAKE_MAX (16u << 10)

/* Empties the buffer and leaves room for a header and `expected` bytes to be appended. */
void channel_frame_begin(struct strbuf *frame, size_t expected);
/* Fills in the header in front of what was appended. Errors: PROBER_ERR_NOMEM. */
enum prober_error channel_frame_end(struct strbuf *frame, enum channel_kind kind);
/* Checks a frame and stores its kind and where its body is.
 * Errors: PROBER_ERR_PROTOCOL (cut short, wrong magic, kind, length for its kind, or checksum),
 * PROBER_ERR_VERSION (a later frame version). */
enum prober_error channel_frame_parse(const void *frame, size_t frame_len, enum channel_kind *kind,
                                      const void **body, size_t *body_len);

#endif
