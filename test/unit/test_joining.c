#include "test/unit/given_channels.h"
#include "test/unit/given_files.h"

#include <signal.h>
#include <stdlib.h>

#include "agentd/joining.h"
#include "common/clock.h"
#include "common/join_token.h"
#include "common/log.h"
#include "test/unit/fakes/fake_join_link.h"
#include "test/unit/fakes/fake_log.h"

/* Joining judges by the clock: so these certificates are of today. */
static struct {
    int64_t now_s;
    struct strbuf ca_key, ca, key, certificate;
    struct pki_ca *authority;
    struct channel_server *tls;
} world;
static struct given_files files;
static struct credentials *credentials;
static struct prober_failure why;
static struct join_token token;
static char word[JOIN_TOKEN_TEXT_MAX];
static struct joining joining;
static sigset_t signals;

static struct {
    enum wire_status status[4]; /* of the first answers; then WIRE_OK */
    unsigned asked;
    char region[PKI_REGION_MAX + 1];
    bool secret_came;
    uint8_t keys[8][DIGEST_SHA256_LEN]; /* of each request */
    const char *certificate;            /* to be given in place of one that is issued */
    struct strbuf issued;
} server;

static void serve(const struct wire_request *request, struct wire_reply *reply)
{
    const struct wire_join *join = &request->as.join;
    const struct prober_id id = {{0x1d}};
    unsigned i = server.asked++;

    assert_int_equal(request->call, WIRE_JOIN);
    assert_true(i < 8);
    server.secret_came = memcmp(join->secret, token.secret, sizeof(token.secret)) == 0;
    strcpy(server.region, join->region);
    assert_int_equal(pki_check_request(join->request, join->request_len, server.keys[i], NULL),
                     PROBER_OK);
    reply->status = i < 4 ? server.status[i] : WIRE_OK;
    if (reply->status) {
        reply->message = "as the test wants it";
        return;
    }
    assert_int_equal(pki_ca_issue_agent(world.authority, join->request, join->request_len, &id,
                                        "eu", world.now_s, PKI_AGENT_LIFE_S, &server.issued, NULL),
                     PROBER_OK);
    reply->call = WIRE_JOIN;
    reply->as.join.certificate = server.certificate ? server.certificate : server.issued.bytes;
}

static enum prober_error try(void)
{
    return joining_try(credentials, &joining, &why);
}

static enum prober_error run(void)
{
    return joining_run(credentials, &joining, &signals, &why);
}

static unsigned told(const char *message)
{
    unsigned count = 0;

    for (size_t i = 0; i < fake_log_count; i++)
        count += strcmp(fake_log_messages[i], message) == 0;
    return count;
}

static void a_token_gets_the_certificate_that_the_server_issues(void **state)
{
    (void)state;
    joining.region = "eu";
    assert_int_equal(try(), PROBER_OK);
    assert_string_equal(fake_join_link.address, "server:6000");
    assert_true(server.secret_came);
    assert_string_equal(server.region, "eu");
    assert_int_equal(credentials_identity(credentials)->agent_id.bytes[0], 0x1d);
    assert_string_equal(credentials_identity(credentials)->region, "eu");
    assert_non_null(credentials_ca(credentials));
    assert_int_equal(fake_join_link.closed, fake_join_link.opened);
}

static void a_refusal_ends_it_and_shows_nothing_of_the_token(void **state)
{
    (void)state;
    server.status[0] = WIRE_REFUSED;
    assert_int_equal(run(), PROBER_ERR_DENIED);
    assert_string_equal(why.text, "the server refuses it: as the test wants it");
    assert_int_equal(server.asked, 1);
    assert_null(credentials_identity(credentials));
    server.status[1] = WIRE_NOT_KNOWN;
    assert_int_equal(run(), PROBER_ERR_DENIED);
    assert_null(strstr(why.text, word));
}

static void a_server_that_is_away_or_busy_is_asked_again_with_the_same_key(void **state)
{
    (void)state;
    fake_join_link.fail = PROBER_ERR_UNREACHABLE;
    fake_join_link.failures = 1;
    server.status[0] = WIRE_BUSY;
    assert_int_equal(run(), PROBER_OK);
    assert_int_equal(server.asked, 2);
    assert_memory_equal(server.keys[0], server.keys[1], DIGEST_SHA256_LEN);
    assert_int_equal(told("cannot join yet; trying again until the server takes us"), 1);
}

static void an_answer_that_got_lost_is_asked_for_again_with_the_same_key(void **state)
{
    (void)state;
    server.certificate = "none";
    assert_true(try() != PROBER_OK);
    assert_null(credentials_identity(credentials));
    server.certificate = NULL;
    assert_int_equal(try(), PROBER_OK);
    assert_memory_equal(server.keys[0], server.keys[1], DIGEST_SHA256_LEN);
}

static void a_server_of_another_authority_than_the_token_names_gets_no_secret(void **state)
{
    (void)state;
    token.ca_fingerprint[0] ^= 1;
    join_token_format(&token, word);
    assert_int_equal(run(), PROBER_ERR_DENIED);
    assert_int_equal(server.asked, 0);
    assert_non_null(strstr(why.text, "issued by another authority"));
    assert_non_null(strstr(why.text, "the token of that server"));
}

static void a_certificate_for_another_key_is_not_taken(void **state)
{
    struct strbuf key = STRBUF_INIT, certificate = STRBUF_INIT;
    const struct prober_id id = {{2}};

    (void)state;
    assert_int_equal(pki_make_key(&key), PROBER_OK);
    given_agent_certificate(world.authority, &key, &id, "eu", world.now_s, PKI_AGENT_LIFE_S,
                            &certificate);
    server.certificate = certificate.bytes;
    assert_true(try() != PROBER_OK);
    assert_null(credentials_identity(credentials));
    pki_forget(&key);
    strbuf_free(&certificate);
}

static void what_is_no_token_asks_nobody(void **state)
{
    (void)state;
    joining.token = "pmj1guessed";
    assert_int_equal(run(), PROBER_ERR_SYNTAX);
    assert_int_equal(fake_join_link.opened, 0);
    assert_null(strstr(why.text, "guessed"));
}

static void a_signal_to_stop_ends_the_wait(void **state)
{
    (void)state;
    fake_join_link.fail = PROBER_ERR_UNREACHABLE;
    fake_join_link.failures = 1000;
    raise(SIGTERM); /* blocked: it waits to be taken */
    assert_int_equal(run(), PROBER_ERR_CLOSED);
    assert_int_equal(fake_join_link.calls, 1);
}

static void make_server(void)
{
    struct channel_server_config config;

    world.now_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
    assert_int_equal(pki_ca_make(world.now_s, PKI_CA_LIFE_S, &world.ca_key, &world.ca), PROBER_OK);
    assert_int_equal(pki_ca_open(&world.authority, world.ca.bytes, world.ca_key.bytes, NULL),
                     PROBER_OK);
    assert_int_equal(pki_ca_issue_server(world.authority, world.now_s, PKI_SERVER_LIFE_S,
                                         &world.key, &world.certificate, NULL),
                     PROBER_OK);
    config = (struct channel_server_config){
        .certificate = world.certificate.bytes, .key = world.key.bytes, .ca = world.ca.bytes};
    assert_int_equal(channel_server_open(&world.tls, &config, NULL), PROBER_OK);
}

static int set_up(void **state)
{
    struct credentials_config config;

    (void)state;
    given_dir(&files);
    config = (struct credentials_config){.dir = given_path(&files, "credentials")};
    memset(&server, 0, sizeof(server));
    fake_log_count = 0;
    fake_join_link =
        (struct fake_join_link){.server = world.tls, .now_s = world.now_s, .serve = serve};
    memset(token.secret, 0x5e, sizeof(token.secret));
    assert_int_equal(pki_fingerprint(world.ca.bytes, world.ca.len, token.ca_fingerprint, NULL),
                     PROBER_OK);
    join_token_format(&token, word);
    joining = (struct joining){
        .server = "server:6000", .token = word, .region = "", .agent_id = {{7}}, .boot_id = {{8}}};
    assert_int_equal(credentials_open(&credentials, &config, &why), PROBER_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    credentials_close(credentials);
    strbuf_free(&server.issued);
    given_dir_ends(&files);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    make_server();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    channel_server_close(world.tls);
    pki_ca_close(world.authority);
    pki_forget(&world.ca_key);
    pki_forget(&world.key);
    strbuf_free(&world.ca);
    strbuf_free(&world.certificate);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_token_gets_the_certificate_that_the_server_issues),
        TEST(a_refusal_ends_it_and_shows_nothing_of_the_token),
        TEST(a_server_that_is_away_or_busy_is_asked_again_with_the_same_key),
        TEST(an_answer_that_got_lost_is_asked_for_again_with_the_same_key),
        TEST(a_server_of_another_authority_than_the_token_names_gets_no_secret),
        TEST(a_certificate_for_another_key_is_not_taken),
        TEST(what_is_no_token_asks_nobody),
        TEST(a_signal_to_stop_ends_the_wait),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
