#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "common/arena.h"

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    struct arena *a = arena_create(64, 1 << 20);
    unsigned char *pieces[100];
    (void)state;

    for (unsigned i = 0; i < 100; i++) {
        pieces[i] = arena_alloc(a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i);
    }
    for (unsigned i = 0; i < 100; i++)
        for (unsigned k = 0; k < i; k++)
            assert_int_equal(pieces[i][k], i);
    arena_destroy(a);
}

static void a_piece_larger_than_a_block_gets_one_of_its_own(void **state)
{
    struct arena *a = arena_create(16, 1 << 20);
    (void)state;

    assert_non_null(arena_alloc(a, 100000));
    assert_false(arena_is_over_limit(a));
    arena_destroy(a);
}

static void the_limit_holds_and_is_told(void **state)
{
    struct arena *a = arena_create(64, 1024);
    (void)state;

    assert_non_null(arena_alloc(a, 512));
    assert_null(arena_alloc(a, 1024));
    assert_true(arena_is_over_limit(a));
    assert_non_null(arena_alloc(a, 64));
    arena_destroy(a);
}

static void an_array_whose_size_overflows_is_refused(void **state)
{
    struct arena *a = arena_create(64, SIZE_MAX);
    (void)state;

    assert_null(arena_array(a, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_non_null(arena_array(a, 0, 4));
    arena_destroy(a);
    arena_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(a_piece_larger_than_a_block_gets_one_of_its_own),
        cmocka_unit_test(the_limit_holds_and_is_told),
        cmocka_unit_test(an_array_whose_size_overflows_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
