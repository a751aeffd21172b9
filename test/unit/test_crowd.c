#include "test/unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "common/crowd.h"

#define PAIRS 6

static int listener, clients[PAIRS], served[PAIRS];
static uint16_t port;

static int connect_from(const char *text)
{
    struct sockaddr_storage sa;
    struct prober_addr addr;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    prober_addr_parse(text, &addr);
    len = prober_addr_to_sockaddr(&addr, 0, &sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    prober_addr_parse("127.0.0.1", &addr);
    len = prober_addr_to_sockaddr(&addr, port, &sa);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

/* Four connections of 127.0.0.2, two of 127.0.0.3. */
static int begin(void **state)
{
    struct sockaddr_storage sa;
    struct prober_addr addr;
    socklen_t len;

    (void)state;
    prober_addr_parse("127.0.0.1", &addr);
    len = prober_addr_to_sockaddr(&addr, 0, &sa);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&sa, len) || listen(listener, PAIRS) ||
        getsockname(listener, (struct sockaddr *)&sa, &len) ||
        prober_addr_from_sockaddr((struct sockaddr *)&sa, &addr, &port))
        return -1;
    for (int i = 0; i < PAIRS; i++) {
        clients[i] = connect_from(i < 4 ? "127.0.0.2" : "127.0.0.3");
        served[i] = accept(listener, NULL, NULL);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        close(clients[i]);
        close(served[i]);
    }
    return close(listener);
}

static bool is_open(int i)
{
    char byte;

    return recv(clients[i], &byte, 1, MSG_DONTWAIT) < 0;
}

static size_t count_open(int from, int to)
{
    size_t count = 0;

    for (int i = from; i < to; i++)
        count += is_open(i);
    return count;
}

static void a_peer_keeps_no_more_than_it_may_have(void **state)
{
    (void)state;
    assert_int_equal(crowd_thin(port, 2, NULL, NULL), 2);
    assert_int_equal(count_open(0, 4), 2);
    assert_int_equal(count_open(4, PAIRS), 2);
}

static void who_has_fewer_keeps_all(void **state)
{
    (void)state;
    assert_int_equal(crowd_thin(port, 4, NULL, NULL), 0);
    assert_int_equal(count_open(0, PAIRS), PAIRS);
}

static void connections_of_other_ports_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(crowd_thin((uint16_t)(port + 1), 0, NULL, NULL), 0);
    assert_int_equal(count_open(0, PAIRS), PAIRS);
}

static bool spare_third(void *context, const struct prober_addr *peer)
{
    *(size_t *)context += 1;
    return peer->bytes[3] == 3;
}

static void who_is_spared_may_have_any_number(void **state)
{
    size_t asked = 0;

    (void)state;
    assert_int_equal(crowd_thin(port, 0, spare_third, &asked), 4);
    assert_int_equal(asked, PAIRS);
    assert_int_equal(count_open(4, PAIRS), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_peer_keeps_no_more_than_it_may_have),
        TEST(who_has_fewer_keeps_all),
        TEST(connections_of_other_ports_are_left_alone),
        TEST(who_is_spared_may_have_any_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
