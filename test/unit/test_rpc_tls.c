/*
 * Trusted calls through a real link, in this process.
 */
#include "test/unit/given_channels.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/link.h"
#include "common/wire.h"
#include "serverd/rpc.h"

#define S(n) ((n)*CLOCK_NS_PER_S)
#define CONNECTIONS 20

static struct {
    struct strbuf ca_key, ca, server_key, server_certificate, key, certificate;
    struct pki_ca *authority;
    struct ticket_keys *tickets;
    struct channel_server *tls;
    struct channel_client *client;
    struct directory_board *board;
    struct ingest *ingest;
    struct rpc *rpc;
    char address[32];
    int64_t now_s;
} world;

static const struct prober_id agent_id = {{1}}, boot_id = {{2}};

/* The server judges by its clock: so these certificates are of today. */
static void make_certificates(void)
{
    struct channel_server_config config;

    world.now_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
    assert_int_equal(pki_ca_make(world.now_s, PKI_CA_LIFE_S, &world.ca_key, &world.ca), PROBER_OK);
    assert_int_equal(pki_ca_open(&world.authority, world.ca.bytes, world.ca_key.bytes, NULL),
                     PROBER_OK);
    assert_int_equal(pki_ca_issue_server(world.authority, world.now_s, PKI_SERVER_LIFE_S,
                                         &world.server_key, &world.server_certificate, NULL),
                     PROBER_OK);
    assert_int_equal(pki_make_key(&world.key), PROBER_OK);
    given_agent_certificate(world.authority, &world.key, &agent_id, "eu", world.now_s,
                            PKI_AGENT_LIFE_S, &world.certificate);
    assert_int_equal(ticket_keys_open(&world.tickets, NULL, world.now_s, NULL), PROBER_OK);
    config = (struct channel_server_config){.certificate = world.server_certificate.bytes,
                                            .key = world.server_key.bytes,
                                            .ca = world.ca.bytes,
                                            .tickets = world.tickets};
    assert_int_equal(channel_server_open(&world.tls, &config, NULL), PROBER_OK);
    world.client = given_client(world.ca.bytes, &world.certificate, &world.key);
}

static int make_world(void **state)
{
    const struct ingest_config ingest = {.shards = 1,
                                         .server_boot = {{8}},
                                         .aggregation_interval_ns = S(15),
                                         .series_cache_ratio = 5};
    struct rpc_config config = {
        .listen = "127.0.0.1:0",
        .hint_listen = "",
        .control = {.server_id = {{7}},
                    .server_boot = {{8}},
                    .heartbeat_ns = S(10),
                    .aggregation_interval_ns = S(15)},
    };
    struct control_change change = {
        .registry = {.alive_ns = S(75),
                     .forget_ns = S(86400),
                     .clone_ns = S(25),
                     .accept_plain = true,
                     .agents_max = 100,
                     .agents_per_source = 100},
        .plan = {.dynamic = true, .full_below = 100, .agents_per_pair = 1, .targets_per_pair = 1},
    };
    struct prober_failure why;
    (void)state;

    memset(&world, 0, sizeof(world));
    make_certificates();
    if (directory_board_create(&world.board) || ingest_create(&world.ingest, &ingest, &why))
        return -1;
    config.tls = world.tls;
    config.ingest = world.ingest;
    config.control.board = world.board;
    config.control.ingest = world.ingest;
    if (rpc_open(&world.rpc, &config, &change, &why))
        return -1;
    snprintf(world.address, sizeof(world.address), "127.0.0.1:%u", rpc_port(world.rpc));
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    rpc_stop(world.rpc);
    ingest_destroy(world.ingest);
    rpc_close(world.rpc);
    directory_board_destroy(world.board);
    channel_client_close(world.client);
    channel_server_close(world.tls);
    ticket_keys_close(world.tickets);
    pki_ca_close(world.authority);
    pki_forget(&world.ca_key);
    pki_forget(&world.server_key);
    pki_forget(&world.key);
    strbuf_free(&world.ca);
    strbuf_free(&world.server_certificate);
    strbuf_free(&world.certificate);
    return 0;
}

static struct link_client *given_link(void)
{
    struct link_client *link = NULL;
    struct prober_failure why;

    assert_int_equal(link_client_open(&link, world.address, &why), PROBER_OK);
    return link;
}

static struct channel *shake_hands(struct link_client *link, struct channel_client *client)
{
    struct channel *channel;
    struct strbuf frame = STRBUF_INIT;
    struct prober_failure why;

    assert_int_equal(channel_client_connect(client, &channel), PROBER_OK);
    assert_int_equal(channel_handshake(channel, NULL, 0, world.now_s, &frame, &why), PROBER_OK);
    while (frame.len) {
        void *answer;
        size_t len;

        assert_int_equal(link_client_call(link, frame.bytes, frame.len, S(10), &answer, &len),
                         PROBER_OK);
        if (channel_handshake(channel, answer, len, world.now_s, &frame, &why))
            fail_msg("%s", why.text);
        free(answer);
    }
    strbuf_free(&frame);
    return channel;
}

/* Says hello; the status, or -1 when there is no answer that opens. */
static int hello(struct link_client *link, struct channel *channel, const struct prober_id *id,
                 const char *region)
{
    static const char *const addresses[] = {"10.0.0.1"};
    const struct wire_request request = {
        .protocol = WIRE_PROTOCOL,
        .agent_id = *id,
        .boot_id = boot_id,
        .call = WIRE_HELLO,
        .as.hello = {.region = region,
                     .version = "1",
                     .os = "linux",
                     .architecture = "amd64",
                     .addresses = addresses,
                     .address_count = 1,
                     .probe_interval_ns = S(15),
                     .probe_timeout_ns = S(3)},
    };
    struct strbuf bytes = STRBUF_INIT, frame = STRBUF_INIT;
    struct wire_reply reply;
    const void *body;
    void *answer = NULL;
    size_t len, body_len;
    int status = -1;

    assert_int_equal(wire_request_encode(&request, &bytes), PROBER_OK);
    assert_int_equal(channel_seal(channel, bytes.bytes, bytes.len, &frame), PROBER_OK);
    if (link_client_call(link, frame.bytes, frame.len, S(10), &answer, &len) == PROBER_OK &&
        channel_open(channel, answer, len, &body, &body_len) == PROBER_OK) {
        assert_int_equal(wire_reply_decode(body, body_len, &reply, NULL), PROBER_OK);
        status = (int)reply.status;
        wire_reply_free(&reply);
    }
    free(answer);
    strbuf_free(&bytes);
    strbuf_free(&frame);
    return status;
}

static void an_agent_says_hello_in_its_own_name_alone(void **state)
{
    const struct prober_id other = {{9}};
    struct link_client *link = given_link();
    struct channel *channel = shake_hands(link, world.client);
    (void)state;

    assert_int_equal(hello(link, channel, &other, "eu"), WIRE_REFUSED);
    assert_int_equal(hello(link, channel, &agent_id, "us"), WIRE_REFUSED);
    assert_int_equal(hello(link, channel, &agent_id, "eu"), WIRE_OK);
    channel_destroy(channel);
    link_client_close(link);
}

static void who_has_yet_to_join_is_nobody(void **state)
{
    struct channel_client *joiner = given_joiner(pki_ca_identity(world.authority)->fingerprint);
    struct link_client *link = given_link();
    struct channel *channel = shake_hands(link, joiner);
    (void)state;

    assert_int_equal(hello(link, channel, &agent_id, "eu"), WIRE_REFUSED);
    channel_destroy(channel);
    channel_client_close(joiner);
    link_client_close(link);
}

static void a_plain_call_is_not_taken_within_a_session(void **state)
{
    struct link_client *link = given_link();
    struct channel *channel = shake_hands(link, world.client), *plain;
    (void)state;

    assert_int_equal(channel_plain_create(&plain), PROBER_OK);
    assert_int_equal(hello(link, plain, &agent_id, "eu"), -1);
    channel_destroy(plain);
    channel_destroy(channel);
    link_client_close(link);
}

static void connections_come_and_go_without_a_word(void **state)
{
    (void)state;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct link_client *link = given_link();
        struct channel *channel = shake_hands(link, world.client);

        assert_int_equal(channel_was_resumed(channel), i > 0);
        channel_destroy(channel);
        link_client_close(link);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(an_agent_says_hello_in_its_own_name_alone),
        TEST(who_has_yet_to_join_is_nobody),
        TEST(a_plain_call_is_not_taken_within_a_session),
        TEST(connections_come_and_go_without_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
