#include "test/unit/unit.h"

#include <string.h>

#include "agentd/trouble.h"
#include "test/unit/fakes/fake_log.h"

static void window(struct trouble *t, uint32_t unsent_local, uint32_t unsent_name)
{
    struct icmp_counts c = {.unsent_local = unsent_local, .unsent_name = unsent_name};

    trouble_add(t, &c);
    trouble_window_end(t);
}

static int forget(void **state)
{
    (void)state;
    fake_log_count = 0;
    return 0;
}

static void an_interface_that_is_away_for_an_hour_is_two_lines(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 0, 0);
    assert_int_equal(fake_log_count, 0);
    for (unsigned i = 0; i < 240; i++)
        window(&t, 64, 0);
    assert_int_equal(fake_log_count, 1);
    assert_non_null(strstr(fake_log_messages[0], "refuses probes"));
    window(&t, 0, 0);
    window(&t, 0, 0);
    assert_int_equal(fake_log_count, 2);
    assert_non_null(strstr(fake_log_messages[1], "takes all probes again"));
}

static void troubles_are_told_apart(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 64, 0);
    window(&t, 64, 64);
    window(&t, 0, 64);
    assert_int_equal(fake_log_count, 3);
    assert_non_null(strstr(fake_log_messages[1], "names of targets"));
}

static void drops_and_steps_are_told_when_they_rise(void **state)
{
    struct trouble t = {0};
    struct icmp_engine_counts c = {0};

    (void)state;
    trouble_engine(&t, &c);
    c.clock_steps = 1;
    trouble_engine(&t, &c);
    trouble_engine(&t, &c);
    assert_int_equal(fake_log_count, 1);
    for (unsigned i = 0; i < 10; i++) {
        c.receive_drops += 100;
        trouble_engine(&t, &c);
    }
    assert_int_equal(fake_log_count, 2);
    trouble_engine(&t, &c);
    c.receive_drops++;
    trouble_engine(&t, &c);
    assert_int_equal(fake_log_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_interface_that_is_away_for_an_hour_is_two_lines, forget),
        cmocka_unit_test_setup(troubles_are_told_apart, forget),
        cmocka_unit_test_setup(drops_and_steps_are_told_when_they_rise, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
