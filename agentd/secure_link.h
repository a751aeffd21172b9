/*
 * secure_link - the agent's calls, sealed: plain, or over TLS once the agent has a certificate.
 *
 * Purpose    A session belongs to one connection. When the connection is another, or the server could
 *            not open what it got, the next call shakes hands first, resuming the session before
 *            when it can. What was plain becomes trusted by secure_link_trust, and never the reverse.
 *            Nothing above it knows which it is.
 * Threads    One thread, the link's; secure_link_interrupt is for others.
 * Ownership  Borrows the link. Owns the client that it is given.
 */
#ifndef AGENTD_SECURE_LINK_H
#define AGENTD_SECURE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/credentials.h"
#include "common/channel_tls.h"
#include "common/error.h"
#include "common/link.h"
#include "common/strbuf.h"

struct secure_link;

/* Plain, until secure_link_trust. Errors: PROBER_ERR_NOMEM. */
enum prober_error secure_link_create(struct secure_link **out, struct link_client *link);
/* From the next call on every session is made by `client`, which is taken over: of an agent, or of
 * one that comes to join. */
void secure_link_trust(struct secure_link *l, struct channel_client *client);
/* The same, with the certificate that the agent has. Errors: as channel_client_open: all is as it was
 * then. */
enum prober_error secure_link_trust_by(struct secure_link *l, const struct credentials *credentials,
                                       struct prober_failure *why);
bool secure_link_is_trusted(const struct secure_link *l);

struct secure_call {
    const void *body; /* the request */
    size_t len;
    uint64_t timeout_ns; /* of each exchange; with a handshake there are up to three */
    int64_t now_s;       /* Unix seconds, by which certificates are judged */
};

/* Sends a request and replaces *reply by the body that came back. Errors: as link_client_call;
 * PROBER_ERR_STATE (the server needs another handshake: call again), _DENIED (one end does not accept
 * the other), _PROTOCOL, _VERSION with a sentence in *why. */
enum prober_error secure_link_call(struct secure_link *l, const struct secure_call *call,
                                   struct strbuf *reply, struct prober_failure *why);
/* A number that is another when the server knows nothing of this agent's earlier calls any more:
 * connection or session is another, or will be at the next call. 0: there was none yet. */
uint64_t secure_link_sessions(const struct secure_link *l);
/* What that number was of the session in which the last call was answered. */
uint64_t secure_link_answered(const struct secure_link *l);
/* What a server showed to who came to join (channel_shown_ca). Errors: PROBER_ERR_STATE, _NOMEM. */
enum prober_error secure_link_shown_ca(const struct secure_link *l, struct strbuf *certificate);

/* Makes a running and every later call end with PROBER_ERR_CLOSED; from any thread. */
void secure_link_interrupt(struct secure_link *l);

struct secure_link_counts {
    uint64_t connections; /* of the link, so far */
    uint64_t handshakes, resumed,
        failed; /* handshakes in all, those by a ticket, those that failed */
};
void secure_link_counts(const struct secure_link *l, struct secure_link_counts *out);
void secure_link_destroy(struct secure_link *l); /* NULL is fine */

#endif
