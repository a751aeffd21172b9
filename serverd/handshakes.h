/*
 * handshakes - the connections that are in the midst of a TLS handshake, within bounds.
 *
 * Purpose    A handshake costs milliseconds and its channel 37 kB, for a peer of whom nothing is known:
 *            so there are at most HANDSHAKES_MAX at once, HANDSHAKES_PER_PEER of one address (of one
 *            /64 with IPv6), and each is over in HANDSHAKE_NS. A place is taken before any work is
 *            done. Between its two frames a channel waits here.
 * Threads    Any.
 * Ownership  Owns the channels that wait.
 */
#ifndef SERVERD_HANDSHAKES_H
#define SERVERD_HANDSHAKES_H

#include <stdint.h>

#include "common/addr.h"
#include "common/channel.h"
#include "common/error.h"

#define HANDSHAKES_MAX 256
#define HANDSHAKES_PER_PEER 16
#define HANDSHAKE_NS UINT64_C(5000000000)

struct handshakes;

enum prober_error handshakes_create(struct handshakes **out);
/* Takes a place for a connection (link_call_connection). Errors: PROBER_ERR_FULL (all are taken),
 * _DENIED (the address has as many as it may), _EXISTS (the connection is in a handshake). */
enum prober_error handshakes_begin(struct handshakes *h, uint64_t connection,
                                   const struct prober_addr *peer, uint64_t now_ns);
/* Has the channel wait for the connection's next frame, and takes it over. Errors:
 * PROBER_ERR_NOT_FOUND: the place is gone (the connection, or its time); the channel is still the
 * caller's. */
enum prober_error handshakes_wait(struct handshakes *h, uint64_t connection,
                                  struct channel *channel);
/* The channel that waits for a frame of the connection, which is the caller's then; NULL when there
 * is none, its time is up, or another frame of the connection is being worked on. */
struct channel *handshakes_resume(struct handshakes *h, uint64_t connection, uint64_t now_ns);
/* The handshake has ended, or the connection: gives the place back. Fine when there is none. */
void handshakes_end(struct handshakes *h, uint64_t connection);
/* Gives back the places whose time is up; handshakes_begin does so too. */
void handshakes_expire(struct handshakes *h, uint64_t now_ns);

struct handshake_counts {
    uint64_t open;
    uint64_t refused_full_total, refused_peer_total;
    uint64_t expired_total;
};
void handshakes_counts(struct handshakes *h, struct handshake_counts *out);
void handshakes_destroy(struct handshakes *h); /* NULL is fine */

#endif
