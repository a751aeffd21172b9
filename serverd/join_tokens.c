#include "serverd/join_tokens.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "common/wire.h"

struct join_tokens {
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
    struct join_store store;
    struct join_record records[JOIN_TOKENS_MAX]; /* their spends are ours */
    size_t count;
    uint32_t uses; /* of all records */
};

enum prober_error join_tokens_create(struct join_tokens **out,
                                     const uint8_t ca_fingerprint[DIGEST_SHA256_LEN],
                                     const struct join_store *store)
{
    struct join_tokens *t = calloc(1, sizeof(*t));

    if (!t)
        return PROBER_ERR_NOMEM;
    memcpy(t->ca_fingerprint, ca_fingerprint, sizeof(t->ca_fingerprint));
    t->store = *store;
    *out = t;
    return PROBER_OK;
}

static void release(struct join_record *record)
{
    free((void *)record->spends);
}

void join_tokens_destroy(struct join_tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        release(&t->records[i]);
    free(t);
}

/* Looks at every token, so that the time it takes tells nothing of where one is. */
static struct join_record *find(struct join_tokens *t, const uint8_t hash[DIGEST_SHA256_LEN])
{
    struct join_record *found = NULL;

    for (size_t i = 0; i < t->count; i++)
        if (digest_equal(t->records[i].hash, hash, DIGEST_SHA256_LEN))
            found = &t->records[i];
    return found;
}

static void drop(struct join_tokens *t, struct join_record *record)
{
    size_t at = (size_t)(record - t->records);

    t->uses -= record->uses;
    release(record);
    t->count--;
    memmove(record, record + 1, (t->count - at) * sizeof(*record));
}

static bool has_room(const struct join_tokens *t, uint32_t uses)
{
    return t->count < JOIN_TOKENS_MAX && uses <= JOIN_USES_TOTAL_MAX - t->uses;
}

static void add(struct join_tokens *t, const struct join_record *record)
{
    t->records[t->count++] = *record;
    t->uses += record->uses;
}

/* Room for every use that a token was made for: noting one later cannot fail. */
static struct join_spend *spends_for(const struct join_record *record)
{
    struct join_spend *spends = calloc(record->uses, sizeof(*spends));

    if (spends && record->spend_count)
        memcpy(spends, record->spends, record->spend_count * sizeof(*spends));
    return spends;
}

enum prober_error join_tokens_load(struct join_tokens *t, const struct join_record *record)
{
    struct join_record own = *record;

    if (record->uses < 1 || record->uses > JOIN_USES_MAX || record->spend_count > record->uses ||
        !memchr(record->region, '\0', sizeof(record->region)) ||
        (record->region[0] && !wire_name_is_valid(record->region, PKI_REGION_MAX)))
        return PROBER_ERR_RANGE;
    if (find(t, record->hash))
        return PROBER_ERR_EXISTS;
    if (!has_room(t, record->uses))
        return PROBER_ERR_FULL;
    own.spends = spends_for(record);
    if (!own.spends)
        return PROBER_ERR_NOMEM;
    add(t, &own);
    return PROBER_OK;
}

/* ---- making ---- */

static enum prober_error read_order(const struct join_order *order, int64_t now_s,
                                    struct join_record *out, struct prober_failure *why)
{
    int64_t ttl_s = order->ttl_s ? order->ttl_s : JOIN_TTL_DEFAULT_S;
    int64_t uses = order->uses ? order->uses : JOIN_USES_DEFAULT;

    memset(out, 0, sizeof(*out));
    if (ttl_s < JOIN_TTL_MIN_S || ttl_s > JOIN_TTL_MAX_S)
        return prober_fail(why, PROBER_ERR_RANGE,
                           "a join token is valid for %lld seconds to %lld days",
                           (long long)JOIN_TTL_MIN_S, (long long)(JOIN_TTL_MAX_S / 86400));
    if (uses < 1 || uses > JOIN_USES_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "a join token has 1 to %d uses", JOIN_USES_MAX);
    if (order->region && order->region[0]) {
        if (!wire_name_is_valid(order->region, PKI_REGION_MAX))
            return prober_fail(why, PROBER_ERR_RANGE,
                               "a region is 1 to %d bytes of UTF-8 without control characters",
                               PKI_REGION_MAX);
        strcpy(out->region, order->region);
    }
    out->made_s = now_s;
    out->expires_s = now_s + ttl_s;
    out->uses = (uint32_t)uses;
    return PROBER_OK;
}

enum prober_error join_tokens_make(struct join_tokens *t, const struct join_order *order,
                                   int64_t now_s, char text[JOIN_TOKEN_TEXT_MAX],
                                   struct prober_failure *why)
{
    struct join_token token;
    struct join_record record;
    enum prober_error err = read_order(order, now_s, &record, why);

    if (err)
        return err;
    join_tokens_expire(t, now_s);
    if (!has_room(t, record.uses))
        return prober_fail(why, PROBER_ERR_FULL,
                           "at most %d join tokens of %d uses in all: revoke some, or wait for "
                           "their end",
                           JOIN_TOKENS_MAX, JOIN_USES_TOTAL_MAX);
    random_bytes(token.secret, sizeof(token.secret));
    memcpy(token.ca_fingerprint, t->ca_fingerprint, sizeof(token.ca_fingerprint));
    digest_sha256(token.secret, sizeof(token.secret), record.hash);
    record.spends = spends_for(&record);
    if (!record.spends)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for a join token");
    err = t->store.save(t->store.context, &record, why);
    if (err) {
        release(&record);
        return err;
    }
    add(t, &record);
    join_token_format(&token, text);
    return PROBER_OK;
}

/* ---- spending ---- */

static const struct join_spend *spend_of(const struct join_record *record,
                                         const uint8_t key_fingerprint[DIGEST_SHA256_LEN])
{
    for (uint32_t i = 0; i < record->spend_count; i++)
        if (memcmp(record->spends[i].key_fingerprint, key_fingerprint, DIGEST_SHA256_LEN) == 0)
            return &record->spends[i];
    return NULL;
}

/* Which region an agent gets: what it wants must agree with what is settled already, as a wrong one
 * would not be seen until much later. */
static enum prober_error choose_region(const char *settled, const char *wanted,
                                       char region[PKI_REGION_MAX + 1], struct prober_failure *why)
{
    if (!wanted || !wanted[0])
        wanted = settled;
    if (!wire_name_is_valid(wanted, PKI_REGION_MAX))
        return prober_fail(why, PROBER_ERR_RANGE,
                           "the agent's region is none: 1 to %d bytes of UTF-8 without control "
                           "characters",
                           PKI_REGION_MAX);
    if (settled[0] && strcmp(settled, wanted) != 0)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "the join token is for another region than the agent's");
    strcpy(region, wanted);
    return PROBER_OK;
}

static enum prober_error check_alive(const struct join_record *record, int64_t now_s,
                                     struct prober_failure *why)
{
    if (!record)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "the join token is not known: it was not made by this server, has been "
                           "revoked, or is long over");
    if (now_s >= record->expires_s)
        return prober_fail(why, PROBER_ERR_DENIED, "the join token expired %lld s ago",
                           (long long)(now_s - record->expires_s));
    return PROBER_OK;
}

/* The place of the next spend lies outside the record until the store has it. */
static enum prober_error note_spend(struct join_tokens *t, struct join_record *record,
                                    const struct join_ask *ask, const struct join_grant *grant,
                                    struct prober_failure *why)
{
    struct join_spend *next = (struct join_spend *)record->spends + record->spend_count;
    struct join_record noted = *record;
    enum prober_error err;

    if (record->spend_count == record->uses)
        return prober_fail(why, PROBER_ERR_DENIED, "the join token has been used already");
    memcpy(next->key_fingerprint, ask->key_fingerprint, DIGEST_SHA256_LEN);
    next->agent_id = grant->agent_id;
    strcpy(next->region, grant->region);
    noted.spend_count++;
    err = t->store.save(t->store.context, &noted, why);
    if (!err)
        *record = noted;
    return err;
}

enum prober_error join_tokens_check(struct join_tokens *t, const uint8_t secret[JOIN_SECRET_LEN],
                                    int64_t now_s, struct prober_failure *why)
{
    uint8_t hash[DIGEST_SHA256_LEN];

    digest_sha256(secret, JOIN_SECRET_LEN, hash);
    return check_alive(find(t, hash), now_s, why);
}

enum prober_error join_tokens_spend(struct join_tokens *t, const struct join_ask *ask,
                                    int64_t now_s, struct join_grant *out,
                                    struct prober_failure *why)
{
    uint8_t hash[DIGEST_SHA256_LEN];
    struct join_grant grant = {.agent_id = ask->agent_id};
    const struct join_spend *spend;
    struct join_record *record;
    enum prober_error err;

    digest_sha256(ask->secret, sizeof(ask->secret), hash);
    record = find(t, hash);
    err = check_alive(record, now_s, why);
    if (err)
        return err;
    spend = spend_of(record, ask->key_fingerprint);
    err = choose_region(spend ? spend->region : record->region, ask->region, grant.region, why);
    if (!err && spend)
        grant.agent_id = spend->agent_id;
    else if (!err)
        err = note_spend(t, record, ask, &grant, why);
    if (!err)
        *out = grant;
    return err;
}

/* ---- looking after them ---- */

char *join_tokens_name(const struct join_record *record, char out[JOIN_NAME_MAX])
{
    for (size_t i = 0; i < (JOIN_NAME_MAX - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", record->hash[i]);
    return out;
}

void join_tokens_list(const struct join_tokens *t,
                      void (*each)(void *context, const struct join_record *record), void *context)
{
    for (size_t i = 0; i < t->count; i++)
        each(context, &t->records[i]);
}

enum prober_error join_tokens_revoke(struct join_tokens *t, const char *name,
                                     struct prober_failure *why)
{
    for (size_t i = 0; i < t->count; i++) {
        char own[JOIN_NAME_MAX];
        enum prober_error err;

        if (strcmp(join_tokens_name(&t->records[i], own), name) != 0)
            continue;
        err = t->store.forget(t->store.context, t->records[i].hash, why);
        if (!err)
            drop(t, &t->records[i]);
        return err;
    }
    return prober_fail(why, PROBER_ERR_NOT_FOUND, "there is no join token of this name");
}

void join_tokens_expire(struct join_tokens *t, int64_t now_s)
{
    for (size_t i = t->count; i-- > 0;)
        if (now_s >= t->records[i].expires_s &&
            t->store.forget(t->store.context, t->records[i].hash, NULL) == PROBER_OK)
            drop(t, &t->records[i]);
}
