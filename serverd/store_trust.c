#include "serverd/store_trust.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "serverd/store.h"

#define PATH_ROOM 4096
#define BUSY_MS 2000

#define MEMBER "key, id, region, joined_s, expires_s"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVE_TOKEN,
    SAVE_SPEND,
    FORGET_TOKEN,
    FORGET_SPENDS,
    LOAD_TOKENS,
    LOAD_SPENDS,
    FIND_KEY,
    NOTE_KEY,
    FORGET_KEYS,
    LIST_MEMBERS,
    SAVE_REVOCATION,
    FORGET_REVOCATION,
    LOAD_REVOCATIONS,
    STATEMENT_COUNT
};
static const char *const statement_texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVE_TOKEN] = "INSERT OR IGNORE INTO join_tokens VALUES (NULL,?,?,?,?,?)",
    [SAVE_SPEND] = "INSERT OR IGNORE INTO join_spends VALUES (?,?,?,?,?)",
    [FORGET_TOKEN] = "DELETE FROM join_tokens WHERE hash = ?",
    [FORGET_SPENDS] = "DELETE FROM join_spends WHERE hash = ?",
    [LOAD_TOKENS] = "SELECT hash, region, made_s, expires_s, uses FROM join_tokens ORDER BY number",
    [LOAD_SPENDS] =
        "SELECT key, id, region FROM join_spends WHERE hash = ? ORDER BY number LIMIT ?",
    [FIND_KEY] = "SELECT " MEMBER " FROM members WHERE key = ?",
    [NOTE_KEY] = "INSERT OR REPLACE INTO members VALUES"
                 " (?1,?2,?3,ifnull((SELECT min(joined_s) FROM members WHERE id = ?2),?4),?5)",
    [FORGET_KEYS] = "DELETE FROM members WHERE expires_s < ?",
    /* The other columns are those of the row that max() found. */
    [LIST_MEMBERS] = ("SELECT key, id, region, joined_s, max(expires_s) FROM members GROUP BY id"
                      " ORDER BY id"),
    [SAVE_REVOCATION] = "INSERT OR REPLACE INTO revocations VALUES (?,?)",
    [FORGET_REVOCATION] = "DELETE FROM revocations WHERE id = ?",
    [LOAD_REVOCATIONS] = "SELECT id, at_s FROM revocations",
};

struct store_trust {
    pthread_mutex_t lock;
    sqlite3 *db;                               /* guarded by lock */
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* guarded by lock */
};

static enum prober_error fail(const struct store_trust *s, struct prober_failure *why,
                              const char *doing)
{
    return prober_fail(why, PROBER_ERR_IO, "cannot %s what is kept of joining: %s", doing,
                       s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

enum prober_error store_trust_open(struct store_trust **out, const char *dir,
                                   struct prober_failure *why)
{
    char path[PATH_ROOM];
    struct store_trust *s = calloc(1, sizeof(*s));
    bool good;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
    good = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
               SQLITE_OK &&
           sqlite3_busy_timeout(s->db, BUSY_MS) == SQLITE_OK &&
           sqlite3_exec(s->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; good && i < STATEMENT_COUNT; i++)
        good =
            sqlite3_prepare_v2(s->db, statement_texts[i], -1, &s->statements[i], NULL) == SQLITE_OK;
    if (!good) {
        fail(s, why, "open");
        store_trust_close(s);
        return PROBER_ERR_IO;
    }
    *out = s;
    return PROBER_OK;
}

void store_trust_close(struct store_trust *s)
{
    if (!s)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- statements ---- */

static void bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t len)
{
    sqlite3_bind_blob(statement, at, bytes, (int)len, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static void end(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static bool run(struct store_trust *s, enum statement which)
{
    bool done = sqlite3_step(s->statements[which]) == SQLITE_DONE;

    end(s->statements[which]);
    return done;
}

/* Ends what BEGIN began. */
static enum prober_error finish(struct store_trust *s, bool good, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    if (!good || !run(s, COMMIT)) {
        err = fail(s, why, "write");
        run(s, ROLLBACK);
    }
    return err;
}

/* False when the column is not of this length. */
static bool read_bytes(sqlite3_stmt *row, int at, void *out, size_t len)
{
    if (sqlite3_column_bytes(row, at) != (int)len)
        return false;
    memcpy(out, sqlite3_column_blob(row, at), len);
    return true;
}

static bool read_region(sqlite3_stmt *row, int at, char out[PKI_REGION_MAX + 1])
{
    const char *text = (const char *)sqlite3_column_text(row, at);

    if (!text || strlen(text) > PKI_REGION_MAX)
        return false;
    strcpy(out, text);
    return true;
}

/* ---- tokens ---- */

static bool save_spend(struct store_trust *s, const struct join_record *record, uint32_t number)
{
    const struct join_spend *spend = &record->spends[number];
    sqlite3_stmt *save = s->statements[SAVE_SPEND];

    bind_bytes(save, 1, record->hash, DIGEST_SHA256_LEN);
    sqlite3_bind_int64(save, 2, number);
    bind_bytes(save, 3, spend->key_fingerprint, DIGEST_SHA256_LEN);
    bind_bytes(save, 4, spend->agent_id.bytes, PROBER_ID_LEN);
    bind_text(save, 5, spend->region);
    return run(s, SAVE_SPEND);
}

/* Of a record nothing changes but that spends are added. */
static enum prober_error save_token(void *context, const struct join_record *record,
                                    struct prober_failure *why)
{
    struct store_trust *s = context;
    sqlite3_stmt *save = s->statements[SAVE_TOKEN];
    enum prober_error err;
    bool good;

    pthread_mutex_lock(&s->lock);
    if (!run(s, BEGIN)) {
        err = fail(s, why, "write");
        goto out;
    }
    bind_bytes(save, 1, record->hash, DIGEST_SHA256_LEN);
    bind_text(save, 2, record->region);
    sqlite3_bind_int64(save, 3, record->made_s);
    sqlite3_bind_int64(save, 4, record->expires_s);
    sqlite3_bind_int64(save, 5, record->uses);
    good = run(s, SAVE_TOKEN);
    for (uint32_t i = 0; good && i < record->spend_count; i++)
        good = save_spend(s, record, i);
    err = finish(s, good, why);
out:
    pthread_mutex_unlock(&s->lock);
    return err;
}

static enum prober_error forget_token(void *context, const uint8_t hash[DIGEST_SHA256_LEN],
                                      struct prober_failure *why)
{
    struct store_trust *s = context;
    enum prober_error err;

    pthread_mutex_lock(&s->lock);
    if (run(s, BEGIN)) {
        bind_bytes(s->statements[FORGET_TOKEN], 1, hash, DIGEST_SHA256_LEN);
        bind_bytes(s->statements[FORGET_SPENDS], 1, hash, DIGEST_SHA256_LEN);
        err = finish(s, run(s, FORGET_TOKEN) && run(s, FORGET_SPENDS), why);
    } else {
        err = fail(s, why, "write");
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

struct join_store store_trust_tokens(struct store_trust *s)
{
    return (struct join_store){.save = save_token, .forget = forget_token, .context = s};
}

static bool read_token(sqlite3_stmt *row, struct join_record *out)
{
    int64_t uses = sqlite3_column_int64(row, 4);

    memset(out, 0, sizeof(*out));
    out->made_s = sqlite3_column_int64(row, 2);
    out->expires_s = sqlite3_column_int64(row, 3);
    out->uses = uses >= 1 && uses <= JOIN_USES_MAX ? (uint32_t)uses : 0;
    return out->uses && read_bytes(row, 0, out->hash, sizeof(out->hash)) &&
           read_region(row, 1, out->region);
}

/* Reads the spends of a record into spends[record->uses]. */
static bool read_spends(struct store_trust *s, struct join_record *record,
                        struct join_spend *spends)
{
    sqlite3_stmt *load = s->statements[LOAD_SPENDS];
    bool good = true;
    int rc = SQLITE_DONE;

    bind_bytes(load, 1, record->hash, DIGEST_SHA256_LEN);
    sqlite3_bind_int64(load, 2, record->uses);
    while (good && (rc = sqlite3_step(load)) == SQLITE_ROW) {
        struct join_spend *spend = &spends[record->spend_count];

        good = read_bytes(load, 0, spend->key_fingerprint, DIGEST_SHA256_LEN) &&
               read_bytes(load, 1, spend->agent_id.bytes, PROBER_ID_LEN) &&
               read_region(load, 2, spend->region);
        record->spend_count++;
    }
    end(load);
    record->spends = spends;
    return good && rc == SQLITE_DONE;
}

/* A record that makes no sense is an error: a token must not come to life again with uses that were
 * spent. */
static enum prober_error load_token(struct store_trust *s, struct join_tokens *into,
                                    struct prober_failure *why)
{
    struct join_record record;
    struct join_spend *spends = NULL;
    enum prober_error err = PROBER_ERR_RANGE;

    if (read_token(s->statements[LOAD_TOKENS], &record)) {
        spends = calloc(record.uses, sizeof(*spends));
        if (!spends)
            err = PROBER_ERR_NOMEM;
        else if (read_spends(s, &record, spends))
            err = join_tokens_load(into, &record);
    }
    free(spends);
    if (err == PROBER_ERR_RANGE)
        prober_fail(why, err, "the store has a join token that makes no sense");
    else if (err)
        prober_fail(why, err, "cannot load the join tokens: %s", prober_error_text(err));
    return err;
}

enum prober_error store_trust_load_tokens(struct store_trust *s, struct join_tokens *into,
                                          struct prober_failure *why)
{
    sqlite3_stmt *load = s->statements[LOAD_TOKENS];
    enum prober_error err = PROBER_OK;
    int rc;

    pthread_mutex_lock(&s->lock);
    while ((rc = sqlite3_step(load)) == SQLITE_ROW && !err)
        err = load_token(s, into, why);
    if (!err && rc != SQLITE_DONE)
        err = fail(s, why, "read");
    end(load);
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* ---- members ---- */

static bool read_member(sqlite3_stmt *row, struct store_member *out)
{
    memset(out, 0, sizeof(*out));
    out->joined_s = sqlite3_column_int64(row, 3);
    out->expires_s = sqlite3_column_int64(row, 4);
    return read_bytes(row, 0, out->key_fingerprint, DIGEST_SHA256_LEN) &&
           read_bytes(row, 1, out->agent_id.bytes, PROBER_ID_LEN) &&
           read_region(row, 2, out->region);
}

enum prober_error store_trust_find(struct store_trust *s,
                                   const uint8_t key_fingerprint[DIGEST_SHA256_LEN],
                                   struct store_member *out, struct prober_failure *why)
{
    sqlite3_stmt *find = s->statements[FIND_KEY];
    enum prober_error err = PROBER_OK;
    int rc;

    pthread_mutex_lock(&s->lock);
    bind_bytes(find, 1, key_fingerprint, DIGEST_SHA256_LEN);
    rc = sqlite3_step(find);
    if (rc == SQLITE_DONE)
        err = PROBER_ERR_NOT_FOUND;
    else if (rc != SQLITE_ROW || !read_member(find, out))
        err = fail(s, why, "read");
    end(find);
    pthread_mutex_unlock(&s->lock);
    return err;
}

enum prober_error store_trust_note(struct store_trust *s, const struct store_member *member,
                                   int64_t now_s, struct prober_failure *why)
{
    sqlite3_stmt *note = s->statements[NOTE_KEY];
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&s->lock);
    bind_bytes(note, 1, member->key_fingerprint, DIGEST_SHA256_LEN);
    bind_bytes(note, 2, member->agent_id.bytes, PROBER_ID_LEN);
    bind_text(note, 3, member->region);
    sqlite3_bind_int64(note, 4, member->joined_s);
    sqlite3_bind_int64(note, 5, member->expires_s);
    if (!run(s, NOTE_KEY))
        err = fail(s, why, "write");
    sqlite3_bind_int64(s->statements[FORGET_KEYS], 1, now_s - STORE_TRUST_KEY_KEPT_S);
    run(s, FORGET_KEYS); /* the next one does it otherwise */
    pthread_mutex_unlock(&s->lock);
    return err;
}

enum prober_error store_trust_list(struct store_trust *s,
                                   void (*each)(void *context, const struct store_member *member),
                                   void *context, struct prober_failure *why)
{
    sqlite3_stmt *list = s->statements[LIST_MEMBERS];
    struct store_member member;
    enum prober_error err = PROBER_OK;
    int rc;

    pthread_mutex_lock(&s->lock);
    while ((rc = sqlite3_step(list)) == SQLITE_ROW)
        if (read_member(list, &member))
            each(context, &member);
    if (rc != SQLITE_DONE)
        err = fail(s, why, "read");
    end(list);
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* ---- revocations ---- */

static enum prober_error save_revocation(void *context, const struct revocation *revocation,
                                         struct prober_failure *why)
{
    struct store_trust *s = context;
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&s->lock);
    bind_bytes(s->statements[SAVE_REVOCATION], 1, revocation->agent_id.bytes, PROBER_ID_LEN);
    sqlite3_bind_int64(s->statements[SAVE_REVOCATION], 2, revocation->at_s);
    if (!run(s, SAVE_REVOCATION))
        err = fail(s, why, "write");
    pthread_mutex_unlock(&s->lock);
    return err;
}

static enum prober_error forget_revocation(void *context, const struct prober_id *agent_id,
                                           struct prober_failure *why)
{
    struct store_trust *s = context;
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&s->lock);
    bind_bytes(s->statements[FORGET_REVOCATION], 1, agent_id->bytes, PROBER_ID_LEN);
    if (!run(s, FORGET_REVOCATION))
        err = fail(s, why, "write");
    pthread_mutex_unlock(&s->lock);
    return err;
}

struct revocation_store store_trust_revocations(struct store_trust *s)
{
    return (struct revocation_store){
        .save = save_revocation, .forget = forget_revocation, .context = s};
}

enum prober_error store_trust_load_revocations(struct store_trust *s, struct revocations *into,
                                               struct prober_failure *why)
{
    sqlite3_stmt *load = s->statements[LOAD_REVOCATIONS];
    struct revocation revocation;
    enum prober_error err = PROBER_OK;
    int rc;

    pthread_mutex_lock(&s->lock);
    while ((rc = sqlite3_step(load)) == SQLITE_ROW && !err) {
        revocation.at_s = sqlite3_column_int64(load, 1);
        if (read_bytes(load, 0, revocation.agent_id.bytes, PROBER_ID_LEN))
            err = revocations_load(into, &revocation);
        else
            err = PROBER_ERR_RANGE;
        if (err)
            prober_fail(why, err, "cannot load the revocations: %s", prober_error_text(err));
    }
    if (!err && rc != SQLITE_DONE)
        err = fail(s, why, "read");
    end(load);
    pthread_mutex_unlock(&s->lock);
    return err;
}
