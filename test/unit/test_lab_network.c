#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "test/lab/control.h"
#include "test/lab/delay_queue.h"
#include "test/lab/network.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

static struct {
    int count;
    uint32_t to;
    uint64_t due_ns;
    uint8_t data[2048];
    size_t len;
} delivered;

static void on_deliver(void *context, uint32_t to, struct path *p, enum packet_class class,
                       uint64_t due_ns, const uint8_t *data, size_t len)
{
    (void)context;
    (void)p;
    (void)class;
    delivered.count++;
    delivered.to = to;
    delivered.due_ns = due_ns;
    delivered.len = len;
    memcpy(delivered.data, data, len);
}

/* Carries out the line and returns the answer, which is valid until the next call. */
static const char *say(struct network *n, const char *line)
{
    static struct strbuf answer = STRBUF_INIT;
    struct control c = {.network = n};
    char copy[CONTROL_LINE_MAX];

    strbuf_free(&answer);
    snprintf(copy, sizeof(copy), "%s", line);
    control_execute(&c, copy, &answer);
    return answer.bytes;
}

static void ok(struct network *n, const char *line)
{
    assert_string_equal(say(n, line), "ok\n");
}

/* a1 and a2 in region ra, b1 in rb: hosts 0, 1, 2. */
static struct network *given_network(void)
{
    struct network_sink sink = {.deliver = on_deliver};
    struct network *n = NULL;

    assert_int_equal(network_create(&n, 1, &sink), PROBER_OK);
    ok(n, "host a1 ra - d0");
    ok(n, "host a2 ra - d1");
    ok(n, "host b1 rb - d2");
    ok(n, "address a1 10.77.1.1");
    ok(n, "address a2 10.77.1.2");
    ok(n, "address b1 10.77.2.1");
    ok(n, "address b1 10.77.8.0/24");
    memset(&delivered, 0, sizeof(delivered));
    return n;
}

/* Sends an echo request with that TTL from 10.77.1.host to the address. */
static void send_echo(struct network *n, uint32_t host, const uint8_t to[4], uint8_t ttl,
                      uint64_t now)
{
    uint8_t p[36] = {0x45, 0, 0, 36, 0, 0, 0, 0, ttl, 1, 0, 0, 10, 77, 1, (uint8_t)(host + 1)};

    memcpy(p + 16, to, 4);
    p[20] = 8;
    network_forward(n, host, p, sizeof(p), now);
}

static const uint8_t b1[4] = {10, 77, 2, 1}, a2[4] = {10, 77, 1, 2}, in_net[4] = {10, 77, 8, 200},
                     nowhere[4] = {10, 77, 9, 1};

static void packets_go_to_the_host_that_has_the_address(void **state)
{
    struct network *n = given_network();

    (void)state;
    send_echo(n, 0, b1, 64, MS(1));
    assert_int_equal(delivered.count, 1);
    assert_int_equal(delivered.to, 2);
    assert_int_equal(delivered.data[8], 63);
    send_echo(n, 0, a2, 64, MS(1));
    assert_int_equal(delivered.to, 1);
    send_echo(n, 1, in_net, 64, MS(1));
    assert_int_equal(delivered.to, 2);
    send_echo(n, 0, nowhere, 64, MS(1));
    assert_int_equal(delivered.count, 3);
    assert_non_null(strstr(say(n, "stats"), "* * unroutable=1 malformed=0"));
    network_destroy(n);
}

static void the_last_word_on_a_path_wins_also_for_hosts_that_come_later(void **state)
{
    struct network *n = given_network();

    (void)state;
    ok(n, "set * * delay 10ms");
    ok(n, "set ra rb delay 20ms");
    ok(n, "set a2 b1 delay 30ms loss 0%");
    send_echo(n, 0, b1, 64, 0);
    assert_int_equal(delivered.due_ns, MS(20));
    send_echo(n, 1, b1, 64, 0);
    assert_int_equal(delivered.due_ns, MS(30));
    send_echo(n, 0, a2, 64, 0);
    assert_int_equal(delivered.due_ns, MS(10));
    ok(n, "host a3 ra - d3");
    ok(n, "address a3 10.77.1.3");
    send_echo(n, 3, b1, 64, 0);
    assert_int_equal(delivered.due_ns, MS(20));
    ok(n, "set ra * delay 5ms");
    send_echo(n, 1, b1, 64, 0);
    assert_int_equal(delivered.due_ns, MS(5));
    ok(n, "reset a2 b1");
    send_echo(n, 1, b1, 64, 0);
    assert_int_equal(delivered.due_ns, 0);
    network_destroy(n);
}

static void settings_said_again_and_again_take_no_more_room(void **state)
{
    struct network *n = given_network();

    (void)state;
    for (int i = 0; i < 2 * NETWORK_SETTINGS_MAX; i++) {
        ok(n, i % 2 ? "set ra rb loss 1%" : "set ra rb loss 2%");
        ok(n, "reset a1 b1");
    }
    network_destroy(n);
}

static void a_bad_set_changes_nothing_of_what_it_said(void **state)
{
    struct network *n = given_network();

    (void)state;
    assert_non_null(strstr(say(n, "set ra rb delay 9ms loss many"), "error: loss: expected"));
    assert_non_null(
        strstr(say(n, "set ra rc delay 9ms"), "error: no host or region is called 'rc'"));
    assert_non_null(strstr(say(n, "set ra rb delay"), "error: usage: set"));
    send_echo(n, 0, b1, 64, MS(3));
    assert_int_equal(delivered.due_ns, MS(3));
    network_destroy(n);
}

static void a_ttl_that_runs_out_is_answered_by_the_router_of_that_hop(void **state)
{
    struct network *n = given_network();

    (void)state;
    ok(n, "set ra rb hops 3 delay 40ms");
    ok(n, "set rb ra hops 3 delay 40ms");
    for (uint8_t ttl = 1; ttl <= 3; ttl++) {
        send_echo(n, 0, b1, ttl, MS(5000));
        assert_int_equal(delivered.count, ttl);
        assert_int_equal(delivered.to, 0);
        assert_int_equal(delivered.data[20], 11);
        assert_int_equal(delivered.data[12], 10);
        assert_int_equal(delivered.data[15], ttl);
        assert_int_equal(delivered.due_ns, MS(5000) + MS(20) * ttl);
    }
    send_echo(n, 0, b1, 4, 0);
    assert_int_equal(delivered.to, 2);
    assert_int_equal(delivered.data[8], 1);
    assert_non_null(strstr(say(n, "stats"), "a1 b1 request.seen=4 request.expired=3"));
    network_destroy(n);
}

static void a_mute_router_does_not_answer(void **state)
{
    struct network *n = given_network();

    (void)state;
    ok(n, "set ra rb hops 3 mute-hop 2");
    send_echo(n, 0, b1, 2, MS(5000));
    assert_int_equal(delivered.count, 0);
    send_echo(n, 0, b1, 1, MS(5000));
    send_echo(n, 0, b1, 3, MS(5000));
    assert_int_equal(delivered.count, 2);
    ok(n, "set ra rb mute 50% error-rate 100000");
    for (int i = 0; i < 1000; i++)
        send_echo(n, 0, b1, 2, MS(5000));
    assert_in_range(delivered.count, 2 + 440, 2 + 560);
    network_destroy(n);
}

static void loss_at_a_hop_hits_what_runs_out_there_or_later(void **state)
{
    struct network *n = given_network();

    (void)state;
    ok(n, "set ra rb hops 3 loss-hop 2 loss 100%");
    send_echo(n, 0, b1, 1, MS(5000));
    assert_int_equal(delivered.count, 1);
    send_echo(n, 0, b1, 2, MS(5000));
    send_echo(n, 0, b1, 3, MS(5000));
    send_echo(n, 0, b1, 64, MS(5000));
    assert_int_equal(delivered.count, 1);
    assert_non_null(strstr(say(n, "stats"), "request.seen=4 request.lost=3 request.expired=1"));
    network_destroy(n);
}

static void an_unreachable_path_answers_by_its_last_router(void **state)
{
    struct network *n = given_network();

    (void)state;
    ok(n, "set ra rb hops 2 unreachable on error-rate 1");
    send_echo(n, 0, b1, 64, MS(5000));
    assert_int_equal(delivered.to, 0);
    assert_int_equal(delivered.data[20], 3);
    assert_int_equal(delivered.data[15], 2);
    send_echo(n, 0, b1, 64, MS(5001));
    assert_int_equal(delivered.count, 1);
    assert_non_null(strstr(say(n, "stats"), "request.unreachable=2 request.errors=1"));
    network_destroy(n);
}

static void prefixes_must_not_overlap(void **state)
{
    struct network *n = given_network();

    (void)state;
    assert_non_null(strstr(say(n, "address a1 10.77.8.7"), "overlaps"));
    assert_non_null(strstr(say(n, "address a1 10.77.0.0/16"), "overlaps"));
    assert_non_null(strstr(say(n, "address a1 10.77.1.1"), "overlaps"));
    assert_non_null(strstr(say(n, "address a1 10.77.1"), "is no address"));
    assert_non_null(strstr(say(n, "address a1 10.77.9.0/33"), "is no address"));
    assert_non_null(strstr(say(n, "address a9 10.77.9.1"), "there is no host"));
    ok(n, "address a1 fd77::/64");
    assert_non_null(strstr(say(n, "address b1 fd77::5"), "overlaps"));
    network_destroy(n);
}

static void a_removed_host_leaves_its_name_and_its_addresses(void **state)
{
    struct network *n = given_network();

    (void)state;
    send_echo(n, 0, b1, 64, 0);
    ok(n, "remove b1");
    send_echo(n, 0, b1, 64, 0);
    assert_int_equal(delivered.count, 1);
    ok(n, "host b1 rb - d4");
    ok(n, "address b1 10.77.2.1");
    send_echo(n, 0, b1, 64, 0);
    assert_int_equal(delivered.to, 3);
    assert_non_null(strstr(say(n, "remove b7"), "error: there is no host"));
    network_destroy(n);
}

static void unknown_and_malformed_commands_are_refused(void **state)
{
    struct network *n = given_network();

    (void)state;
    assert_non_null(strstr(say(n, ""), "error: "));
    assert_non_null(strstr(say(n, "   "), "error: "));
    assert_non_null(strstr(say(n, "frobnicate"), "error: 'frobnicate' is no command"));
    assert_non_null(strstr(say(n, "host a1 ra - d"), "error: host 'a1' is there already"));
    assert_non_null(strstr(say(n, "host * ra - d"), "error: "));
    assert_non_null(strstr(say(n, "ping pong"), "error: usage: ping"));
    network_destroy(n);
}

static void packets_leave_the_queue_when_they_are_due_and_in_the_order_they_came(void **state)
{
    struct delay_queue *q = NULL;
    uint64_t last = 0;

    (void)state;
    assert_int_equal(delay_queue_create(&q, 1000), PROBER_OK);
    assert_int_equal(delay_queue_next(q), UINT64_MAX);
    for (uint32_t i = 0; i < 1000; i++) {
        struct delayed_packet like = {.due_ns = i * 7919 % 100, .to = i};

        assert_int_equal(delay_queue_push(q, &like, (const uint8_t *)"x", 1), PROBER_OK);
    }
    assert_int_equal(delay_queue_push(q, &(struct delayed_packet){0}, NULL, 0), PROBER_ERR_FULL);
    for (int i = 0; i < 500; i++) {
        struct delayed_packet *p = delay_queue_pop(q, 1000);

        assert_true(p->due_ns * 1000 + p->to >= last);
        last = p->due_ns * 1000 + p->to;
        free(p);
    }
    assert_null(delay_queue_pop(q, 49));
    assert_int_equal(delay_queue_next(q), 50);
    assert_int_equal(delay_queue_len(q), 500);
    delay_queue_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_go_to_the_host_that_has_the_address),
        cmocka_unit_test(the_last_word_on_a_path_wins_also_for_hosts_that_come_later),
        cmocka_unit_test(settings_said_again_and_again_take_no_more_room),
        cmocka_unit_test(a_bad_set_changes_nothing_of_what_it_said),
        cmocka_unit_test(a_ttl_that_runs_out_is_answered_by_the_router_of_that_hop),
        cmocka_unit_test(a_mute_router_does_not_answer),
        cmocka_unit_test(loss_at_a_hop_hits_what_runs_out_there_or_later),
        cmocka_unit_test(an_unreachable_path_answers_by_its_last_router),
        cmocka_unit_test(prefixes_must_not_overlap),
        cmocka_unit_test(a_removed_host_leaves_its_name_and_its_addresses),
        cmocka_unit_test(unknown_and_malformed_commands_are_refused),
        cmocka_unit_test(packets_leave_the_queue_when_they_are_due_and_in_the_order_they_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
