/*
 * channel - what a message body passes through on its way to and from the wire.
 *
 * Purpose    Seals a body into a frame and opens a frame into a body. Today there is the plain
 *            channel: a header and a CRC-32C against corruption, no secrecy and no identity. The
 *            TLS channel takes its place without a change above.
 *
 *            Plain frame, 16 bytes, big-endian: magic "PMSH", version 1, kind (0 plain), reserved
 *            16 bits of 0, body length 32 bits, CRC-32C 32 bits over the body; then the body.
 * Threads    A channel belongs to one session and is used by one thread at a time.
 * Ownership  seal and open write to a strbuf of the caller.
 */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"

#define CHANNEL_HEADER_LEN 16
#define CHANNEL_BODY_MAX (4u << 20)

struct channel;

enum prober_error channel_plain_create(struct channel **out);
/* Replaces *frame by the sealed body[len]. Errors: PROBER_ERR_RANGE (too large), _NOMEM. */
enum prober_error channel_seal(struct channel *c, const void *body, size_t len,
                               struct strbuf *frame);
/* Stores where the body is: inside `frame` (plain) or in memory of the channel, valid until the
 * next call or the frame's end. Errors: PROBER_ERR_PROTOCOL (cut short, wrong magic, length or CRC),
 * PROBER_ERR_VERSION (a later frame version). */
enum prober_error channel_open(struct channel *c, const void *frame, size_t frame_len,
                               const void **body, size_t *body_len);
/* False for the plain channel: the peer's identity is not proved. */
bool channel_is_authenticated(const struct channel *c);
void channel_destroy(struct channel *c);

#endif
