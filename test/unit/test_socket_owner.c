#include "test/unit/unit.h"

#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/socket_owner.h"

#define NOBODY 65534

static int listener, client, served;
static struct prober_addr peer;
static uint16_t peer_port, port;

static void given_listener(const char *address)
{
    struct prober_addr addr;
    struct sockaddr_storage sa;
    socklen_t len;

    assert_int_equal(prober_addr_parse(address, &addr), PROBER_OK);
    len = prober_addr_to_sockaddr(&addr, 0, &sa);
    listener = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    prober_addr_from_sockaddr((struct sockaddr *)&sa, &addr, &port);
}

static void given_connection(const char *address)
{
    struct prober_addr addr;
    struct sockaddr_storage sa;
    socklen_t len;

    assert_int_equal(prober_addr_parse(address, &addr), PROBER_OK);
    len = prober_addr_to_sockaddr(&addr, port, &sa);
    client = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    served = accept(listener, (struct sockaddr *)&sa, &len);
    assert_true(served >= 0);
    prober_addr_from_sockaddr((struct sockaddr *)&sa, &peer, &peer_port);
}

static int tear_down(void **state)
{
    (void)state;
    close(client);
    close(served);
    close(listener);
    return 0;
}

static void ones_own_connection_is_ones_own(void **state)
{
    uid_t uid = NOBODY;

    (void)state;
    given_listener("127.0.0.1");
    given_connection("127.0.0.1");
    assert_true(socket_owner(&peer, peer_port, port, &uid));
    assert_int_equal(uid, geteuid());
    assert_false(socket_owner(&peer, peer_port, (uint16_t)(port ^ 1), &uid));
    assert_false(socket_owner(&peer, (uint16_t)(peer_port ^ 1), port, &uid));
}

static void another_users_connection_is_theirs(void **state)
{
    uid_t uid = 0;
    bool found;

    (void)state;
    if (geteuid() != 0)
        skip();
    given_listener("127.0.0.1");
    setfsuid(NOBODY);
    given_connection("127.0.0.1");
    setfsuid(0);
    found = socket_owner(&peer, peer_port, port, &uid);
    assert_true(found);
    assert_int_equal(uid, NOBODY);
}

/* The kernel shows a closed socket as root's. */
static void a_connection_that_its_owner_closed_has_none(void **state)
{
    uid_t uid;

    (void)state;
    given_listener("127.0.0.1");
    given_connection("127.0.0.1");
    close(client);
    client = -1;
    assert_false(socket_owner(&peer, peer_port, port, &uid));
}

static void connections_over_ipv6_and_mapped_addresses_are_found(void **state)
{
    uid_t uid = NOBODY;

    (void)state;
    given_listener("::");
    given_connection("::1");
    assert_true(socket_owner(&peer, peer_port, port, &uid));
    close(client);
    close(served);
    given_connection("127.0.0.1");
    assert_true(socket_owner(&peer, peer_port, port, &uid));
    assert_int_equal(uid, geteuid());
}

static void addresses_of_this_host_are_told_from_others(void **state)
{
    static const struct {
        const char *text;
        bool own;
    } cases[] = {{"127.0.0.1", true}, {"::ffff:127.0.0.1", true}, {"192.0.2.1", false},
                 {"2001:db8::1", false}, {"0.0.0.0", false}, {"255.255.255.255", false}};
    struct prober_addr none = {.family = PROBER_FAMILY_NONE}, addr;

    (void)state;
    assert_false(socket_is_own_address(&none));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(prober_addr_parse(cases[i].text, &addr), PROBER_OK);
        assert_int_equal(socket_is_own_address(&addr), cases[i].own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ones_own_connection_is_ones_own, tear_down),
        cmocka_unit_test_teardown(another_users_connection_is_theirs, tear_down),
        cmocka_unit_test_teardown(a_connection_that_its_owner_closed_has_none, tear_down),
        cmocka_unit_test_teardown(connections_over_ipv6_and_mapped_addresses_are_found, tear_down),
        cmocka_unit_test(addresses_of_this_host_are_told_from_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
