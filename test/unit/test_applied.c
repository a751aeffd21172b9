#include "test/unit/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "serverd/applied.h"

static void nothing_is_applied_at_first(void **state)
{
    struct applied a = {0};

    (void)state;
    assert_int_equal(applied_has(&a, 1), APPLIED_NO);
    assert_int_equal(applied_has(&a, UINT64_MAX), APPLIED_NO);
}

static void what_was_added_is_applied_and_its_neighbours_are_not(void **state)
{
    struct applied a = {0};

    (void)state;
    applied_add(&a, 10);
    assert_int_equal(applied_has(&a, 10), APPLIED_YES);
    assert_int_equal(applied_has(&a, 9), APPLIED_NO);
    assert_int_equal(applied_has(&a, 11), APPLIED_NO);
}

static void numbers_in_a_row_are_one_range(void **state)
{
    struct applied a = {0};

    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        applied_add(&a, i);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.ranges[0].last, 100000);
}

static void a_filled_gap_joins_its_ranges(void **state)
{
    struct applied a = {0};

    (void)state;
    applied_add(&a, 1);
    applied_add(&a, 3);
    assert_int_equal(a.count, 2);
    applied_add(&a, 2);
    assert_int_equal(a.count, 1);
    assert_int_equal(applied_has(&a, 2), APPLIED_YES);
}

static void any_order_with_few_gaps_is_exact(void **state)
{
    struct applied a = {0};
    bool added[65] = {false};

    (void)state;
    srand(7);
    for (int i = 0; i < 64; i++) {
        unsigned n;

        do
            n = 1 + (unsigned)rand() % 64;
        while (added[n]);
        assert_int_equal(applied_has(&a, n), APPLIED_NO);
        applied_add(&a, n);
        added[n] = true;
        for (unsigned k = 1; k <= 64; k++)
            assert_int_equal(applied_has(&a, k), added[k] ? APPLIED_YES : APPLIED_NO);
    }
    assert_int_equal(a.count, 1);
}

static void with_too_many_gaps_the_oldest_is_refused_and_the_newest_stay_exact(void **state)
{
    struct applied a = {0};

    (void)state;
    for (uint64_t i = 0; i <= APPLIED_RANGES; i++)
        applied_add(&a, 2 + 2 * i);
    assert_int_equal(a.count, APPLIED_RANGES);
    assert_int_equal(applied_has(&a, 3), APPLIED_UNSURE);
    assert_int_equal(applied_has(&a, 5), APPLIED_NO);
    assert_int_equal(applied_has(&a, 6), APPLIED_YES);
}

static void a_number_inside_the_gap_that_closes_is_not_lost(void **state)
{
    struct applied a = {0};

    (void)state;
    for (uint64_t i = 0; i < APPLIED_RANGES; i++)
        applied_add(&a, 10 + 10 * i);
    applied_add(&a, 15);
    assert_int_not_equal(applied_has(&a, 15), APPLIED_NO);
    assert_int_equal(applied_has(&a, 30), APPLIED_YES);
    assert_int_equal(applied_has(&a, 25), APPLIED_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_applied_at_first),
        cmocka_unit_test(what_was_added_is_applied_and_its_neighbours_are_not),
        cmocka_unit_test(numbers_in_a_row_are_one_range),
        cmocka_unit_test(a_filled_gap_joins_its_ranges),
        cmocka_unit_test(any_order_with_few_gaps_is_exact),
        cmocka_unit_test(with_too_many_gaps_the_oldest_is_refused_and_the_newest_stay_exact),
        cmocka_unit_test(a_number_inside_the_gap_that_closes_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
