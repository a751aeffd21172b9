/*
 * join_tokens - which tokens may be joined with, how often and until when.
 *
 * Purpose    Tokens are made, spent, listed, revoked. Of a secret only its SHA-256 is kept, so whoever
 *            reads the store cannot join. A spend is noted with the key that it was for: an agent
 *            whose answer got lost, and that asks again with the same key, gets the same id and
 *            region and costs no further use.
 *            Every change is handed to the store first; what could not be kept did not happen.
 * Threads    One at a time.
 * Ownership  Copies what it is given. Borrows the store.
 */
#ifndef SERVERD_JOIN_TOKENS_H
#define SERVERD_JOIN_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "common/join_token.h"
#include "common/pki_name.h"

#define JOIN_TOKENS_MAX 1000      /* alive at once */
#define JOIN_USES_MAX 1000        /* of one token */
#define JOIN_USES_TOTAL_MAX 10000 /* of all of them */
#define JOIN_USES_DEFAULT 1
#define JOIN_TTL_DEFAULT_S INT64_C(3600)
#define JOIN_TTL_MIN_S INT64_C(10)
#define JOIN_TTL_MAX_S (INT64_C(30) * 86400)
#define JOIN_NAME_MAX 17 /* 16 hex digits */

/* An agent that joined with a token. */
struct join_spend {
    uint8_t key_fingerprint[DIGEST_SHA256_LEN]; /* of pki_check_request */
    struct prober_id agent_id;
    char region[PKI_REGION_MAX + 1];
};

/* What is kept of a token. */
struct join_record {
    uint8_t hash[DIGEST_SHA256_LEN]; /* SHA-256 of the secret */
    char region[PKI_REGION_MAX + 1]; /* that the token is for; "": any */
    int64_t made_s, expires_s;       /* Unix seconds */
    uint32_t uses;                   /* that it was made for, 1..JOIN_USES_MAX */
    uint32_t spend_count;            /* 0..uses */
    const struct join_spend *spends; /* [spend_count] */
};

/* Where tokens are kept. `save` writes a new or changed record, `forget` removes one; both return
 * when it will survive a kill, or an error. */
struct join_store {
    enum prober_error (*save)(void *context, const struct join_record *record,
                              struct prober_failure *why);
    enum prober_error (*forget)(void *context, const uint8_t hash[DIGEST_SHA256_LEN],
                                struct prober_failure *why);
    void *context;
};

struct join_tokens;

/* ca_fingerprint: of the authority, part of every token. Errors: PROBER_ERR_NOMEM. */
enum prober_error join_tokens_create(struct join_tokens **out,
                                     const uint8_t ca_fingerprint[DIGEST_SHA256_LEN],
                                     const struct join_store *store);
/* Takes a record that was saved. Errors: PROBER_ERR_RANGE (no record of ours), _EXISTS, _FULL,
 * _NOMEM. */
enum prober_error join_tokens_load(struct join_tokens *t, const struct join_record *record);

struct join_order {
    const char *region; /* NULL or "": any */
    int64_t ttl_s;      /* 0: JOIN_TTL_DEFAULT_S */
    int64_t uses;       /* 0: JOIN_USES_DEFAULT */
};

/* Makes a token and writes its text: the only time that the secret is to be seen. Errors:
 * PROBER_ERR_RANGE (region, ttl_s, uses), _FULL, _NOMEM, or the store's, with a sentence in *why. */
enum prober_error join_tokens_make(struct join_tokens *t, const struct join_order *order,
                                   int64_t now_s, char text[JOIN_TOKEN_TEXT_MAX],
                                   struct prober_failure *why);

/* Who wants to join. */
struct join_ask {
    uint8_t secret[JOIN_SECRET_LEN];
    uint8_t key_fingerprint[DIGEST_SHA256_LEN];
    const char *region;        /* that the agent wants; NULL or "": the token's */
    struct prober_id agent_id; /* to be given if the token is spent anew */
};

struct join_grant {
    struct prober_id agent_id;
    char region[PKI_REGION_MAX + 1];
};

/* Whether there is such a token and its time is not up: a cheap look, before anything dear is done for
 * who brings it. Errors: PROBER_ERR_DENIED, as join_tokens_spend. */
enum prober_error join_tokens_check(struct join_tokens *t, const uint8_t secret[JOIN_SECRET_LEN],
                                    int64_t now_s, struct prober_failure *why);
/* Spends a token. Errors: PROBER_ERR_DENIED (no such token, expired, used up, or for another
 * region), _RANGE (the region is none, or neither names one), _NOMEM, or the store's, with a
 * sentence in *why that may be told to the agent; nothing is spent then. */
enum prober_error join_tokens_spend(struct join_tokens *t, const struct join_ask *ask,
                                    int64_t now_s, struct join_grant *out,
                                    struct prober_failure *why);

/* What a token is called where it is listed: the first hex digits of its hash; returns `out`. */
char *join_tokens_name(const struct join_record *record, char out[JOIN_NAME_MAX]);
/* Calls `each` for every token, in the order in which they were made or loaded. */
void join_tokens_list(const struct join_tokens *t,
                      void (*each)(void *context, const struct join_record *record), void *context);
/* Takes a token back by its name. Errors: PROBER_ERR_NOT_FOUND, or the store's. */
enum prober_error join_tokens_revoke(struct join_tokens *t, const char *name,
                                     struct prober_failure *why);
/* Forgets the tokens whose time is up; what the store cannot forget is tried again next time. */
void join_tokens_expire(struct join_tokens *t, int64_t now_s);
void join_tokens_destroy(struct join_tokens *t); /* NULL is fine */

#endif
