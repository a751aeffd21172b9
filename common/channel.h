/*
 * channel - what a message body passes through on its way to and from the wire.
 *
 * Purpose    Seals a body into a frame and opens a frame into a body. The plain channel is a header
 *            and a CRC-32C against corruption: no secrecy, no identity. The TLS channel
 *            (channel_tls.h makes it) keeps bodies secret and whole, in order and each once, and
 *            knows who the peer is. Whoever seals and opens need not know which it is.
 *            A channel opens frames of its own kind only: what is plain is never taken on a TLS
 *            channel, nor the reverse. After any frame that a TLS channel could not open it opens
 *            and seals nothing more.
 * Threads    A channel belongs to one session and is used by one thread at a time.
 * Ownership  seal and open write to a strbuf of the caller.
 */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/pki.h"
#include "common/strbuf.h"

#define CHANNEL_HEADER_LEN 16
#define CHANNEL_BODY_MAX (4u << 20)
#define CHANNEL_JOIN_BODY_MAX (64u << 10) /* that a server opens of who has yet to join */

/* What a frame is; the values are those on the wire. */
enum channel_kind {
    CHANNEL_PLAIN = 0,           /* the body as it is */
    CHANNEL_HANDSHAKE = 1,       /* TLS records of a handshake; none: the handshake has ended */
    CHANNEL_DATA = 2,            /* TLS records of a body */
    CHANNEL_HANDSHAKE_NEEDED = 3 /* nothing: the peer could not open what we sent */
};

struct channel;

enum prober_error channel_plain_create(struct channel **out);
/* Replaces *frame by the sealed body[len]. Errors: PROBER_ERR_RANGE (too large), _NOMEM,
 * _STATE (a TLS channel before its handshake has ended, or after a failure). */
enum prober_error channel_seal(struct channel *c, const void *body, size_t len,
                               struct strbuf *frame);
/* Stores where the body is: inside `frame` (plain) or in memory of the channel, valid until the
 * next call or the frame's end. Errors: PROBER_ERR_PROTOCOL (cut short, wrong magic, kind, length
 * or checksum; forged, repeated, reordered), PROBER_ERR_VERSION (a later frame version), _NOMEM,
 * _STATE (the peer needs a handshake, or this channel does). */
enum prober_error channel_open(struct channel *c, const void *frame, size_t frame_len,
                               const void **body, size_t *body_len);
/* True when the peer has proved who it is: of channel_peer. False for the plain channel, and at a
 * server for a peer that has yet to join. */
bool channel_is_authenticated(const struct channel *c);
/* True for a TLS channel whose handshake has ended: nobody else reads what it sealed. */
bool channel_is_secret(const struct channel *c);
/* What the peer's certificate says, while channel_is_authenticated; else NULL. Whether it has
 * expired by now, or was revoked, is to be asked on each call (pki_check_time). */
const struct pki_identity *channel_peer(const struct channel *c);
void channel_destroy(struct channel *c);

/* Stores the kind of a frame, after a check of all but what is sealed. Errors: PROBER_ERR_PROTOCOL,
 * _VERSION, as channel_open. */
enum prober_error channel_frame_kind(const void *frame, size_t frame_len, enum channel_kind *kind);
/* Replaces *frame by the answer to a frame that could not be opened. Errors: PROBER_ERR_NOMEM. */
enum prober_error channel_handshake_needed(struct strbuf *frame);

#endif
