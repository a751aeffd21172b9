/*
 * peer - one connection of the link, as its user pointer knows it.
 *
 * Purpose    Holds the session of the connection. A peer may send two requests at once, so a hello
 *            that replaces the session must not pull it from under a report.
 * Threads    Any.
 * Ownership  The connection owns its peer; a peer owns its guest, and holds one reference to its
 *            session.
 */
#ifndef SERVERD_PEER_H
#define SERVERD_PEER_H

#include "serverd/door.h"
#include "serverd/session.h"

struct peer;

/* Takes over the guest. NULL for lack of memory: the guest is still the caller's. */
struct peer *peer_create(struct guest *guest);
/* What was given; the peer's. */
struct guest *peer_guest(const struct peer *peer);
/* The session with a reference of the caller's, or NULL before hello. */
struct session *peer_session(struct peer *peer);
/* Puts a session (taking over the reference) in the place of the former, which is connected no
 * more. */
void peer_set_session(struct peer *peer, struct session *session);
/* Ends the session's connection, and frees. */
void peer_destroy(struct peer *peer);

#endif
