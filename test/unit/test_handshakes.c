#include "test/unit/unit.h"

#include <stdio.h>

#include "serverd/handshakes.h"

#define SECOND UINT64_C(1000000000)

static struct handshakes *table;

static int set_up(void **state)
{
    (void)state;
    return handshakes_create(&table) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    handshakes_destroy(table);
    return 0;
}

static enum prober_error begin(uint64_t connection, const char *address, uint64_t now_ns)
{
    struct prober_addr peer;

    assert_int_equal(prober_addr_parse(address, &peer), PROBER_OK);
    return handshakes_begin(table, connection, &peer, now_ns);
}

static struct channel *a_channel(void)
{
    struct channel *channel;

    assert_int_equal(channel_plain_create(&channel), PROBER_OK);
    return channel;
}

static struct handshake_counts counts(void)
{
    struct handshake_counts c;

    handshakes_counts(table, &c);
    return c;
}

static void a_channel_waits_for_the_next_frame_of_its_connection(void **state)
{
    struct channel *channel = a_channel();
    (void)state;

    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_OK);
    assert_null(handshakes_resume(table, 1, 0));
    assert_int_equal(handshakes_wait(table, 1, channel), PROBER_OK);
    assert_null(handshakes_resume(table, 2, 0));
    assert_ptr_equal(handshakes_resume(table, 1, SECOND), channel);
    assert_null(handshakes_resume(table, 1, SECOND)); /* a second frame at once */
    handshakes_end(table, 1);
    handshakes_end(table, 1);
    assert_int_equal(counts().open, 0);
    channel_destroy(channel);
}

static void a_handshake_is_over_after_five_seconds(void **state)
{
    (void)state;
    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_OK);
    assert_int_equal(handshakes_wait(table, 1, a_channel()), PROBER_OK);
    handshakes_expire(table, HANDSHAKE_NS - 1);
    assert_int_equal(counts().open, 1);
    assert_null(handshakes_resume(table, 1, HANDSHAKE_NS));
    assert_int_equal(counts().open, 0);
    assert_int_equal(counts().expired_total, 1);
}

static void what_comes_back_too_late_finds_no_place(void **state)
{
    struct channel *channel = a_channel();
    (void)state;

    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_OK);
    handshakes_expire(table, HANDSHAKE_NS);
    assert_int_equal(handshakes_wait(table, 1, channel), PROBER_ERR_NOT_FOUND);
    channel_destroy(channel);
}

static void a_connection_has_one_handshake(void **state)
{
    (void)state;
    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_OK);
    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_ERR_EXISTS);
    assert_int_equal(begin(1, "192.0.2.1", HANDSHAKE_NS), PROBER_OK);
}

static void one_address_cannot_take_all_places(void **state)
{
    uint64_t connection = 0;
    (void)state;

    while (connection < HANDSHAKES_PER_PEER)
        assert_int_equal(begin(++connection, "192.0.2.1", 0), PROBER_OK);
    assert_int_equal(begin(100, "192.0.2.1", 0), PROBER_ERR_DENIED);
    assert_int_equal(begin(100, "::ffff:192.0.2.1", 0), PROBER_ERR_DENIED);
    assert_int_equal(begin(100, "192.0.2.2", 0), PROBER_OK);
    assert_int_equal(counts().refused_peer_total, 2);
    handshakes_end(table, 1);
    assert_int_equal(begin(101, "192.0.2.1", 0), PROBER_OK);
}

static void a_network_of_ipv6_counts_as_one_address(void **state)
{
    char address[64];
    (void)state;

    for (unsigned i = 1; i <= HANDSHAKES_PER_PEER; i++) {
        snprintf(address, sizeof(address), "2001:db8:1:1::%x", i);
        assert_int_equal(begin(i, address, 0), PROBER_OK);
    }
    assert_int_equal(begin(100, "2001:db8:1:1:ffff::1", 0), PROBER_ERR_DENIED);
    assert_int_equal(begin(100, "2001:db8:1:2::1", 0), PROBER_OK);
}

static void a_flood_finds_an_end_and_passes(void **state)
{
    char address[64];
    uint64_t connection = 0;
    (void)state;

    for (; connection < HANDSHAKES_MAX; connection++) {
        snprintf(address, sizeof(address), "10.0.%u.1", (unsigned)connection / 4);
        assert_int_equal(begin(connection, address, 0), PROBER_OK);
        assert_int_equal(handshakes_wait(table, connection, a_channel()), PROBER_OK);
    }
    assert_int_equal(begin(1000, "192.0.2.1", SECOND), PROBER_ERR_FULL);
    assert_int_equal(counts().refused_full_total, 1);
    assert_int_equal(counts().open, HANDSHAKES_MAX);
    assert_int_equal(begin(1000, "192.0.2.1", HANDSHAKE_NS), PROBER_OK);
    assert_int_equal(counts().open, 1);
    assert_int_equal(counts().expired_total, HANDSHAKES_MAX);
}

static void what_waits_at_the_end_is_freed(void **state)
{
    (void)state;
    assert_int_equal(begin(1, "192.0.2.1", 0), PROBER_OK);
    assert_int_equal(handshakes_wait(table, 1, a_channel()), PROBER_OK);
    handshakes_destroy(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_channel_waits_for_the_next_frame_of_its_connection),
        TEST(a_handshake_is_over_after_five_seconds),
        TEST(what_comes_back_too_late_finds_no_place),
        TEST(a_connection_has_one_handshake),
        TEST(one_address_cannot_take_all_places),
        TEST(a_network_of_ipv6_counts_as_one_address),
        TEST(a_flood_finds_an_end_and_passes),
        TEST(what_waits_at_the_end_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
