/*
 * local_agents - the agents of the directory, those that ever joined, and those that are revoked, put
 * together.
 *
 * Threads    Pure functions but for the store; any thread.
 */
#ifndef SERVERD_LOCAL_AGENTS_H
#define SERVERD_LOCAL_AGENTS_H

#include <stdbool.h>

#include "common/json.h"
#include "serverd/directory.h"
#include "serverd/revocations.h"
#include "serverd/store_trust.h"

/* Appends an object for each agent: "id", "region", "address", "version" (both "" when it is not
 * there), "alive", "trust" (of its link: "joined" or "plain"), and where there are such "joined_s",
 * "certificate_expires_s", "revoked_s". store: NULL, of which nothing is known. Errors: those of
 * store_trust_list, PROBER_ERR_NOMEM. */
enum prober_error local_agents_list(const struct directory *directory, struct store_trust *store,
                                    struct revocations *revocations, struct json *array,
                                    struct prober_failure *why);
/* True when an agent of this id is in the directory or joined. */
bool local_agents_know(const struct directory *directory, struct store_trust *store,
                       const struct prober_id *id);

#endif
