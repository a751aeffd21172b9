#include "test/unit/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/link.h"
#include "serverd/directory.h"
#include "serverd/rpc.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define CALL_TIMEOUT_NS S(5)

static struct {
    struct directory_board *board;
    struct ingest *ingest;
    struct rpc *rpc;
    struct channel *channel;
    char address[32];
} world;

static struct control_change change(bool accept_plain)
{
    return (struct control_change){
        .registry =
            {
                .alive_ns = S(75),
                .forget_ns = S(86400),
                .clone_ns = S(25),
                .accept_plain = accept_plain,
                .agents_max = 100,
                .agents_per_source = 100,
            },
        .plan = {.dynamic = true, .full_below = 100, .agents_per_pair = 1, .targets_per_pair = 1},
    };
}

static int make_world(void **state)
{
    const struct ingest_config ingest = {
        .shards = 1, .server_boot = {{8}}, .aggregation_interval_ns = S(15), .series_cache_ratio = 5};
    struct rpc_config config = {
        .listen = "127.0.0.1:0",
        .hint_listen = "",
        .control =
            {
                .server_id = {{7}},
                .server_boot = {{8}},
                .heartbeat_ns = S(10),
                .aggregation_interval_ns = S(15),
            },
    };
    struct control_change c = change(true);
    struct prober_failure why;

    (void)state;
    if (directory_board_create(&world.board) || ingest_create(&world.ingest, &ingest, &why) ||
        channel_plain_create(&world.channel))
        return -1;
    config.ingest = world.ingest;
    config.control.board = world.board;
    config.control.ingest = world.ingest;
    if (rpc_open(&world.rpc, &config, &c, &why)) {
        print_error("%s\n", why.text);
        return -1;
    }
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
    channel_destroy(world.channel);
    return 0;
}

static struct link_client *given_client(void)
{
    struct link_client *client = NULL;
    struct prober_failure why;

    assert_int_equal(link_client_open(&client, world.address, &why), PROBER_OK);
    return client;
}

/* Sends body[len] in a frame and decodes the answer. */
static enum prober_error exchange(struct link_client *client, const void *body, size_t len,
                                  struct wire_reply *reply)
{
    struct channel *channel = NULL;
    struct strbuf frame = STRBUF_INIT;
    struct prober_failure why;
    void *answer = NULL;
    const void *inside;
    size_t answer_len, inside_len;
    enum prober_error err;

    assert_int_equal(channel_plain_create(&channel), PROBER_OK);
    assert_int_equal(channel_seal(channel, body, len, &frame), PROBER_OK);
    err = link_client_call(client, frame.bytes, frame.len, CALL_TIMEOUT_NS, &answer, &answer_len);
    if (!err) {
        assert_int_equal(channel_open(channel, answer, answer_len, &inside, &inside_len),
                         PROBER_OK);
        if (wire_reply_decode(inside, inside_len, reply, &why))
            fail_msg("%s", why.text);
    }
    free(answer);
    strbuf_free(&frame);
    channel_destroy(channel);
    return err;
}

static uint32_t call(struct link_client *client, const struct wire_request *request,
                     struct wire_reply *reply)
{
    struct strbuf body = STRBUF_INIT;

    assert_int_equal(wire_request_encode(request, &body), PROBER_OK);
    assert_int_equal(exchange(client, body.bytes, body.len, reply), PROBER_OK);
    strbuf_free(&body);
    return reply->status;
}

static struct wire_request request_of(uint8_t agent, uint8_t boot, enum wire_call kind)
{
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = kind};

    request.agent_id.bytes[0] = agent;
    request.boot_id.bytes[0] = boot;
    return request;
}

static struct wire_request hello_of(uint8_t agent, uint8_t boot, const char *region)
{
    static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
    struct wire_request request = request_of(agent, boot, WIRE_HELLO);

    request.as.hello = (struct wire_hello){
        .region = region,
        .version = "1",
        .os = "linux",
        .architecture = "x86_64",
        .address_mode = WIRE_ADDRESS_GIVEN,
        .addresses = &addresses[agent % 3],
        .address_count = 1,
        .probe_interval_ns = S(15),
        .probe_timeout_ns = S(3),
    };
    return request;
}

static void say_hello(struct link_client *client, uint8_t agent, uint8_t boot, const char *region)
{
    struct wire_request request = hello_of(agent, boot, region);
    struct wire_reply reply;

    assert_int_equal(call(client, &request, &reply), WIRE_OK);
    wire_reply_free(&reply);
}

static uint32_t status_of(struct link_client *client, const struct wire_request *request)
{
    struct wire_reply reply;
    uint32_t status = call(client, request, &reply);

    wire_reply_free(&reply);
    return status;
}

static bool metrics_say(const char *line)
{
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer writer = {.out = &text, .format = METRICS_PROMETHEUS};
    bool found;

    rpc_write_metrics(world.rpc, &writer);
    found = strstr(text.bytes, line) != NULL;
    strbuf_free(&text);
    return found;
}

static void an_agent_says_hello_syncs_and_reports(void **state)
{
    struct link_client *client = given_client();
    struct wire_request sync = request_of(1, 1, WIRE_SYNC), report = request_of(1, 1, WIRE_REPORT);
    struct wire_reply reply;

    (void)state;
    say_hello(client, 1, 1, "cn-a");
    assert_int_equal(call(client, &sync, &reply), WIRE_OK);
    assert_true(reply.as.sync.has_plan);
    wire_reply_free(&reply);
    report.as.report = (struct wire_report){.sequence = 1, .window = 1, .window_ns = S(15)};
    assert_int_equal(call(client, &report, &reply), WIRE_OK);
    assert_int_equal(reply.call, WIRE_REPORT);
    assert_int_equal(reply.as.report.outcome, WIRE_APPLIED);
    wire_reply_free(&reply);
    assert_true(metrics_say("prober_server_link_connections 1\n"));
    assert_true(metrics_say("prober_server_hellos_total 1\n"));
    link_client_close(client);
}

static void calls_before_hello_are_told_to_say_it(void **state)
{
    struct link_client *client = given_client();
    struct wire_request sync = request_of(1, 1, WIRE_SYNC), report = request_of(1, 1, WIRE_REPORT);

    (void)state;
    report.as.report = (struct wire_report){.sequence = 1, .window = 1, .window_ns = S(15)};
    assert_int_equal(status_of(client, &sync), WIRE_HELLO_NEEDED);
    assert_int_equal(status_of(client, &report), WIRE_HELLO_NEEDED);
    say_hello(client, 1, 1, "cn-a");
    report.boot_id.bytes[0] = 2; /* another boot than the one that said hello */
    assert_int_equal(status_of(client, &report), WIRE_HELLO_NEEDED);
    sync.agent_id.bytes[0] = 2;
    assert_int_equal(status_of(client, &sync), WIRE_HELLO_NEEDED);
    link_client_close(client);
}

static void a_malformed_message_in_a_good_frame_is_told(void **state)
{
    struct link_client *client = given_client();
    struct wire_reply reply;

    (void)state;
    assert_int_equal(exchange(client, "nonsense", 8, &reply), PROBER_OK);
    assert_int_equal(reply.status, WIRE_MALFORMED);
    assert_true(strlen(reply.message) > 0);
    wire_reply_free(&reply);
    assert_true(metrics_say("prober_server_link_faults_total{reason=\"message\"} 1\n"));
    link_client_close(client);
}

static void a_frame_that_is_none_ends_the_connection(void **state)
{
    struct link_client *client = given_client();
    void *reply = NULL;
    size_t len;

    (void)state;
    say_hello(client, 1, 1, "cn-a");
    for (int i = 0; metrics_say("prober_server_link_faults_total{reason=\"frame\"} 0\n"); i++) {
        assert_true(i < 100);
        assert_true(link_client_call(client, "no frame", 8, CLOCK_NS_PER_S / 10, &reply, &len) !=
                    PROBER_OK);
    }
    /* The fault is counted first, then the connection ends. */
    while (metrics_say("prober_server_link_connections_total{result=\"dropped\"} 0\n"))
        ;
    link_client_close(client);
}

static void on_hint(void *context, const void *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    sem_post(context);
}

static void a_changed_plan_makes_a_hint(void **state)
{
    struct link_client *first = given_client(), *second = given_client();
    struct link_subscriber *subscriber = NULL;
    struct wire_request hello = hello_of(1, 1, "a");
    struct wire_reply reply;
    struct prober_failure why;
    char address[32];
    struct timespec until;
    sem_t hinted;

    (void)state;
    sem_init(&hinted, 0, 0);
    assert_int_equal(call(first, &hello, &reply), WIRE_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", reply.as.hello.hint_port);
    wire_reply_free(&reply);
    assert_int_equal(link_subscriber_open(&subscriber, address, on_hint, &hinted, &why), PROBER_OK);
    /* A hint may be lost before the subscription stands: move about until one came. */
    for (uint8_t i = 0; sem_trywait(&hinted) != 0 && i < 100; i++) {
        say_hello(second, 2, 1, i % 2 ? "b" : "c");
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 300000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (sem_timedwait(&hinted, &until) == 0)
            sem_post(&hinted);
    }
    assert_false(metrics_say("prober_server_hints_total 0\n"));
    link_subscriber_close(subscriber);
    link_client_close(first);
    link_client_close(second);
    sem_destroy(&hinted);
}

static void a_change_is_in_force_when_apply_returns(void **state)
{
    struct link_client *client = given_client();
    struct control_change c = change(false);
    struct wire_request hello = hello_of(1, 1, "a");
    struct strbuf body = STRBUF_INIT, frame = STRBUF_INIT;
    enum channel_kind kind;
    void *answer;
    size_t len;

    (void)state;
    assert_int_equal(rpc_apply(world.rpc, &c), PROBER_OK);
    assert_int_equal(wire_request_encode(&hello, &body), PROBER_OK);
    assert_int_equal(channel_seal(world.channel, body.bytes, body.len, &frame), PROBER_OK);
    assert_int_equal(
        link_client_call(client, frame.bytes, frame.len, CALL_TIMEOUT_NS, &answer, &len),
        PROBER_OK);
    assert_int_equal(channel_frame_kind(answer, len, &kind), PROBER_OK);
    assert_int_equal(kind, CHANNEL_HANDSHAKE_NEEDED);
    assert_true(metrics_say("prober_server_link_faults_total{reason=\"plain\"} 1\n"));
    free(answer);
    strbuf_free(&body);
    strbuf_free(&frame);
    link_client_close(client);
}

static void *close_client(void *client)
{
    link_client_close(client);
    return NULL;
}

static void an_agent_restarted_in_haste_is_taken(void **state)
{
    struct link_client *former = given_client(), *next = given_client();
    pthread_t closer;

    (void)state;
    say_hello(former, 1, 1, "a");
    assert_int_equal(pthread_create(&closer, NULL, close_client, former), 0);
    say_hello(next, 1, 2, "a"); /* perhaps before the server saw the end of the former */
    pthread_join(closer, NULL);
    link_client_close(next);
}

static void a_copied_identity_is_refused_in_the_end(void **state)
{
    struct link_client *former = given_client(), *next = given_client();
    struct wire_request hello = hello_of(1, 2, "a");

    (void)state;
    say_hello(former, 1, 1, "a");
    assert_int_equal(status_of(next, &hello), WIRE_REFUSED);
    assert_true(metrics_say("prober_server_agents_refused_total{reason=\"cloned_id\"} 1\n"));
    link_client_close(former);
    link_client_close(next);
}

static void a_port_in_use_is_told(void **state)
{
    struct rpc *second = NULL;
    struct rpc_config config = {.listen = world.address, .hint_listen = "127.0.0.1:0"};
    struct control_change c = change(true);
    struct prober_failure why;

    (void)state;
    config.ingest = world.ingest;
    config.control.board = world.board;
    assert_int_equal(rpc_open(&second, &config, &c, &why), PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "-server.rpc.listen.addr"));
    assert_non_null(strstr(why.text, world.address));
    config.hint_listen = world.address;
    assert_int_equal(rpc_open(&second, &config, &c, &why), PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "cannot listen for -server.hint.listen.addr"));
}

static void a_hint_port_that_nobody_gave_is_told_by_where_it_comes_from(void **state)
{
    struct control_change c = change(true);
    struct rpc_config config = {.ingest = world.ingest, .control = {.board = world.board}};
    struct link_publisher *taken;
    struct prober_failure why;
    struct rpc *second = NULL;
    char address[32];

    (void)state;
    assert_int_equal(link_publisher_open(&taken, "127.0.0.1:0", 0, &why), PROBER_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", link_publisher_port(taken) - 2u);
    config.listen = address;
    config.hint_listen = "";
    assert_int_equal(rpc_open(&second, &config, &c, &why), PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "the port + 2 of -server.rpc.listen.addr"));
    link_publisher_close(taken);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(an_agent_says_hello_syncs_and_reports),
        TEST(calls_before_hello_are_told_to_say_it),
        TEST(a_malformed_message_in_a_good_frame_is_told),
        TEST(a_frame_that_is_none_ends_the_connection),
        TEST(a_changed_plan_makes_a_hint),
        TEST(a_change_is_in_force_when_apply_returns),
        TEST(an_agent_restarted_in_haste_is_taken),
        TEST(a_copied_identity_is_refused_in_the_end),
        TEST(a_port_in_use_is_told),
        TEST(a_hint_port_that_nobody_gave_is_told_by_where_it_comes_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
