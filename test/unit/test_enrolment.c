#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serverd/enrolment.h"
#include "serverd/store.h"
#include "test/unit/fakes/fake_clock.h"
#include "test/unit/fakes/fake_log.h"
#include "test/unit/fakes/fake_reply.h"
#include "test/unit/given_pki.h"

static struct given_pki pki; /* for all tests */

static struct {
    char dir[64];
    struct store *store;
    struct store_trust *trust;
    struct revocations *revocations;
    struct enrolment *enrolment;
    struct prober_failure why;
    struct join_token token;
    char text[JOIN_TOKEN_TEXT_MAX];
} world;

static const struct prober_addr peer = {.family = PROBER_FAMILY_IPV4, .bytes = {192, 0, 2, 7}};
static const struct prober_id server_boot = {{9}};

static void open_enrolment(struct pki_ca *ca)
{
    struct enrolment_config config = {.ca = ca, .server_boot = server_boot};
    struct revocation_store kept;

    assert_int_equal(store_trust_open(&world.trust, world.dir, &world.why), PROBER_OK);
    kept = store_trust_revocations(world.trust);
    assert_int_equal(revocations_create(&world.revocations, &kept), PROBER_OK);
    assert_int_equal(store_trust_load_revocations(world.trust, world.revocations, &world.why),
                     PROBER_OK);
    config.store = world.trust;
    config.revocations = world.revocations;
    memcpy(config.ca_fingerprint, pki_ca_identity(pki.ca)->fingerprint, DIGEST_SHA256_LEN);
    assert_int_equal(enrolment_create(&world.enrolment, &config, &world.why), PROBER_OK);
}

static void close_enrolment(void)
{
    enrolment_destroy(world.enrolment);
    revocations_destroy(world.revocations);
    store_trust_close(world.trust);
}

/* What is left after a kill. */
static void restart(struct pki_ca *ca)
{
    close_enrolment();
    open_enrolment(ca);
}

/* The clock stands still while threads run. */
static void advance(uint64_t seconds)
{
    close_enrolment();
    fake_clock_advance(seconds * CLOCK_NS_PER_S);
    open_enrolment(pki.ca);
}

static int begin_all(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_enrol.XXXXXX");
    fake_clock = (struct clock_reading){.mono_ns = CLOCK_NS_PER_S,
                                        .real_ns = (uint64_t)GIVEN_NOW_S * CLOCK_NS_PER_S};
    if (!mkdtemp(world.dir) || store_open(&world.store, world.dir, &world.why) || world.why.code)
        return -1;
    open_enrolment(pki.ca);
    fake_reply_reset();
    fake_log_count = 0;
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    close_enrolment();
    store_close(world.store);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static void make_token(const char *region, int64_t uses)
{
    const struct join_order order = {.region = region, .uses = uses};
    int64_t now_s = (int64_t)(fake_clock.real_ns / CLOCK_NS_PER_S);

    assert_int_equal(enrolment_make_token(world.enrolment, &order, now_s, world.text, &world.why),
                     PROBER_OK);
    assert_int_equal(join_token_parse(world.text, strlen(world.text), &world.token, NULL),
                     PROBER_OK);
}

static struct strbuf request_of(const struct strbuf *key)
{
    struct strbuf request = STRBUF_INIT;

    assert_int_equal(pki_make_request(key->bytes, &request, NULL), PROBER_OK);
    return request;
}

/* Submits a call as the link would: decoded, with memory of its own. */
static void submit(const struct wire_request *request, const struct pki_identity *identity)
{
    struct strbuf bytes = STRBUF_INIT;
    struct enrolment_call call = {.identity = identity, .peer = peer};

    assert_int_equal(wire_request_encode(request, &bytes), PROBER_OK);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &call.request, NULL), PROBER_OK);
    strbuf_free(&bytes);
    enrolment_submit(world.enrolment, &call);
}

static struct wire_request any_request(enum wire_call call)
{
    return (struct wire_request){.protocol = WIRE_PROTOCOL,
                                 .agent_id = prober_id_random(),
                                 .boot_id = prober_id_random(),
                                 .call = call};
}

static struct fake_reply next_reply(void)
{
    static struct fake_reply reply;

    fake_reply_await(1);
    reply = fake_reply_at(0);
    fake_reply_reset();
    return reply;
}

static struct fake_reply join_as(const struct strbuf *key, const char *region,
                                 const struct pki_identity *identity)
{
    struct strbuf der = request_of(key);
    struct wire_request request = any_request(WIRE_JOIN);

    request.as.join = (struct wire_join){.secret = world.token.secret,
                                         .request = (const uint8_t *)der.bytes,
                                         .request_len = der.len,
                                         .region = region,
                                         .version = "1"};
    submit(&request, identity);
    strbuf_free(&der);
    return next_reply();
}

static struct fake_reply join(const struct strbuf *key, const char *region)
{
    return join_as(key, region, NULL);
}

static struct fake_reply renew(const struct strbuf *key, const struct pki_identity *identity)
{
    struct strbuf der = request_of(key);
    struct wire_request request = any_request(WIRE_RENEW);

    request.as.renew =
        (struct wire_renew){.request = (const uint8_t *)der.bytes, .request_len = der.len};
    submit(&request, identity);
    strbuf_free(&der);
    return next_reply();
}

static struct pki_identity granted(const struct fake_reply *reply)
{
    struct pki_identity identity;

    if (reply->reply.status != WIRE_OK)
        fail_msg("refused: %s", reply->message);
    assert_true(prober_id_equal(&reply->reply.server_boot_id, &server_boot));
    assert_int_equal(
        pki_read_certificate(reply->certificate, strlen(reply->certificate), &identity, NULL),
        PROBER_OK);
    assert_int_equal(pki_check_issued(pki.ca_certificate.bytes, reply->certificate, NULL),
                     PROBER_OK);
    assert_int_equal(identity.role, PKI_ROLE_AGENT);
    return identity;
}

static void assert_refused(const struct fake_reply *reply, const char *sentence)
{
    assert_int_equal(reply->reply.status, WIRE_REFUSED);
    assert_int_equal(reply->reply.call, WIRE_CALL_NONE);
    if (!strstr(reply->message, sentence))
        fail_msg("%s", reply->message);
}

static struct strbuf new_key(void)
{
    struct strbuf key = STRBUF_INIT;

    assert_int_equal(pki_make_key(&key), PROBER_OK);
    return key;
}

/* ---- joining ---- */

static void a_token_gives_a_certificate_of_the_region_and_a_new_id(void **state)
{
    struct fake_reply reply;
    struct pki_identity identity;

    (void)state;
    make_token("欧洲", 1);
    reply = join(&pki.agent_key, "");
    identity = granted(&reply);
    assert_string_equal(identity.region, "欧洲");
    assert_false(prober_id_is_zero(&identity.agent_id));
    assert_int_equal(identity.not_after_s, GIVEN_NOW_S + PKI_AGENT_LIFE_S);
    assert_int_equal(pki_check_key(reply.certificate, pki.agent_key.bytes, NULL), PROBER_OK);
    assert_int_equal(reply.reply.call, WIRE_JOIN);
}

/* The server was killed between the spend and the answer, or the answer got lost. */
static void who_asks_again_with_the_same_key_is_the_same_and_costs_no_use(void **state)
{
    struct strbuf other = new_key();
    struct fake_reply reply;
    struct pki_identity first, again;

    (void)state;
    make_token("a", 1);
    reply = join(&pki.agent_key, "a");
    first = granted(&reply);
    restart(pki.ca);
    reply = join(&pki.agent_key, "");
    again = granted(&reply);
    assert_true(prober_id_equal(&first.agent_id, &again.agent_id));
    reply = join(&other, "a");
    assert_refused(&reply, "used already");
    pki_forget(&other);
}

static void a_key_that_joined_before_keeps_its_id_with_another_token(void **state)
{
    struct fake_reply reply;
    struct pki_identity first, again;

    (void)state;
    make_token("a", 1);
    reply = join(&pki.agent_key, "");
    first = granted(&reply);
    make_token("b", 1);
    reply = join(&pki.agent_key, "");
    again = granted(&reply);
    assert_true(prober_id_equal(&first.agent_id, &again.agent_id));
    assert_string_equal(again.region, "b");
}

static void two_keys_get_two_ids(void **state)
{
    struct strbuf other = new_key();
    struct fake_reply reply;
    struct pki_identity first, second;

    (void)state;
    make_token("a", 2);
    reply = join(&pki.agent_key, "");
    first = granted(&reply);
    reply = join(&other, "");
    second = granted(&reply);
    assert_false(prober_id_equal(&first.agent_id, &second.agent_id));
    pki_forget(&other);
}

static void a_token_that_is_wrong_gives_nothing(void **state)
{
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    world.token.secret[3] ^= 1;
    reply = join(&pki.agent_key, "a");
    assert_refused(&reply, "not known");
}

static void an_expired_token_gives_nothing(void **state)
{
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    advance((uint64_t)JOIN_TTL_DEFAULT_S + 2);
    reply = join(&pki.agent_key, "a");
    assert_refused(&reply, "expired 2 s ago");
}

static void a_revoked_token_gives_nothing(void **state)
{
    struct join_record record = {.uses = 1};
    struct fake_reply reply;
    char name[JOIN_NAME_MAX];

    (void)state;
    make_token("a", 1);
    digest_sha256(world.token.secret, JOIN_SECRET_LEN, record.hash);
    assert_int_equal(
        enrolment_revoke_token(world.enrolment, join_tokens_name(&record, name), &world.why),
        PROBER_OK);
    reply = join(&pki.agent_key, "a");
    assert_refused(&reply, "has been revoked");
}

static void a_token_of_another_region_gives_nothing_and_is_not_spent(void **state)
{
    struct fake_reply reply;
    struct pki_identity identity;

    (void)state;
    make_token("a", 1);
    reply = join(&pki.agent_key, "b");
    assert_refused(&reply, "for another region");
    reply = join(&pki.agent_key, "a");
    identity = granted(&reply);
    assert_string_equal(identity.region, "a");
}

static void a_request_that_is_none_spends_nothing(void **state)
{
    struct wire_request request = any_request(WIRE_JOIN);
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    request.as.join = (struct wire_join){.secret = world.token.secret,
                                         .request = (const uint8_t *)"nonsense",
                                         .request_len = 8,
                                         .region = "",
                                         .version = ""};
    submit(&request, NULL);
    reply = next_reply();
    assert_refused(&reply, "not a request for a certificate");
    reply = join(&pki.agent_key, "a");
    granted(&reply);
}

static void a_revoked_agent_cannot_join_with_its_key(void **state)
{
    struct strbuf other = new_key();
    struct fake_reply reply;
    struct pki_identity identity;

    (void)state;
    make_token("a", 1);
    reply = join(&pki.agent_key, "a");
    identity = granted(&reply);
    assert_int_equal(
        revocations_add(world.revocations, &identity.agent_id, GIVEN_NOW_S, &world.why), PROBER_OK);
    reply = join(&pki.agent_key, "a"); /* the same token again */
    assert_refused(&reply, "is revoked");
    make_token("a", 1);
    reply = join(&pki.agent_key, "a"); /* another */
    assert_refused(&reply, "is revoked");
    reply = join(&other, "a"); /* which that has not spent */
    granted(&reply);
    pki_forget(&other);
}

static void who_has_a_certificate_does_not_join(void **state)
{
    const struct pki_identity identity = {.role = PKI_ROLE_AGENT, .agent_id = pki.agent_id};
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    reply = join_as(&pki.agent_key, "a", &identity);
    assert_refused(&reply, "does not join");
}

static void without_the_authoritys_key_nobody_joins(void **state)
{
    const struct join_order order = {.region = "a"};
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    restart(NULL);
    reply = join(&pki.agent_key, "a");
    assert_refused(&reply, "issues no certificates");
    assert_int_equal(
        enrolment_make_token(world.enrolment, &order, GIVEN_NOW_S, world.text, &world.why),
        PROBER_ERR_STATE);
    assert_non_null(strstr(world.why.text, "private key of its authority"));
}

/* ---- renewal ---- */

static struct pki_identity given_member(void)
{
    struct fake_reply reply;

    make_token("欧洲", 1);
    reply = join(&pki.agent_key, "");
    return granted(&reply);
}

static void a_renewal_is_of_the_same_id_and_region(void **state)
{
    struct pki_identity identity = given_member(), renewed;
    struct strbuf key = new_key();
    struct fake_reply reply;

    (void)state;
    advance(60 * UINT64_C(86400));
    reply = renew(&key, &identity);
    renewed = granted(&reply);
    assert_true(prober_id_equal(&renewed.agent_id, &identity.agent_id));
    assert_string_equal(renewed.region, "欧洲");
    assert_true(renewed.not_after_s > identity.not_after_s);
    assert_int_equal(reply.reply.call, WIRE_RENEW);
    make_token("欧洲", 1);
    reply = join(&key, ""); /* and the new key is the agent's from then on */
    renewed = granted(&reply);
    assert_true(prober_id_equal(&renewed.agent_id, &identity.agent_id));
    pki_forget(&key);
}

static void an_agent_that_joined_elsewhere_is_renewed_too(void **state)
{
    struct pki_identity identity;
    struct fake_reply reply;

    (void)state;
    assert_int_equal(pki_read_certificate(pki.agent_certificate.bytes, pki.agent_certificate.len,
                                          &identity, NULL),
                     PROBER_OK);
    reply = renew(&pki.agent_key, &identity);
    identity = granted(&reply);
    assert_true(prober_id_equal(&identity.agent_id, &pki.agent_id));
    assert_string_equal(identity.region, GIVEN_REGION);
}

static void nobody_renews_over_a_link_that_is_not_trusted(void **state)
{
    struct fake_reply reply = renew(&pki.agent_key, NULL);

    (void)state;
    assert_refused(&reply, "trusted link");
}

static void nobody_renews_with_the_key_of_another(void **state)
{
    const struct pki_identity other = {.role = PKI_ROLE_AGENT, .agent_id = {{7}}, .region = "欧洲"};
    struct fake_reply reply;

    (void)state;
    given_member();
    reply = renew(&pki.agent_key, &other);
    assert_refused(&reply, "another agent's");
}

static void a_revoked_agent_is_not_renewed(void **state)
{
    struct pki_identity identity = given_member();
    struct strbuf key = new_key();
    struct fake_reply reply;

    (void)state;
    assert_int_equal(
        revocations_add(world.revocations, &identity.agent_id, GIVEN_NOW_S, &world.why), PROBER_OK);
    reply = renew(&key, &identity);
    assert_refused(&reply, "is revoked");
    pki_forget(&key);
}

/* ---- the rest ---- */

static void the_log_tells_of_refusals_at_most_once_a_second(void **state)
{
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    world.token.secret[0] ^= 1;
    for (int i = 0; i < 5; i++)
        reply = join(&pki.agent_key, "a");
    assert_refused(&reply, "not known");
    assert_int_equal(fake_log_count, 1);
}

static void what_comes_after_the_end_is_answered_busy(void **state)
{
    struct fake_reply reply;

    (void)state;
    make_token("a", 1);
    enrolment_stop(world.enrolment);
    reply = join(&pki.agent_key, "a");
    assert_int_equal(reply.reply.status, WIRE_BUSY);
}

static void metrics_count_what_became_of_each(void **state)
{
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer w = {.out = &text, .format = METRICS_PROMETHEUS};
    struct fake_reply reply;

    (void)state;
    given_member();
    reply = renew(&pki.agent_key, NULL);
    assert_int_equal(reply.reply.status, WIRE_REFUSED);
    enrolment_write_metrics(world.enrolment, &w);
    assert_non_null(strstr(text.bytes, "prober_server_joins_total{result=\"granted\"} 1\n"));
    assert_non_null(strstr(text.bytes, "prober_server_joins_total{result=\"busy\"} 0\n"));
    assert_non_null(strstr(text.bytes, "prober_server_renewals_total{result=\"refused\"} 1\n"));
    assert_non_null(strstr(text.bytes, "prober_server_revoked_agents 0\n"));
    strbuf_free(&text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_token_gives_a_certificate_of_the_region_and_a_new_id),
        TEST(who_asks_again_with_the_same_key_is_the_same_and_costs_no_use),
        TEST(a_key_that_joined_before_keeps_its_id_with_another_token),
        TEST(two_keys_get_two_ids),
        TEST(a_token_that_is_wrong_gives_nothing),
        TEST(an_expired_token_gives_nothing),
        TEST(a_revoked_token_gives_nothing),
        TEST(a_token_of_another_region_gives_nothing_and_is_not_spent),
        TEST(a_request_that_is_none_spends_nothing),
        TEST(a_revoked_agent_cannot_join_with_its_key),
        TEST(who_has_a_certificate_does_not_join),
        TEST(without_the_authoritys_key_nobody_joins),
        TEST(a_renewal_is_of_the_same_id_and_region),
        TEST(an_agent_that_joined_elsewhere_is_renewed_too),
        TEST(nobody_renews_over_a_link_that_is_not_trusted),
        TEST(nobody_renews_with_the_key_of_another),
        TEST(a_revoked_agent_is_not_renewed),
        TEST(the_log_tells_of_refusals_at_most_once_a_second),
        TEST(what_comes_after_the_end_is_answered_busy),
        TEST(metrics_count_what_became_of_each),
    };

    return cmocka_run_group_tests(tests, begin_all, end_all);
}
