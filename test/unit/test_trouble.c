#include "test/unit/unit.h"

#include <string.h>

#include "agentd/trouble.h"
#include "test/unit/fakes/fake_log.h"

#define S15 (15 * CLOCK_NS_PER_S)

static struct icmp_engine_counts engine;
static uint64_t now_ns;

/* A window ends, `interval_ns` after the one before. */
static void window(struct trouble *t, uint32_t unsent_local, uint32_t unsent_name,
                   uint64_t interval_ns)
{
    struct icmp_counts c = {.unsent_local = unsent_local, .unsent_name = unsent_name};

    now_ns += interval_ns;
    trouble_add(t, &c);
    trouble_window_end(t, &engine, now_ns);
}

static int forget(void **state)
{
    (void)state;
    fake_log_count = 0;
    engine = (struct icmp_engine_counts){0};
    now_ns = 1000 * CLOCK_NS_PER_S;
    return 0;
}

static void an_interface_that_is_away_for_an_hour_is_two_lines(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 0, 0, S15);
    assert_int_equal(fake_log_count, 0);
    for (unsigned i = 0; i < 240; i++)
        window(&t, 64, 0, S15);
    assert_int_equal(fake_log_count, 1);
    assert_non_null(strstr(fake_log_messages[0], "refuses probes"));
    for (unsigned i = 0; i < 10; i++)
        window(&t, 0, 0, S15);
    assert_int_equal(fake_log_count, 2);
    assert_non_null(strstr(fake_log_messages[1], "takes all probes again"));
}

static void a_trouble_that_comes_and_goes_does_not_fill_the_log(void **state)
{
    struct trouble t = {0};

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        window(&t, i % 2, 0, CLOCK_NS_PER_S / 10);
    assert_int_equal(fake_log_count, 1);
}

static void a_trouble_of_long_windows_is_over_with_the_first_good_one(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 64, 0, 3600 * CLOCK_NS_PER_S);
    window(&t, 0, 0, 3600 * CLOCK_NS_PER_S);
    assert_int_equal(fake_log_count, 2);
}

static void troubles_are_told_apart(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 64, 0, CLOCK_NS_PER_S);
    for (unsigned i = 0; i < 15; i++)
        window(&t, 0, 64, CLOCK_NS_PER_S);
    assert_int_equal(fake_log_count, 3);
    assert_non_null(strstr(fake_log_messages[1], "names of targets"));
    assert_non_null(strstr(fake_log_messages[2], "takes all probes again"));
}

static void drops_and_steps_are_told_when_they_rise(void **state)
{
    struct trouble t = {0};

    (void)state;
    window(&t, 0, 0, S15);
    engine.clock_steps = 1;
    window(&t, 0, 0, S15);
    window(&t, 0, 0, S15);
    assert_int_equal(fake_log_count, 1);
    for (unsigned i = 0; i < 10; i++) {
        engine.receive_drops += 100;
        window(&t, 0, 0, S15);
    }
    assert_int_equal(fake_log_count, 2);
    for (unsigned i = 0; i < 4; i++)
        window(&t, 0, 0, S15);
    engine.receive_drops++;
    window(&t, 0, 0, S15);
    assert_int_equal(fake_log_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_interface_that_is_away_for_an_hour_is_two_lines, forget),
        cmocka_unit_test_setup(a_trouble_that_comes_and_goes_does_not_fill_the_log, forget),
        cmocka_unit_test_setup(a_trouble_of_long_windows_is_over_with_the_first_good_one, forget),
        cmocka_unit_test_setup(troubles_are_told_apart, forget),
        cmocka_unit_test_setup(drops_and_steps_are_told_when_they_rise, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
