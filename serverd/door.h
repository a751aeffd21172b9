/*
 * door - what a frame of a connection is let in as: a call of somebody known, a call of somebody
 * unknown, a part of a handshake, or nothing.
 *
 * Purpose    Stands between the link and the calls. A connection is plain or trusted for good: after a
 *            handshake no plain call is let in, nor the reverse. A frame that is not opened is answered
 *            with "handshake needed", and ends the session, so that another handshake may begin; an
 *            expired or revoked certificate is found out on each call, and ends it too. One call of a
 *            trusted connection is open at a time.
 * Threads    Any; a guest may be used by several at once.
 * Ownership  A connection owns its guest. The door borrows what is in its config, which must outlive
 *            its guests.
 */
#ifndef SERVERD_DOOR_H
#define SERVERD_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/channel_tls.h"
#include "common/clock.h"
#include "common/error.h"
#include "serverd/handshakes.h"

struct door_config {
    struct channel_server *tls; /* NULL: there are no trusted connections */
    struct handshakes *handshakes;
    bool plain; /* plain calls are let in */
    /* True when the certificate was revoked; asked on each call, on the caller's thread. NULL: none
     * ever is. */
    bool (*is_revoked)(void *context, const struct pki_identity *identity);
    void *context;
};

struct door;
struct guest;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error door_create(struct door **out, const struct door_config *config);
/* Has later handshakes use this configuration (of a renewed certificate). Any thread. */
void door_set_tls(struct door *door, struct channel_server *tls);
/* Lets plain calls in from now on, or no more. Any thread. */
void door_set_plain(struct door *door, bool plain);

struct door_counts {
    uint64_t done, resumed; /* handshakes: in full; by a ticket */
    uint64_t failed;        /* one end did not accept the other, or what it sent */
    uint64_t refused;       /* too many were half open */
};
void door_counts(struct door *door, struct door_counts *out);
void door_destroy(struct door *door); /* NULL is fine */

/* Who is at the other end of a connection (link_call_connection, link_call_peer). NULL for lack of
 * memory. */
struct guest *guest_create(struct door *door, uint64_t connection, const struct prober_addr *peer);
/* The connection has ended, and no call of it is open. NULL is fine. */
void guest_destroy(struct guest *guest);

enum door_outcome {
    DOOR_CALL,   /* `body` is a call, to be answered by door_answer */
    DOOR_ANSWER, /* `answer` is to be sent back, and nothing else is to be done */
    DOOR_DROP    /* the connection is to be ended */
};

/* What was wrong with a frame. */
enum door_fault {
    DOOR_FAULT_FRAME,
    DOOR_FAULT_VERSION,
    DOOR_FAULT_PLAIN,      /* a plain call, and none are let in */
    DOOR_FAULT_HANDSHAKE,  /* it failed, or was one too many */
    DOOR_FAULT_SESSION,    /* there is no session that opens a sealed call */
    DOOR_FAULT_CERTIFICATE /* it has expired or was revoked */
};

struct door_entry {
    enum door_outcome outcome;
    enum prober_error err;     /* why it is not DOOR_CALL; OK for a handshake that goes on */
    enum door_fault fault;     /* when err is not OK */
    struct prober_failure why; /* likewise */
    const void *body;          /* valid until the answer is sealed, or the frame's end */
    size_t body_len;
    const struct pki_identity *identity; /* of an agent that proved it; else NULL; valid as body */
    bool is_secret;       /* nobody else reads it; with no identity: the guest comes to join */
    struct strbuf answer; /* to be freed by the caller */
};

/* True for a frame whose handling costs as much as a handshake: to be given to other workers. */
bool door_is_handshake(const void *frame, size_t len);
/* Judges a frame. Fills *out. */
void door_enter(struct guest *guest, const void *frame, size_t len, const struct clock_reading *now,
                struct door_entry *out);
/* Replaces *frame by the sealed answer, body[len], to a call that was let in; with a session, the next
 * call may come then. A call that is not answered is to end the connection. Errors: as channel_seal. */
enum prober_error door_answer(struct guest *guest, const void *body, size_t len,
                              struct strbuf *frame);

#endif
