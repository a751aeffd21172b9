#include "test/unit/unit.h"

#include <stdlib.h>

#include "common/array.h"
#include "serverd/mesh.h"

static void a_pair_is_found_by_both_its_names(void **state)
{
    struct mesh_pair pairs[] = {{.source = "a", .target = "b"},
                                {.source = "a", .target = "c"},
                                {.source = "ab", .target = "a"},
                                {.source = "b", .target = "a"}};
    struct mesh mesh = {.pairs = pairs, .pair_count = ARRAY_LEN(pairs)};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_ptr_equal(mesh_find(&mesh, pairs[i].source, pairs[i].target), &pairs[i]);
    assert_null(mesh_find(&mesh, "a", "a"));
    assert_null(mesh_find(&mesh, "a", "d"));
    assert_null(mesh_find(&mesh, "", "b"));
    assert_null(mesh_find(&mesh, "z", "b"));
}

static void an_empty_mesh_has_no_pair(void **state)
{
    const struct mesh mesh = {0};

    (void)state;
    assert_null(mesh_find(&mesh, "a", "b"));
}

static void a_mesh_lives_until_its_last_reference_is_put(void **state)
{
    struct mesh *mesh = calloc(1, sizeof(*mesh));

    (void)state;
    assert_non_null(mesh);
    atomic_init(&mesh->references, 1);
    mesh->pairs = calloc(1, sizeof(*mesh->pairs));
    mesh->memory = calloc(1, 1);
    assert_ptr_equal(mesh_get(mesh), mesh);
    mesh_put(mesh);
    assert_int_equal(mesh->pair_count, 0);
    mesh_put(mesh); /* the sanitizer says if it was not freed */
    mesh_put(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_found_by_both_its_names),
        cmocka_unit_test(an_empty_mesh_has_no_pair),
        cmocka_unit_test(a_mesh_lives_until_its_last_reference_is_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
