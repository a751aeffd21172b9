#include "test/unit/unit.h"

#include <stdlib.h>

#include "agentd/uplink.h"
#include "test/unit/fakes/fake_link.h"
#include "test/unit/fakes/fake_log.h"
#include "test/unit/given_files.h"
#include "test/unit/given_pki.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define NOW_S GIVEN_NOW_S

/* A server that renews certificates, or does as a test says. The link of the test is plain: what it
 * becomes once it is trusted cannot be answered here, and counts as sealed. */
struct server {
    enum wire_status refuses;
    enum prober_error fails; /* no answer at all */
    const char *region;      /* that it certifies */
    struct given_pki *pki;   /* by whom */
    int64_t now_s;
    unsigned renewals, others;
    struct strbuf certificate;
};

static struct given_pki pki, other_pki;
static struct given_files files;
static struct server server;
static struct link_client link_to_server;
static struct secure_link *secure_link;
static struct credentials *credentials;
static struct wakeup wakeup;
static struct spool *spool;
static struct agent_stats *stats;
static struct uplink *uplink;
static struct clock_reading now;
static struct prober_failure why;

static enum prober_error renew(struct wire_reply *reply, const struct wire_renew *asked)
{
    server.renewals++;
    reply->status = server.refuses;
    reply->message = server.refuses ? "not today" : "";
    if (server.refuses)
        return PROBER_OK;
    assert_int_equal(pki_ca_issue_agent(server.pki->ca, asked->request, asked->request_len,
                                        &pki.agent_id, server.region, server.now_s,
                                        PKI_AGENT_LIFE_S, &server.certificate, NULL),
                     PROBER_OK);
    reply->call = WIRE_RENEW;
    reply->as.renew.certificate = server.certificate.bytes;
    return PROBER_OK;
}

static enum prober_error serve(void *context, const struct wire_request *request,
                               struct wire_reply *reply)
{
    (void)context;
    if (request->call == WIRE_RENEW)
        return server.fails ? server.fails : renew(reply, &request->as.renew);
    server.others++;
    reply->call = request->call;
    if (request->call == WIRE_HELLO)
        reply->as.hello = (struct wire_hello_reply){.server_id = "5e",
                                                    .observed_address = "192.0.2.77",
                                                    .agent_number = 12,
                                                    .heartbeat_ns = S(10),
                                                    .version = "1"};
    else
        assert_int_equal(request->call, WIRE_SYNC);
    return PROBER_OK;
}

static void on_presence(void *context, uint32_t number, const struct prober_addr *observed)
{
    (void)context, (void)number, (void)observed;
}

static void on_plan(void *context, struct agent_plan *plan)
{
    (void)context;
    agent_plan_put(plan);
}

static void on_hints(void *context, uint16_t port)
{
    (void)context, (void)port;
}

static void on_addresses(void *context, struct address_set *out)
{
    const char *own = "10.0.0.1";

    (void)context;
    assert_int_equal(address_parse_given(&own, 1, out, &why), PROBER_OK);
}

static void opens_credentials(void)
{
    const struct credentials_config config = {.dir = given_path(&files, "credentials")};

    credentials_close(credentials);
    assert_int_equal(credentials_open(&credentials, &config, &why), PROBER_OK);
}

static void given_joined(void)
{
    struct strbuf request = STRBUF_INIT, certificate = STRBUF_INIT;

    opens_credentials();
    assert_int_equal(credentials_request(credentials, &request, &why), PROBER_OK);
    assert_int_equal(pki_ca_issue_agent(pki.ca, request.bytes, request.len, &pki.agent_id,
                                        GIVEN_REGION, NOW_S, PKI_AGENT_LIFE_S, &certificate, &why),
                     PROBER_OK);
    assert_int_equal(
        credentials_accept(credentials, certificate.bytes, pki.ca_certificate.bytes, NOW_S, &why),
        PROBER_OK);
    strbuf_free(&request);
    strbuf_free(&certificate);
}

static int set_up(void **state)
{
    struct uplink_config config = {.region = GIVEN_REGION,
                                   .probe_interval_ns = S(15),
                                   .probe_timeout_ns = S(3),
                                   .sync_interval_ns = S(60),
                                   .presence = on_presence,
                                   .plan = on_plan,
                                   .hints = on_hints,
                                   .addresses = on_addresses,
                                   .wakeup = &wakeup};

    (void)state;
    given_dir(&files);
    given_joined();
    fake_log_count = 0;
    server = (struct server){.region = GIVEN_REGION, .pki = &pki, .now_s = NOW_S};
    link_to_server = (struct link_client){.serve = serve, .server_boot = {{9}}, .connections = 1};
    now = (struct clock_reading){S(1000), S(NOW_S), S(2000)};
    assert_int_equal(wakeup_open(&wakeup, &why), PROBER_OK);
    assert_int_equal(spool_create(&spool, 1 << 20, NULL), PROBER_OK);
    assert_int_equal(agent_stats_create(&stats), PROBER_OK);
    assert_int_equal(secure_link_create(&secure_link, &link_to_server), PROBER_OK);
    config.agent_id = pki.agent_id;
    config.boot_id = prober_id_random();
    config.credentials = credentials;
    config.spool = spool;
    config.stats = stats;
    config.link = secure_link;
    assert_int_equal(uplink_create(&uplink, &config), PROBER_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    uplink_destroy(uplink);
    secure_link_destroy(secure_link);
    credentials_close(credentials);
    credentials = NULL;
    spool_destroy(spool);
    agent_stats_destroy(stats);
    wakeup_close(&wakeup);
    strbuf_free(&server.certificate);
    given_dir_ends(&files);
    return 0;
}

/* Turns, as often as something is due, until the time has gone on by `ns`. */
static void run_for(uint64_t ns)
{
    uint64_t end = now.mono_ns + ns;

    for (unsigned turns = 0; now.mono_ns <= end; turns++) {
        uint64_t next = uplink_turn(uplink, &now);
        uint64_t step = next > now.mono_ns ? next - now.mono_ns : 0;

        assert_true(turns < 20000); /* else it spins */
        if (next > end)
            break;
        now.mono_ns += step;
        now.real_ns += step;
        now.boot_ns += step;
        server.now_s = (int64_t)(now.real_ns / CLOCK_NS_PER_S);
    }
}

/* The clock goes on while nothing is called. */
static void sleeps_until(int64_t unix_s)
{
    uint64_t step = S(unix_s) - now.real_ns;

    now.mono_ns += step;
    now.real_ns += step;
    now.boot_ns += step;
    server.now_s = unix_s;
}

static int64_t due_s(void)
{
    return pki_renewal_s(credentials_identity(credentials), 0);
}

static bool was_told(const char *message)
{
    for (size_t i = 0; i < fake_log_count; i++)
        if (strcmp(fake_log_messages[i], message) == 0)
            return true;
    return false;
}

static void a_certificate_is_renewed_when_it_is_due_and_not_before(void **state)
{
    struct pki_identity before = *credentials_identity(credentials);

    (void)state;
    sleeps_until(due_s() - 60);
    run_for(S(30));
    assert_true(server.others >= 2);
    assert_int_equal(server.renewals, 0);
    sleeps_until(before.not_after_s - 60);
    run_for(S(5));
    assert_int_equal(server.renewals, 1);
    assert_true(credentials_identity(credentials)->not_after_s > before.not_after_s);
    assert_true(was_told("the certificate of this agent was renewed"));
    opens_credentials(); /* it is on disk */
    assert_true(credentials_identity(credentials)->not_after_s > before.not_after_s);
    assert_true(prober_id_equal(&credentials_identity(credentials)->agent_id, &pki.agent_id));
}

static void after_a_renewal_nothing_is_called_plain(void **state)
{
    unsigned others;

    (void)state;
    sleeps_until(due_s());
    run_for(S(5));
    assert_int_equal(server.renewals, 1);
    assert_true(secure_link_is_trusted(secure_link));
    others = server.others;
    run_for(S(600));
    assert_int_equal(server.others, others);
    assert_int_equal(server.renewals, 1);
}

static void a_refused_renewal_is_tried_again_after_growing_pauses(void **state)
{
    struct pki_identity before = *credentials_identity(credentials);
    unsigned tries;

    (void)state;
    server.refuses = WIRE_REFUSED;
    sleeps_until(due_s());
    run_for(S(3600));
    tries = server.renewals;
    assert_in_range(tries, 2, 30);
    run_for(S(24 * 3600));
    assert_in_range(server.renewals - tries, 20, 60);
    assert_memory_equal(credentials_identity(credentials), &before, sizeof(before));
    assert_false(secure_link_is_trusted(secure_link));
    assert_true(was_told("the certificate of this agent is not renewed yet; trying again"));
    server.refuses = WIRE_OK;
    run_for(S(3600));
    assert_true(credentials_identity(credentials)->not_after_s > before.not_after_s);
}

static void a_server_that_does_not_answer_is_asked_again_with_the_same_key(void **state)
{
    struct strbuf request = STRBUF_INIT;
    uint8_t first[DIGEST_SHA256_LEN], again[DIGEST_SHA256_LEN];

    (void)state;
    server.fails = PROBER_ERR_TIMEOUT;
    sleeps_until(due_s());
    run_for(S(600));
    assert_int_equal(server.renewals, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(credentials_request(credentials, &request, &why), PROBER_OK);
        assert_int_equal(
            pki_check_request((const uint8_t *)request.bytes, request.len, i ? again : first, &why),
            PROBER_OK);
    }
    assert_memory_equal(first, again, sizeof(first));
    server.fails = PROBER_OK;
    run_for(S(3600));
    assert_int_equal(server.renewals, 1);
    strbuf_free(&request);
}

static void a_certificate_of_another_region_or_authority_is_not_taken(void **state)
{
    struct pki_identity before = *credentials_identity(credentials);

    (void)state;
    server.region = "elsewhere";
    sleeps_until(due_s());
    run_for(S(5));
    server.region = GIVEN_REGION;
    server.pki = &other_pki;
    run_for(S(600));
    assert_true(server.renewals >= 2);
    assert_memory_equal(credentials_identity(credentials), &before, sizeof(before));
    assert_false(secure_link_is_trusted(secure_link));
    opens_credentials();
    assert_memory_equal(credentials_identity(credentials), &before, sizeof(before));
}

static int make_pki(void **state)
{
    (void)state;
    given_pki_make(&pki);
    given_pki_make(&other_pki);
    return 0;
}

static int free_pki(void **state)
{
    (void)state;
    given_pki_free(&pki);
    given_pki_free(&other_pki);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_is_renewed_when_it_is_due_and_not_before),
        TEST(after_a_renewal_nothing_is_called_plain),
        TEST(a_refused_renewal_is_tried_again_after_growing_pauses),
        TEST(a_server_that_does_not_answer_is_asked_again_with_the_same_key),
        TEST(a_certificate_of_another_region_or_authority_is_not_taken),
    };

    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
