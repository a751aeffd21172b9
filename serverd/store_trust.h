/*
 * store_trust - what is kept of joining, in the store's file (with store.c, the adapter of SQLite).
 *
 * Purpose    Join tokens and their spends, the keys that agents joined with or renewed to, and
 *            revocations. Of a token's secret and of an agent's key there are only hashes. Writes are
 *            durable when they return.
 * Threads    Any thread; one at a time works, the others wait.
 * Ownership  Copies what it is given.
 */
#ifndef SERVERD_STORE_TRUST_H
#define SERVERD_STORE_TRUST_H

#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "serverd/join_tokens.h"
#include "serverd/revocations.h"

/* A key is forgotten this long after the last certificate for it expired. */
#define STORE_TRUST_KEY_KEPT_S (INT64_C(365) * 86400)

struct store_trust;

/* Opens the file of a store, which has been opened before, in the state directory `dir`.
 * Errors: PROBER_ERR_IO, _NOMEM. */
enum prober_error store_trust_open(struct store_trust **out, const char *dir,
                                   struct prober_failure *why);

/* Where a join_tokens and a revocations keep what they have; both borrow `s`. */
struct join_store store_trust_tokens(struct store_trust *s);
struct revocation_store store_trust_revocations(struct store_trust *s);
/* Load what was kept. Errors: PROBER_ERR_IO, _NOMEM, or those of what is loaded into. */
enum prober_error store_trust_load_tokens(struct store_trust *s, struct join_tokens *into,
                                          struct prober_failure *why);
enum prober_error store_trust_load_revocations(struct store_trust *s, struct revocations *into,
                                               struct prober_failure *why);

/* An agent that has, or had, a certificate from here. */
struct store_member {
    uint8_t key_fingerprint[DIGEST_SHA256_LEN]; /* of pki_check_request */
    struct prober_id agent_id;
    char region[PKI_REGION_MAX + 1];
    int64_t joined_s;  /* Unix seconds: when the agent first got one */
    int64_t expires_s; /* of the newest for this key */
};

/* Finds whom a key belongs to. Errors: PROBER_ERR_NOT_FOUND (with nothing in *why), _IO. */
enum prober_error store_trust_find(struct store_trust *s,
                                   const uint8_t key_fingerprint[DIGEST_SHA256_LEN],
                                   struct store_member *out, struct prober_failure *why);
/* Notes that a key belongs to an agent; joined_s is that of an earlier key of the agent, if there is
 * any. Forgets keys whose certificates expired long before now_s. Errors: PROBER_ERR_IO: nothing was
 * noted. */
enum prober_error store_trust_note(struct store_trust *s, const struct store_member *member,
                                   int64_t now_s, struct prober_failure *why);
/* Calls `each` for every agent, with its newest key, in the order of their ids; the store must not be
 * called within it. Errors: PROBER_ERR_IO. */
enum prober_error store_trust_list(struct store_trust *s,
                                   void (*each)(void *context, const struct store_member *member),
                                   void *context, struct prober_failure *why);
void store_trust_close(struct store_trust *s); /* NULL is fine */

#endif
