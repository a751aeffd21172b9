/*
 * channel_tls - channels of TLS 1.2 inside the messages of the link (adapter of mbedtls, with
 * channel_tls_config.c).
 *
 * Purpose    Both ends show a certificate of one authority (pki.h); an agent that has none yet may
 *            come to join, and is not authenticated. ECDHE with AEAD only, ChaCha20-Poly1305 first;
 *            P-256 or P-384; no renegotiation, no compression, no TLS of another version. A session
 *            that has ended is resumed by a ticket that the agent keeps, with the identity it had.
 *
 *            A handshake is two exchanges of frames:
 *
 *                client: channel_handshake(NULL) ──frame──► server: channel_handshake
 *                        channel_handshake       ◄─frame──
 *                        (the certificates)      ──frame──►         channel_handshake, is ready
 *                        channel_handshake       ◄─frame──
 *                        is ready
 *
 *            A whole flight comes in one frame; what is more, less, or another is an error, so that
 *            a half-open handshake costs its peer a frame for each of ours.
 *            Each body that is sealed begins with a record of its length: a frame cannot be cut at
 *            a record, nor two joined.
 * Threads    A server and a client configuration may be used by any number of channels and threads;
 *            a channel by one thread at a time.
 * Ownership  Copies what the configurations hold but the ticket keys. A configuration lives until it
 *            is closed and all its channels are destroyed.
 */
#ifndef COMMON_CHANNEL_TLS_H
#define COMMON_CHANNEL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/error.h"
#include "common/ticket_keys.h"

struct channel_server_config {
    const char *certificate; /* PEM: the server's own, then any between it and an authority */
    const char *key;         /* PEM, of the first certificate */
    const char *ca;          /* PEM: the authorities of agents; the first is sent along, so that who
                                joins can tell it by its fingerprint */
    struct ticket_keys *tickets; /* must outlive the channels; NULL: no session is resumed */
};

struct channel_server;

/* Errors: PROBER_ERR_SYNTAX, _STATE (not a server's certificate, not its key, a weak key), _RANGE,
 * _NOMEM with a sentence in *why. */
enum prober_error channel_server_open(struct channel_server **out,
                                      const struct channel_server_config *config,
                                      struct prober_failure *why);
/* What the server's own certificate says: when to renew it. */
const struct pki_identity *channel_server_identity(const struct channel_server *server);
/* Makes the channel of a new connection; it waits for the client's first frame. */
enum prober_error channel_server_accept(struct channel_server *server, struct channel **out);
void channel_server_close(struct channel_server *server); /* NULL is fine */

struct channel_client_config {
    const char *ca; /* PEM: the authorities of servers; NULL: the one of ca_fingerprint */
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
    const char *certificate; /* PEM: the agent's own; NULL: none, it comes to join */
    const char *key;
};

struct channel_client;

/* Errors: as channel_server_open. */
enum prober_error channel_client_open(struct channel_client **out,
                                      const struct channel_client_config *config,
                                      struct prober_failure *why);
/* Makes the channel of a new connection, which resumes the last session when it can. */
enum prober_error channel_client_connect(struct channel_client *client, struct channel **out);
/* Lets go of the session that would be resumed. */
void channel_client_forget(struct channel_client *client);
void channel_client_close(struct channel_client *client); /* NULL is fine */

/* Takes a frame of a handshake (a client first: NULL) and replaces *answer by the frame to send, or
 * empties it when there is none: then the handshake has ended. now_s (Unix seconds) judges
 * certificates and tickets.
 * Errors: PROBER_ERR_PROTOCOL (not what a handshake says here), _DENIED (one end does not accept the
 * other), _STATE (the peer needs a handshake from its beginning; or this one has ended), _VERSION,
 * _NOMEM with a sentence in *why, without names from the peer. At a server *answer may then hold
 * what tells the client why; the channel is of no further use. */
enum prober_error channel_handshake(struct channel *c, const void *frame, size_t frame_len,
                                    int64_t now_s, struct strbuf *answer,
                                    struct prober_failure *why);
/* True when the handshake has ended well. */
bool channel_is_ready(const struct channel *c);
/* True when the session was resumed by a ticket. */
bool channel_was_resumed(const struct channel *c);
/* Why a handshake failed, as far as a person can mend it. */
enum channel_trouble {
    CHANNEL_TROUBLE_NONE,   /* none of these */
    CHANNEL_PEER_AUTHORITY, /* the peer's certificate was issued by another authority */
    CHANNEL_PEER_TIME,      /* it is not valid now, by our clock */
    CHANNEL_PEER_USE,       /* it has another name or use, or a key that is not accepted */
    CHANNEL_OWN_AUTHORITY,  /* the peer says that ours was issued by another authority */
    CHANNEL_OWN_TIME,       /* … that it is not valid now */
    CHANNEL_OWN_REVOKED,    /* … that it was revoked */
    CHANNEL_OWN_USE         /* … that it does not accept it for another reason */
};
enum channel_trouble channel_trouble(const struct channel *c);
/* Stores the first certificate of authority that a server showed to a client that had only its
 * fingerprint, PEM: to be kept. Errors: PROBER_ERR_STATE (no such handshake), _NOMEM. */
enum prober_error channel_shown_ca(const struct channel *c, struct strbuf *certificate);

#endif
