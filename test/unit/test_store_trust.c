#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tests get in the store's way behind its back. */
#include <sqlite3.h>

#include "serverd/store.h"
#include "serverd/store_trust.h"

#define NOW INT64_C(1800000000)

static struct {
    char dir[64];
    struct store *store;
    struct store_trust *trust;
    struct join_tokens *tokens;
    struct revocations *revocations;
    struct prober_failure why;
    char token[JOIN_TOKEN_TEXT_MAX];
    char seen[1024];
} world;

static const uint8_t fingerprint[DIGEST_SHA256_LEN] = {1, 2, 3};
static const struct prober_id first_id = {{1}}, second_id = {{2}};

static void open_trust(void)
{
    struct join_store tokens;
    struct revocation_store revocations;

    assert_int_equal(store_trust_open(&world.trust, world.dir, &world.why), PROBER_OK);
    tokens = store_trust_tokens(world.trust);
    revocations = store_trust_revocations(world.trust);
    assert_int_equal(join_tokens_create(&world.tokens, fingerprint, &tokens), PROBER_OK);
    assert_int_equal(revocations_create(&world.revocations, &revocations), PROBER_OK);
}

static void close_trust(void)
{
    join_tokens_destroy(world.tokens);
    revocations_destroy(world.revocations);
    store_trust_close(world.trust);
    world.tokens = NULL;
    world.revocations = NULL;
    world.trust = NULL;
}

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_trust.XXXXXX");
    if (!mkdtemp(world.dir) || store_open(&world.store, world.dir, &world.why) || world.why.code)
        return -1;
    open_trust();
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    close_trust();
    store_close(world.store);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

/* What is left after a kill. */
static void restart(void)
{
    close_trust();
    open_trust();
    assert_int_equal(store_trust_load_tokens(world.trust, world.tokens, &world.why), PROBER_OK);
    assert_int_equal(store_trust_load_revocations(world.trust, world.revocations, &world.why),
                     PROBER_OK);
}

static void make(const char *region, int64_t uses)
{
    const struct join_order order = {.region = region, .uses = uses};

    assert_int_equal(join_tokens_make(world.tokens, &order, NOW, world.token, &world.why),
                     PROBER_OK);
}

static enum prober_error spend(uint8_t key, const struct prober_id *id, struct join_grant *grant)
{
    struct join_token token;
    struct join_ask ask = {.key_fingerprint = {key}, .agent_id = *id};

    assert_int_equal(join_token_parse(world.token, strlen(world.token), &token, NULL), PROBER_OK);
    memcpy(ask.secret, token.secret, sizeof(ask.secret));
    return join_tokens_spend(world.tokens, &ask, NOW + 1, grant, &world.why);
}

static void note_token(void *context, const struct join_record *record)
{
    size_t len = strlen(world.seen);

    (void)context;
    snprintf(world.seen + len, sizeof(world.seen) - len, "%s %u/%u;", record->region,
             record->spend_count, record->uses);
}

static const char *tokens_seen(void)
{
    world.seen[0] = '\0';
    join_tokens_list(world.tokens, note_token, NULL);
    return world.seen;
}

static void tell(const char *sql)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/" STORE_FILE, world.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void tokens_and_their_spends_outlive_a_kill(void **state)
{
    struct join_grant grant;

    (void)state;
    make("欧洲", 1);
    make("", 3);
    make("亚洲", 2);
    assert_int_equal(spend(1, &first_id, &grant), PROBER_OK);
    restart();
    assert_string_equal(tokens_seen(), "欧洲 0/1; 0/3;亚洲 1/2;");
    assert_int_equal(spend(1, &second_id, &grant), PROBER_OK);
    assert_true(prober_id_equal(&grant.agent_id, &first_id)); /* the same key: no further use */
    assert_string_equal(grant.region, "亚洲");
    assert_int_equal(spend(2, &second_id, &grant), PROBER_OK);
    restart();
    assert_string_equal(tokens_seen(), "欧洲 0/1; 0/3;亚洲 2/2;");
    assert_int_equal(spend(3, &second_id, &grant), PROBER_ERR_DENIED);
}

static void a_token_that_is_revoked_is_gone_for_good(void **state)
{
    struct join_grant grant;
    struct join_token token;
    struct join_record record = {.uses = 1};
    char name[JOIN_NAME_MAX];

    (void)state;
    make("a", 1);
    assert_int_equal(spend(1, &first_id, &grant), PROBER_OK);
    assert_int_equal(join_token_parse(world.token, strlen(world.token), &token, NULL), PROBER_OK);
    digest_sha256(token.secret, sizeof(token.secret), record.hash);
    assert_int_equal(join_tokens_revoke(world.tokens, join_tokens_name(&record, name), &world.why),
                     PROBER_OK);
    restart();
    assert_string_equal(tokens_seen(), "");
    assert_int_equal(spend(1, &first_id, &grant), PROBER_ERR_DENIED);
}

static void the_store_holds_no_secret(void **state)
{
    char command[256];
    struct join_token token;

    (void)state;
    make("a", 1);
    assert_int_equal(join_token_parse(world.token, strlen(world.token), &token, NULL), PROBER_OK);
    close_trust();
    snprintf(command, sizeof(command), "cat %s/server.db* | grep -aq '%.40s'", world.dir,
             world.token);
    assert_int_not_equal(system(command), 0);
    snprintf(command, sizeof(command),
             "cat %s/server.db* | od -An -v -tx1 | tr -d ' \\n' | grep -q "
             "%02x%02x%02x%02x%02x%02x%02x%02x",
             world.dir, token.secret[0], token.secret[1], token.secret[2], token.secret[3],
             token.secret[4], token.secret[5], token.secret[6], token.secret[7]);
    assert_int_not_equal(system(command), 0);
}

static void while_the_store_is_locked_no_token_is_spent(void **state)
{
    char path[128];
    struct join_grant grant;
    sqlite3 *db;

    (void)state;
    make("a", 1);
    snprintf(path, sizeof(path), "%s/" STORE_FILE, world.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(spend(1, &first_id, &grant), PROBER_ERR_IO);
    assert_non_null(strstr(world.why.text, "cannot write what is kept of joining"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_string_equal(tokens_seen(), "a 0/1;");
    assert_int_equal(spend(1, &first_id, &grant), PROBER_OK);
}

static void a_record_that_makes_no_sense_is_not_loaded(void **state)
{
    (void)state;
    make("a", 1);
    tell("UPDATE join_tokens SET uses = 0");
    close_trust();
    open_trust();
    assert_int_equal(store_trust_load_tokens(world.trust, world.tokens, &world.why),
                     PROBER_ERR_RANGE);
    assert_non_null(strstr(world.why.text, "makes no sense"));
    tell("UPDATE join_tokens SET uses = 1, hash = x'00'");
    assert_int_equal(store_trust_load_tokens(world.trust, world.tokens, &world.why),
                     PROBER_ERR_RANGE);
}

static void revocations_outlive_a_kill_and_can_be_taken_back(void **state)
{
    (void)state;
    assert_int_equal(revocations_add(world.revocations, &first_id, NOW, &world.why), PROBER_OK);
    assert_int_equal(revocations_add(world.revocations, &second_id, NOW, &world.why), PROBER_OK);
    restart();
    assert_true(revocations_has_id(world.revocations, &first_id));
    assert_int_equal(revocations_remove(world.revocations, &first_id, &world.why), PROBER_OK);
    restart();
    assert_false(revocations_has_id(world.revocations, &first_id));
    assert_true(revocations_has_id(world.revocations, &second_id));
}

static void note_key(uint8_t key, const struct prober_id *id, const char *region, int64_t now_s)
{
    struct store_member member = {.key_fingerprint = {key},
                                  .agent_id = *id,
                                  .joined_s = now_s,
                                  .expires_s = now_s + PKI_AGENT_LIFE_S};

    strcpy(member.region, region);
    assert_int_equal(store_trust_note(world.trust, &member, now_s, &world.why), PROBER_OK);
}

static enum prober_error find_key(uint8_t key, struct store_member *out)
{
    const uint8_t wanted[DIGEST_SHA256_LEN] = {key};

    return store_trust_find(world.trust, wanted, out, &world.why);
}

static void a_key_finds_its_agent_again(void **state)
{
    struct store_member member;

    (void)state;
    note_key(1, &first_id, "欧洲", NOW);
    restart();
    assert_int_equal(find_key(1, &member), PROBER_OK);
    assert_true(prober_id_equal(&member.agent_id, &first_id));
    assert_string_equal(member.region, "欧洲");
    assert_int_equal(member.joined_s, NOW);
    assert_int_equal(find_key(2, &member), PROBER_ERR_NOT_FOUND);
}

static void note_member(void *context, const struct store_member *member)
{
    size_t len = strlen(world.seen);

    (void)context;
    snprintf(world.seen + len, sizeof(world.seen) - len, "%d %s key %d %d..%d;",
             member->agent_id.bytes[0], member->region, member->key_fingerprint[0],
             (int)(member->joined_s - NOW), (int)(member->expires_s - NOW - PKI_AGENT_LIFE_S));
}

static void an_agent_is_listed_once_with_its_newest_key(void **state)
{
    (void)state;
    note_key(9, &first_id, "a", NOW);
    note_key(3, &second_id, "b", NOW + 5);
    note_key(2, &first_id, "c", NOW + 10);
    world.seen[0] = '\0';
    assert_int_equal(store_trust_list(world.trust, note_member, NULL, &world.why), PROBER_OK);
    assert_string_equal(world.seen, "1 c key 2 0..10;2 b key 3 5..5;");
}

static void a_key_is_forgotten_long_after_its_certificates_expired(void **state)
{
    int64_t over_s = NOW + PKI_AGENT_LIFE_S + STORE_TRUST_KEY_KEPT_S;
    struct store_member member;

    (void)state;
    note_key(1, &first_id, "a", NOW);
    note_key(2, &second_id, "a", over_s);
    assert_int_equal(find_key(1, &member), PROBER_OK);
    note_key(2, &second_id, "a", over_s + 1);
    assert_int_equal(find_key(1, &member), PROBER_ERR_NOT_FOUND);
}

static void without_a_store_there_is_none(void **state)
{
    struct store_trust *none = NULL;

    (void)state;
    assert_int_equal(store_trust_open(&none, "/nowhere", &world.why), PROBER_ERR_IO);
    assert_null(none);
    store_trust_close(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(tokens_and_their_spends_outlive_a_kill),
        TEST(a_token_that_is_revoked_is_gone_for_good),
        TEST(the_store_holds_no_secret),
        TEST(while_the_store_is_locked_no_token_is_spent),
        TEST(a_record_that_makes_no_sense_is_not_loaded),
        TEST(revocations_outlive_a_kill_and_can_be_taken_back),
        TEST(a_key_finds_its_agent_again),
        TEST(an_agent_is_listed_once_with_its_newest_key),
        TEST(a_key_is_forgotten_long_after_its_certificates_expired),
        TEST(without_a_store_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
