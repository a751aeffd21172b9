#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libprober/arrival_table.h"
#include "libprober/icmp_packet.h"

#define S CLOCK_NS_PER_S

static struct icmp_arrival out[ICMP_ARRIVALS_MAX];

static void requests_are_counted_by_sender_and_window(void **state)
{
    struct arrival_table *t = arrival_table_create();

    (void)state;
    arrival_table_count(t, 7, 1, 1 * S);
    arrival_table_count(t, 7, 1, 2 * S);
    arrival_table_count(t, 7, 2, 2 * S);
    arrival_table_count(t, 8, 1, 2 * S);
    assert_int_equal(arrival_table_take(t, 9 * S, S, out, ICMP_ARRIVALS_MAX), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(out[i].count, out[i].sender == 7 && out[i].window == 1 ? 2 : 1);
    arrival_table_destroy(t);
}

static void what_still_grows_is_not_taken(void **state)
{
    struct arrival_table *t = arrival_table_create();

    (void)state;
    arrival_table_count(t, 7, 1, 1 * S);
    arrival_table_count(t, 7, 2, 5 * S);
    assert_int_equal(arrival_table_take(t, 5 * S, S, out, ICMP_ARRIVALS_MAX), 1);
    assert_int_equal(out[0].window, 1);
    assert_int_equal(arrival_table_take(t, 6 * S, S, out, ICMP_ARRIVALS_MAX), 1);
    assert_int_equal(out[0].window, 2);
    arrival_table_destroy(t);
}

static void what_comes_after_the_taking_is_counted_anew(void **state)
{
    struct arrival_table *t = arrival_table_create();

    (void)state;
    arrival_table_count(t, 7, 1, 1 * S);
    arrival_table_take(t, 5 * S, S, out, ICMP_ARRIVALS_MAX);
    arrival_table_count(t, 7, 1, 6 * S);
    assert_int_equal(arrival_table_take(t, 9 * S, S, out, ICMP_ARRIVALS_MAX), 1);
    assert_int_equal(out[0].count, 1);
    arrival_table_destroy(t);
}

static void a_full_table_refuses_new_pairs_and_counts_the_old(void **state)
{
    struct arrival_table *t = arrival_table_create();
    uint64_t sum = 0;

    (void)state;
    for (uint32_t i = 0; i < ICMP_ARRIVALS_MAX; i++)
        assert_true(arrival_table_count(t, i + 1, 3, S));
    assert_false(arrival_table_count(t, 1, 4, S));
    assert_true(arrival_table_count(t, 1, 3, S));
    for (size_t n; (n = arrival_table_take(t, 9 * S, S, out, 1000)) > 0;)
        for (size_t i = 0; i < n; i++)
            sum += out[i].count;
    assert_int_equal(sum, ICMP_ARRIVALS_MAX + 1);
    assert_true(arrival_table_count(t, 1, 4, S));
    arrival_table_destroy(t);
}

/* The kernel of this host takes them in, as it would from a network. */
static void send_requests(enum prober_family family, uint32_t sender, int count)
{
    bool is_v6 = family == PROBER_FAMILY_IPV6;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_RAW, is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    struct icmp_echo echo = {.identifier = 9, .sender = sender, .window = 0xabcd};
    uint8_t head[ICMP_HEAD_SIZE];
    struct sockaddr_storage to;
    struct prober_addr address;
    socklen_t len;

    prober_addr_parse(is_v6 ? "::1" : "127.0.0.1", &address);
    len = prober_addr_to_sockaddr(&address, 0, &to);
    icmp_write_request(head, family, &echo, 0x1234, 0);
    while (count-- > 0)
        assert_int_equal(sendto(fd, head, sizeof(head), 0, (struct sockaddr *)&to, len),
                         sizeof(head));
    close(fd);
}

static void marked_requests_to_this_host_are_seen_in_both_families(void **state)
{
    struct icmp_arrivals *a = NULL;
    struct prober_failure why;
    enum prober_error err = icmp_arrivals_create(&a, &why);

    (void)state;
    if (err == PROBER_ERR_DENIED) {
        print_message("%s\n", why.text);
        skip();
    }
    assert_int_equal(err, PROBER_OK);
    send_requests(PROBER_FAMILY_IPV4, 77, 5);
    send_requests(PROBER_FAMILY_IPV4, 0, 5);
    send_requests(PROBER_FAMILY_IPV6, 78, 3);
    icmp_arrivals_step(a, S);
    assert_int_equal(icmp_arrivals_take(a, 3 * S, S, out, 10), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(out[i].window, 0xabcd);
        assert_int_equal(out[i].count, out[i].sender == 77 ? 5 : 3);
    }
    assert_int_equal(icmp_arrivals_missed(a), 0);
    icmp_arrivals_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_counted_by_sender_and_window),
        cmocka_unit_test(what_still_grows_is_not_taken),
        cmocka_unit_test(what_comes_after_the_taking_is_counted_anew),
        cmocka_unit_test(a_full_table_refuses_new_pairs_and_counts_the_old),
        cmocka_unit_test(marked_requests_to_this_host_are_seen_in_both_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
