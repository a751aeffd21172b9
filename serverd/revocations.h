/*
 * revocations - the agents that the server takes no calls of any more.
 *
 * Purpose    Asked on each call of a trusted connection, so it is looked up in memory. A revocation is
 *            of an agent's id, and so of every certificate that names it, those included that other
 *            servers of the same authority issued. Every change is handed to the store first; what
 *            could not be kept did not happen.
 * Threads    Any.
 * Ownership  Copies what it is given. Borrows the store.
 */
#ifndef SERVERD_REVOCATIONS_H
#define SERVERD_REVOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "common/pki.h"

#define REVOCATIONS_MAX 100000

struct revocation {
    struct prober_id agent_id;
    int64_t at_s; /* Unix seconds */
};

/* Where they are kept. Both return when it will survive a kill, or an error. */
struct revocation_store {
    enum prober_error (*save)(void *context, const struct revocation *revocation,
                              struct prober_failure *why);
    enum prober_error (*forget)(void *context, const struct prober_id *agent_id,
                                struct prober_failure *why);
    void *context;
};

struct revocations;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error revocations_create(struct revocations **out, const struct revocation_store *store);
/* Takes one that was saved; one that is there already is fine. Errors: PROBER_ERR_FULL, _NOMEM. */
enum prober_error revocations_load(struct revocations *r, const struct revocation *revocation);
/* Revokes an agent from now on. Errors: PROBER_ERR_EXISTS (it was revoked before), _FULL, _NOMEM, or
 * the store's, with a sentence in *why. */
enum prober_error revocations_add(struct revocations *r, const struct prober_id *agent_id,
                                  int64_t now_s, struct prober_failure *why);
/* Takes a revocation back. Errors: PROBER_ERR_NOT_FOUND, or the store's. */
enum prober_error revocations_remove(struct revocations *r, const struct prober_id *agent_id,
                                     struct prober_failure *why);
/* True when the agent's id is revoked. */
bool revocations_has_id(struct revocations *r, const struct prober_id *agent_id);
/* The same of whom a certificate names; `context` is the struct revocations: a door_config's
 * is_revoked. */
bool revocations_has(void *context, const struct pki_identity *identity);
/* Another number after each change. */
uint64_t revocations_version(const struct revocations *r);
size_t revocations_count(struct revocations *r);
/* Calls `each` for every one, by id, under the lock. */
void revocations_list(struct revocations *r,
                      void (*each)(void *context, const struct revocation *revocation),
                      void *context);
void revocations_destroy(struct revocations *r); /* NULL is fine */

#endif
