/*
 * membership - who this agent is to the server: by its certificate, or by its word alone.
 *
 * Purpose    At the start: reads the certificate, or joins when there is a token and no certificate
 *            that is still valid, or leaves it at the agent id of the state directory and a region
 *            that is looked for. With a certificate, id and region are those that it names.
 * Threads    main(), before there are others; then the link thread has the credentials.
 * Ownership  Owns the credentials.
 */
#ifndef AGENTD_MEMBERSHIP_H
#define AGENTD_MEMBERSHIP_H

#include <signal.h>
#include <stdint.h>

#include "agentd/credentials.h"
#include "agentd/identity.h"
#include "agentd/options.h"
#include "agentd/region.h"
#include "common/error.h"

struct membership {
    struct credentials *credentials; /* NULL: none, the link is plain */
    struct region region;
};

/* Fills *out (now_s: Unix seconds); identity->agent_id becomes that of the certificate. Errors,
 * with a sentence that says what to do: as credentials_open and joining_run; PROBER_ERR_STATE
 * (the certificate is of another region than the settings say); PROBER_ERR_SYNTAX (no valid
 * region); PROBER_ERR_CLOSED (told to stop while it joined). *out is then empty. */
enum prober_error membership_open(struct membership *out, const struct agentd_settings *settings,
                                  struct identity *identity, const sigset_t *signals, int64_t now_s,
                                  struct prober_failure *why);
void membership_close(struct membership *m); /* fine on an empty one */

#endif
