#include "test/unit/unit.h"

#include <string.h>

#include "common/array.h"
#include "common/network.h"

static bool holds(const char *network, const char *address)
{
    struct prober_network n;
    struct prober_addr a;

    assert_int_equal(prober_network_parse(network, &n, NULL), PROBER_OK);
    assert_int_equal(prober_addr_parse(address, &a), PROBER_OK);
    return prober_network_holds(&n, &a);
}

static void a_network_holds_what_shares_its_prefix(void **state)
{
    (void)state;
    assert_true(holds("10.0.0.0/8", "10.255.0.1"));
    assert_false(holds("10.0.0.0/8", "11.0.0.1"));
    assert_true(holds("192.0.2.128/25", "192.0.2.200"));
    assert_false(holds("192.0.2.128/25", "192.0.2.100"));
    assert_true(holds("192.0.2.7", "192.0.2.7"));
    assert_false(holds("192.0.2.7", "192.0.2.6"));
    assert_true(holds("0.0.0.0/0", "203.0.113.1"));
    assert_true(holds("fd00::/8", "fdff::1"));
    assert_false(holds("fd00::/8", "fe00::1"));
    assert_true(holds("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(holds("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(holds("::/0", "2001:db8::1"));
    assert_false(holds("::/0", "192.0.2.1"));
}

static void bits_behind_the_prefix_mean_nothing(void **state)
{
    (void)state;
    assert_true(holds("10.1.2.3/8", "10.9.9.9"));
}

static void mapped_addresses_are_ipv4_on_either_side(void **state)
{
    (void)state;
    assert_true(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_true(holds("::ffff:10.0.0.0/104", "10.1.1.1"));
    assert_false(holds("::ffff:10.0.0.0/104", "11.1.1.1"));
    assert_true(holds("::ffff:10.0.0.1", "10.0.0.1"));
}

static void what_is_no_network_is_told(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/-1",
                                      "10.0.0/8",
                                      "fd00::/129",
                                      "10.0.0.0/8x",
                                      "host.example/8",
                                      "10.0.0.0/ 8",
                                      "10.0.0.0/0032",
                                      "fe80::1%lo",
                                      ("1111111111111111111111111111111111111111111111111111111111"
                                       "11111111111111111111111111111111/8")};
    struct prober_network n;
    struct prober_failure why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(prober_network_parse(bad[i], &n, &why), PROBER_ERR_SYNTAX);
        assert_int_equal(why.text[0], '\'');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_holds_what_shares_its_prefix),
        cmocka_unit_test(bits_behind_the_prefix_mean_nothing),
        cmocka_unit_test(mapped_addresses_are_ipv4_on_either_side),
        cmocka_unit_test(what_is_no_network_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
