#include "test/unit/unit.h"

#include "serverd/index.h"

static void an_empty_index_finds_nothing(void **state)
{
    struct index ix = {0};
    size_t cursor = 0;

    (void)state;
    assert_int_equal(index_next(&ix, 5, &cursor), INDEX_NONE);
    index_clear(&ix);
    index_free(&ix);
}

static void every_entry_is_found_while_it_grows(void **state)
{
    struct index ix = {0};

    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(index_reserve(&ix, i + 1));
        index_add(&ix, index_hash_number(i), i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        size_t cursor = 0;

        assert_int_equal(index_next(&ix, index_hash_number(i), &cursor), i);
        assert_int_equal(index_next(&ix, index_hash_number(i), &cursor), INDEX_NONE);
    }
    index_free(&ix);
}

static void entries_with_one_hash_are_all_candidates(void **state)
{
    struct index ix = {0};
    size_t cursor = 0;
    unsigned seen = 0;
    uint32_t position;

    (void)state;
    assert_true(index_reserve(&ix, 4));
    for (uint32_t i = 0; i < 4; i++)
        index_add(&ix, 77, i);
    while ((position = index_next(&ix, 77, &cursor)) != INDEX_NONE)
        seen |= 1u << position;
    assert_int_equal(seen, 15);
    index_free(&ix);
}

static void a_cleared_index_is_empty_and_can_be_filled_again(void **state)
{
    struct index ix = {0};
    size_t cursor = 0;

    (void)state;
    assert_true(index_reserve(&ix, 1));
    index_add(&ix, index_hash_text("a"), 1);
    index_clear(&ix);
    assert_int_equal(index_next(&ix, index_hash_text("a"), &cursor), INDEX_NONE);
    index_add(&ix, index_hash_text("b"), 2);
    cursor = 0;
    assert_int_equal(index_next(&ix, index_hash_text("b"), &cursor), 2);
    index_free(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_index_finds_nothing),
        cmocka_unit_test(every_entry_is_found_while_it_grows),
        cmocka_unit_test(entries_with_one_hash_are_all_candidates),
        cmocka_unit_test(a_cleared_index_is_empty_and_can_be_filled_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
