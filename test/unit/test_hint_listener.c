#include "test/unit/unit.h"

#include "agentd/hint_listener.h"
#include "test/unit/fakes/fake_subscriber.h"

static void count(void *context)
{
    ++*(unsigned *)context;
}

static struct hint_listener given_listener(const char *server, unsigned *hinted)
{
    struct hint_listener h;
    struct prober_failure why;

    fake_subscriber_opened = 0;
    fake_subscriber_fails_with = PROBER_OK;
    assert_int_equal(hint_listener_open(&h, server, count, hinted, &why), PROBER_OK);
    return h;
}

static void it_listens_at_the_server_s_host_on_the_port_that_it_named(void **state)
{
    unsigned hinted = 0;
    struct hint_listener h = given_listener("server.example:6000", &hinted);

    (void)state;
    assert_null(fake_subscriber_open);
    hint_listener_set_port(&h, 6002);
    assert_string_equal(fake_subscriber_open->address, "server.example:6002");
    fake_subscriber_open->hint(fake_subscriber_open->context, "x", 1);
    assert_int_equal(hinted, 1);
    hint_listener_close(&h);
    assert_null(fake_subscriber_open);
}

static void an_ipv6_host_is_put_in_brackets(void **state)
{
    unsigned hinted = 0;
    struct hint_listener h = given_listener("[2001:db8::1]:6000", &hinted);

    (void)state;
    hint_listener_set_port(&h, 6002);
    assert_string_equal(fake_subscriber_open->address, "[2001:db8::1]:6002");
    hint_listener_close(&h);
}

static void the_same_port_again_changes_nothing_and_another_one_moves_it(void **state)
{
    unsigned hinted = 0;
    struct hint_listener h = given_listener("10.0.0.1:6000", &hinted);

    (void)state;
    hint_listener_set_port(&h, 6002);
    hint_listener_set_port(&h, 6002);
    assert_int_equal(fake_subscriber_opened, 1);
    hint_listener_set_port(&h, 7002);
    assert_int_equal(fake_subscriber_opened, 2);
    assert_string_equal(fake_subscriber_open->address, "10.0.0.1:7002");
    hint_listener_close(&h);
}

static void a_failure_is_survived_and_tried_again_at_the_next_hello(void **state)
{
    unsigned hinted = 0;
    struct hint_listener h = given_listener("10.0.0.1:6000", &hinted);

    (void)state;
    fake_subscriber_fails_with = PROBER_ERR_NOMEM;
    hint_listener_set_port(&h, 6002);
    assert_null(fake_subscriber_open);
    fake_subscriber_fails_with = PROBER_OK;
    hint_listener_set_port(&h, 6002);
    assert_non_null(fake_subscriber_open);
    hint_listener_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_listens_at_the_server_s_host_on_the_port_that_it_named),
        cmocka_unit_test(an_ipv6_host_is_put_in_brackets),
        cmocka_unit_test(the_same_port_again_changes_nothing_and_another_one_moves_it),
        cmocka_unit_test(a_failure_is_survived_and_tried_again_at_the_next_hello),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
