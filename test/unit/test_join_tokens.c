#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serverd/join_tokens.h"

#define NOW INT64_C(1800000000)

/* A store in memory, which can be made to fail. */
static struct {
    struct join_record records[8];
    struct join_spend spends[8][4];
    size_t count;
    enum prober_error fails;
} kept;

static struct join_tokens *tokens;
static struct prober_failure why;
static char text[JOIN_TOKEN_TEXT_MAX];
static const uint8_t fingerprint[DIGEST_SHA256_LEN] = {1, 2, 3};
static const struct prober_id first_id = {{1}}, second_id = {{2}};

static enum prober_error save(void *context, const struct join_record *record,
                              struct prober_failure *reason)
{
    size_t i = 0;
    (void)context;

    if (kept.fails)
        return prober_fail(reason, kept.fails, "the store is full");
    while (i < kept.count && memcmp(kept.records[i].hash, record->hash, sizeof(record->hash)) != 0)
        i++;
    assert_true(i < 8 && record->spend_count <= 4);
    kept.records[i] = *record;
    memcpy(kept.spends[i], record->spends, record->spend_count * sizeof(record->spends[0]));
    kept.records[i].spends = kept.spends[i];
    if (i == kept.count)
        kept.count++;
    return PROBER_OK;
}

static enum prober_error forget(void *context, const uint8_t hash[DIGEST_SHA256_LEN],
                                struct prober_failure *reason)
{
    (void)context;
    if (kept.fails)
        return prober_fail(reason, kept.fails, "the store is full");
    for (size_t i = 0; i < kept.count; i++)
        if (memcmp(kept.records[i].hash, hash, DIGEST_SHA256_LEN) == 0) {
            kept.count--;
            memmove(&kept.records[i], &kept.records[i + 1],
                    (kept.count - i) * sizeof(kept.records[0]));
            memmove(&kept.spends[i], &kept.spends[i + 1],
                    (kept.count - i) * sizeof(kept.spends[0]));
            for (size_t j = i; j < kept.count; j++)
                kept.records[j].spends = kept.spends[j];
            return PROBER_OK;
        }
    return PROBER_OK;
}

static const struct join_store store = {.save = save, .forget = forget};

static int set_up(void **state)
{
    (void)state;
    memset(&kept, 0, sizeof(kept));
    return join_tokens_create(&tokens, fingerprint, &store) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    join_tokens_destroy(tokens);
    return 0;
}

/* What is left after a kill. */
static void restart(void)
{
    join_tokens_destroy(tokens);
    assert_int_equal(join_tokens_create(&tokens, fingerprint, &store), PROBER_OK);
    for (size_t i = 0; i < kept.count; i++)
        assert_int_equal(join_tokens_load(tokens, &kept.records[i]), PROBER_OK);
}

static void make(const char *region, int64_t ttl_s, int64_t uses)
{
    const struct join_order order = {.region = region, .ttl_s = ttl_s, .uses = uses};

    assert_int_equal(join_tokens_make(tokens, &order, NOW, text, &why), PROBER_OK);
}

static enum prober_error spend(uint8_t key, const struct prober_id *id, const char *region,
                               int64_t now_s, struct join_grant *grant)
{
    struct join_ask ask = {.key_fingerprint = {key}, .region = region, .agent_id = *id};
    struct join_token token;

    assert_int_equal(join_token_parse(text, strlen(text), &token, &why), PROBER_OK);
    assert_memory_equal(token.ca_fingerprint, fingerprint, sizeof(fingerprint));
    memcpy(ask.secret, token.secret, sizeof(ask.secret));
    memset(grant, 0, sizeof(*grant));
    return join_tokens_spend(tokens, &ask, now_s, grant, &why);
}

static void assert_denied(enum prober_error err, const char *says)
{
    assert_int_equal(err, PROBER_ERR_DENIED);
    if (!strstr(why.text, says))
        fail_msg("it says: %s", why.text);
}

static void a_token_lets_one_agent_in_for_an_hour(void **state)
{
    struct join_grant grant;
    (void)state;

    make(NULL, 0, 0);
    assert_int_equal(spend(1, &first_id, "eu", NOW + 3599, &grant), PROBER_OK);
    assert_true(prober_id_equal(&grant.agent_id, &first_id));
    assert_string_equal(grant.region, "eu");
    assert_denied(spend(2, &second_id, "eu", NOW, &grant), "used already");
    assert_true(prober_id_is_zero(&grant.agent_id));
}

static void it_expires(void **state)
{
    struct join_grant grant;
    (void)state;

    make(NULL, 0, 0);
    assert_denied(spend(1, &first_id, "eu", NOW + 3600, &grant), "expired 0 s ago");
    join_tokens_expire(tokens, NOW + 3600);
    assert_int_equal(kept.count, 0);
    assert_denied(spend(1, &first_id, "eu", NOW + 3600, &grant), "not known");
}

static void the_secret_is_kept_nowhere(void **state)
{
    struct join_token token;
    (void)state;

    make("eu", 0, 0);
    assert_int_equal(join_token_parse(text, strlen(text), &token, &why), PROBER_OK);
    assert_null(memmem(&kept, sizeof(kept), token.secret, sizeof(token.secret)));
}

static void a_token_of_nobody_is_not_known(void **state)
{
    struct join_grant grant;
    (void)state;

    make(NULL, 0, 0);
    join_tokens_destroy(tokens);
    assert_int_equal(join_tokens_create(&tokens, fingerprint, &store), PROBER_OK);
    assert_denied(spend(1, &first_id, "eu", NOW, &grant), "not known");
}

static void an_agent_that_asks_again_with_its_key_gets_the_same(void **state)
{
    struct join_grant grant;
    (void)state;

    make(NULL, 0, 0);
    assert_int_equal(spend(1, &first_id, "eu", NOW, &grant), PROBER_OK);
    restart();
    assert_int_equal(spend(1, &second_id, "eu", NOW + 60, &grant), PROBER_OK);
    assert_true(prober_id_equal(&grant.agent_id, &first_id));
    assert_int_equal(kept.records[0].spend_count, 1);
    assert_denied(spend(1, &second_id, "us", NOW + 60, &grant), "another region");
    assert_denied(spend(2, &second_id, "eu", NOW + 60, &grant), "used already");
}

static void a_look_tells_who_guesses_and_spends_nothing(void **state)
{
    struct join_token token;
    struct join_grant grant;
    (void)state;

    make("eu", 60, 1);
    assert_int_equal(join_token_parse(text, strlen(text), &token, &why), PROBER_OK);
    assert_int_equal(join_tokens_check(tokens, token.secret, NOW + 59, &why), PROBER_OK);
    assert_denied(join_tokens_check(tokens, token.secret, NOW + 60, &why), "expired 0 s ago");
    assert_int_equal(spend(1, &first_id, "eu", NOW, &grant), PROBER_OK);
    assert_int_equal(join_tokens_check(tokens, token.secret, NOW, &why), PROBER_OK);
    token.secret[0] ^= 1;
    assert_denied(join_tokens_check(tokens, token.secret, NOW, &why), "not known");
}

static void a_token_for_a_region_is_for_no_other(void **state)
{
    struct join_grant grant;
    (void)state;

    make("欧洲", 0, 2);
    assert_denied(spend(1, &first_id, "eu", NOW, &grant), "another region");
    assert_int_equal(kept.records[0].spend_count, 0);
    assert_int_equal(spend(1, &first_id, NULL, NOW, &grant), PROBER_OK);
    assert_string_equal(grant.region, "欧洲");
    assert_int_equal(spend(2, &second_id, "欧洲", NOW, &grant), PROBER_OK);
}

static void a_region_must_come_from_somewhere_and_be_one(void **state)
{
    struct join_grant grant;
    char large[PKI_REGION_MAX + 2];
    (void)state;

    memset(large, 'r', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    make(NULL, 0, 0);
    assert_int_equal(spend(1, &first_id, NULL, NOW, &grant), PROBER_ERR_RANGE);
    assert_int_equal(spend(1, &first_id, "a\nb", NOW, &grant), PROBER_ERR_RANGE);
    assert_int_equal(spend(1, &first_id, "\xff", NOW, &grant), PROBER_ERR_RANGE);
    assert_int_equal(spend(1, &first_id, large, NOW, &grant), PROBER_ERR_RANGE);
    assert_int_equal(kept.records[0].spend_count, 0);
}

static void a_token_has_as_many_uses_as_it_was_made_for(void **state)
{
    struct join_grant grant;
    (void)state;

    make("eu", 0, 3);
    for (uint8_t key = 1; key <= 3; key++) {
        assert_int_equal(spend(key, &first_id, NULL, NOW, &grant), PROBER_OK);
        restart();
    }
    assert_denied(spend(4, &first_id, NULL, NOW, &grant), "used already");
}

static void what_could_not_be_kept_did_not_happen(void **state)
{
    const struct join_order order = {.region = "eu"};
    struct join_grant grant;
    char name[JOIN_NAME_MAX];
    (void)state;

    kept.fails = PROBER_ERR_IO;
    assert_int_equal(join_tokens_make(tokens, &order, NOW, text, &why), PROBER_ERR_IO);
    kept.fails = PROBER_OK;
    make("eu", 0, 0);
    kept.fails = PROBER_ERR_IO;
    assert_int_equal(spend(1, &first_id, NULL, NOW, &grant), PROBER_ERR_IO);
    assert_int_equal(join_tokens_revoke(tokens, join_tokens_name(&kept.records[0], name), &why),
                     PROBER_ERR_IO);
    kept.fails = PROBER_OK;
    assert_int_equal(spend(2, &second_id, NULL, NOW, &grant), PROBER_OK);
    assert_true(prober_id_equal(&grant.agent_id, &second_id));
}

static void a_revoked_token_is_not_known(void **state)
{
    struct join_grant grant;
    char name[JOIN_NAME_MAX];
    (void)state;

    make("eu", 0, 0);
    assert_int_equal(join_tokens_revoke(tokens, "0123456789abcdef", &why), PROBER_ERR_NOT_FOUND);
    assert_int_equal(join_tokens_revoke(tokens, join_tokens_name(&kept.records[0], name), &why),
                     PROBER_OK);
    assert_int_equal(kept.count, 0);
    assert_denied(spend(1, &first_id, NULL, NOW, &grant), "not known");
}

static void orders_out_of_range_are_refused(void **state)
{
    static const struct join_order orders[] = {
        {.ttl_s = 9},         {.ttl_s = -1},      {.ttl_s = JOIN_TTL_MAX_S + 1},
        {.ttl_s = INT64_MAX}, {.uses = -1},       {.uses = JOIN_USES_MAX + 1},
        {.uses = INT64_MAX},  {.region = "\x01"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        assert_int_equal(join_tokens_make(tokens, &orders[i], NOW, text, &why), PROBER_ERR_RANGE);
    assert_int_equal(kept.count, 0);
}

static enum prober_error save_nothing(void *context, const struct join_record *record,
                                      struct prober_failure *reason)
{
    (void)context;
    (void)record;
    (void)reason;
    return PROBER_OK;
}

static void there_is_an_end_to_tokens_and_their_uses(void **state)
{
    const struct join_store nowhere = {.save = save_nothing, .forget = forget};
    const struct join_order one = {.uses = 1}, many = {.uses = JOIN_USES_MAX};
    (void)state;

    join_tokens_destroy(tokens);
    assert_int_equal(join_tokens_create(&tokens, fingerprint, &nowhere), PROBER_OK);
    for (int i = 0; i < JOIN_USES_TOTAL_MAX / JOIN_USES_MAX; i++)
        assert_int_equal(join_tokens_make(tokens, &many, NOW, text, &why), PROBER_OK);
    assert_int_equal(join_tokens_make(tokens, &one, NOW, text, &why), PROBER_ERR_FULL);
    /* Those whose time is up make room. */
    for (int i = 0; i < JOIN_TOKENS_MAX; i++)
        assert_int_equal(join_tokens_make(tokens, &one, NOW + 3600, text, &why), PROBER_OK);
    assert_int_equal(join_tokens_make(tokens, &one, NOW + 3600, text, &why), PROBER_ERR_FULL);
}

static void count_one(void *context, const struct join_record *record)
{
    assert_true(record->uses > 0);
    ++*(int *)context;
}

static void tokens_are_listed(void **state)
{
    int count = 0;
    (void)state;

    make("eu", 0, 0);
    make("us", 0, 0);
    join_tokens_list(tokens, count_one, &count);
    assert_int_equal(count, 2);
}

static void a_record_that_makes_no_sense_is_not_loaded(void **state)
{
    struct join_record record;
    (void)state;

    make("eu", 0, 2);
    record = kept.records[0];
    assert_int_equal(join_tokens_load(tokens, &record), PROBER_ERR_EXISTS);
    record.hash[0] ^= 1;
    record.uses = 0;
    assert_int_equal(join_tokens_load(tokens, &record), PROBER_ERR_RANGE);
    record.uses = 1;
    record.spend_count = 2;
    assert_int_equal(join_tokens_load(tokens, &record), PROBER_ERR_RANGE);
    record.spend_count = 0;
    memset(record.region, 'x', sizeof(record.region));
    assert_int_equal(join_tokens_load(tokens, &record), PROBER_ERR_RANGE);
    strcpy(record.region, "a\x7f");
    assert_int_equal(join_tokens_load(tokens, &record), PROBER_ERR_RANGE);
    join_tokens_destroy(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_token_lets_one_agent_in_for_an_hour),
        TEST(it_expires),
        TEST(the_secret_is_kept_nowhere),
        TEST(a_token_of_nobody_is_not_known),
        TEST(an_agent_that_asks_again_with_its_key_gets_the_same),
        TEST(a_look_tells_who_guesses_and_spends_nothing),
        TEST(a_token_for_a_region_is_for_no_other),
        TEST(a_region_must_come_from_somewhere_and_be_one),
        TEST(a_token_has_as_many_uses_as_it_was_made_for),
        TEST(what_could_not_be_kept_did_not_happen),
        TEST(a_revoked_token_is_not_known),
        TEST(orders_out_of_range_are_refused),
        TEST(there_is_an_end_to_tokens_and_their_uses),
        TEST(tokens_are_listed),
        TEST(a_record_that_makes_no_sense_is_not_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
