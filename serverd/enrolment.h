/*
 * enrolment - gives agents their certificates: to those who bring a join token, and anew to those who
 * have one.
 *
 * Purpose    A join is checked (the request's proof of possession, the token), written down, and only
 *            then answered: an agent that got no answer asks again with the same key, and gets the same
 *            id and costs no further use. An agent whose key joined before keeps its id. A renewal is
 *            of the caller's own id and region, whatever it asks. Nothing is issued to who is revoked.
 *            What is refused is told to the agent and to the log, without the secret, and counted.
 * Threads    Its own: one, as it signs and waits for the disk. Calls come from any; what does not fit
 *            in the queue is answered "busy".
 * Ownership  Owns the join tokens. Borrows what is in its config.
 */
#ifndef SERVERD_ENROLMENT_H
#define SERVERD_ENROLMENT_H

#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/link.h"
#include "common/metrics.h"
#include "common/pki.h"
#include "common/wire.h"
#include "serverd/join_tokens.h"
#include "serverd/revocations.h"
#include "serverd/store_trust.h"

#define ENROLMENT_QUEUE 64 /* calls that wait */

struct enrolment;

struct enrolment_config {
    struct pki_ca *ca; /* NULL: the authority's key is not here, so nothing is issued */
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
    struct prober_id server_boot;
    struct store_trust *store; /* NULL: it does not work, so nothing is issued */
    struct revocations *revocations;
};

/* Loads the tokens and starts the thread. Errors: those of store_trust_load_tokens, PROBER_ERR_NOMEM,
 * with a sentence in *why. */
enum prober_error enrolment_create(struct enrolment **out, const struct enrolment_config *config,
                                   struct prober_failure *why);

/* An agent's call. */
struct enrolment_call {
    struct link_call *call;             /* taken over: answered in any case */
    struct wire_request request;        /* WIRE_JOIN or WIRE_RENEW; taken over */
    const struct pki_identity *identity; /* copied; NULL: the caller comes to join, on a secret link */
    struct prober_addr peer;
};
/* Any thread; never waits. A call that is not for this caller (to join with an identity, to renew
 * without) is refused. */
void enrolment_submit(struct enrolment *e, const struct enrolment_call *call);

/* As join_tokens_*, from any thread; each waits for the disk. Also PROBER_ERR_STATE when nothing can
 * be issued. */
enum prober_error enrolment_make_token(struct enrolment *e, const struct join_order *order,
                                       int64_t now_s, char text[JOIN_TOKEN_TEXT_MAX],
                                       struct prober_failure *why);
enum prober_error enrolment_revoke_token(struct enrolment *e, const char *name,
                                         struct prober_failure *why);
/* Calls `each` for every token, under the lock. */
void enrolment_list_tokens(struct enrolment *e,
                           void (*each)(void *context, const struct join_record *record),
                           void *context);

/* Any thread. */
void enrolment_write_metrics(struct enrolment *e, struct metrics_writer *w);
/* Answers what waits, and everything later "busy". NULL is fine for both. */
void enrolment_stop(struct enrolment *e);
void enrolment_destroy(struct enrolment *e);

#endif
