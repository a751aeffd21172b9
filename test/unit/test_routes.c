#include "agentd/routes.h"

#include "unit.h"

static void the_source_toward_loopback_is_loopback(void **state)
{
    struct prober_addr to, from;
    char text[PROBER_ADDR_TEXT_MAX];

    (void)state;
    assert_int_equal(prober_addr_parse("127.0.0.9", &to), PROBER_OK);
    assert_int_equal(routes_source(&to, &from), PROBER_OK);
    assert_string_equal(prober_addr_format(&from, text), "127.0.0.1");
}

static void no_address_has_no_route(void **state)
{
    struct prober_addr to = {.family = PROBER_FAMILY_NONE}, from;

    (void)state;
    assert_int_equal(routes_source(&to, &from), PROBER_ERR_UNREACHABLE);
}

static void the_loopback_interface_is_left_out(void **state)
{
    struct prober_addr all[64];
    size_t n = routes_interface_addresses(all, 64);

    (void)state;
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(prober_addr_classify(&all[i]), PROBER_ADDR_LOOPBACK);
    assert_true(routes_interface_addresses(all, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_toward_loopback_is_loopback),
        cmocka_unit_test(no_address_has_no_route),
        cmocka_unit_test(the_loopback_interface_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
