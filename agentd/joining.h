/*
 * joining - how an agent comes to its certificate, once, with a token.
 *
 * Purpose    Calls the server over a session of its own, which trusts the authority that the token
 *            names and no other; brings the token's secret and a request for a certificate; keeps
 *            what comes back (credentials.h). A server that is away or busy is tried again, with
 *            growing, jittered pauses; a refusal ends it.
 * Threads    main(), before there are others.
 * Ownership  Borrows all that it is given.
 */
#ifndef AGENTD_JOINING_H
#define AGENTD_JOINING_H

#include <signal.h>
#include <stdint.h>

#include "agentd/credentials.h"
#include "common/error.h"
#include "common/id.h"

struct joining {
    const char *server;                 /* "host:port" */
    const char *token;                  /* the word (common/join_token.h) */
    const char *region;                 /* that the agent wants; "": the token's */
    struct prober_id agent_id, boot_id; /* only to be told apart in the server's log */
};

/* Tries once. Errors: PROBER_ERR_SYNTAX (no token), _DENIED (refused, for good), _FULL (the server is
 * busy), _TIMEOUT, _UNREACHABLE, _PROTOCOL, _NOMEM, _IO and those of credentials_accept with a
 * sentence in *why that shows nothing of the token. */
enum prober_error joining_try(struct credentials *credentials, const struct joining *joining,
                              struct prober_failure *why);
/* Tries until it is done. Meanwhile the service manager hears that the agent is alive. Errors:
 * PROBER_ERR_CLOSED: one of the blocked `signals`, other than SIGHUP, came; those of joining_try
 * that no further try can mend. */
enum prober_error joining_run(struct credentials *credentials, const struct joining *joining,
                              const sigset_t *signals, struct prober_failure *why);

#endif
