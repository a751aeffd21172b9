#include "test/unit/unit.h"

#include "agentd/task_rate.h"
#include "common/clock.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)

static void a_burst_may_begin_at_once_and_no_more(void **state)
{
    struct task_rate rate;

    (void)state;
    task_rate_init(&rate, 6, 3);
    for (int i = 0; i < 3; i++)
        assert_true(task_rate_take(&rate, S(1000)));
    assert_false(task_rate_take(&rate, S(1000)));
    assert_false(task_rate_take(&rate, S(1010) - 1));
    assert_true(task_rate_take(&rate, S(1010)));
    assert_false(task_rate_take(&rate, S(1010)));
}

static void rest_fills_it_up_to_the_burst(void **state)
{
    struct task_rate rate;
    int taken = 0;

    (void)state;
    task_rate_init(&rate, 60, 2);
    assert_true(task_rate_take(&rate, S(1)));
    while (task_rate_take(&rate, S(100000)))
        taken++;
    assert_int_equal(taken, 2);
}

static void over_a_long_time_the_rate_holds(void **state)
{
    struct task_rate rate;
    int taken = 0;

    (void)state;
    task_rate_init(&rate, 7, 4);
    for (uint64_t now = S(5); now < S(5 + 600); now += S(1) / 3)
        taken += task_rate_take(&rate, now);
    assert_in_range(taken, 70 + 2, 70 + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_may_begin_at_once_and_no_more),
        cmocka_unit_test(rest_fills_it_up_to_the_burst),
        cmocka_unit_test(over_a_long_time_the_rate_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
