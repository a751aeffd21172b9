#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "common/problems.h"

static struct problems *given_problems(void)
{
    struct problems *p = NULL;

    assert_int_equal(problems_create(&p), PROBER_OK);
    return p;
}

static void a_problem_is_told_with_its_place(void **state)
{
    struct problems *p = given_problems();

    (void)state;
    problems_add(p, "serverd.yaml", 12, "server.task", "expected true or false, got '%s'", "maybe");
    problems_add(p, "serverd.yaml", 3, NULL, "a tab");
    problems_add(p, NULL, 0, "-agent.region", "empty");
    problems_add(p, NULL, 7, NULL, "odd");
    problems_add(p, NULL, 0, NULL, "no place");
    assert_int_equal(problems_count(p), 5);
    assert_string_equal(problems_text(p, 0),
                        "serverd.yaml:12:server.task: expected true or false, got 'maybe'");
    assert_string_equal(problems_text(p, 1), "serverd.yaml:3: a tab");
    assert_string_equal(problems_text(p, 2), "-agent.region: empty");
    assert_string_equal(problems_text(p, 3), "line 7: odd");
    assert_string_equal(problems_text(p, 4), "no place");
    problems_destroy(p);
}

static void nothing_wrong_is_no_failure(void **state)
{
    struct problems *p = given_problems();
    struct prober_failure why;

    (void)state;
    assert_int_equal(problems_failure(p, &why), PROBER_OK);
    problems_destroy(p);
    problems_destroy(NULL);
}

static void a_failure_tells_the_first_and_how_many_more(void **state)
{
    struct problems *p = given_problems();
    struct prober_failure why;

    (void)state;
    problems_add(p, "f", 1, NULL, "first");
    assert_int_equal(problems_failure(p, &why), PROBER_ERR_SYNTAX);
    assert_string_equal(why.text, "f:1: first");
    problems_add(p, "f", 2, NULL, "second");
    problems_add(p, "f", 3, NULL, "third");
    assert_int_equal(problems_failure(p, &why), PROBER_ERR_SYNTAX);
    assert_string_equal(why.text, "f:1: first (and 2 more)");
    problems_destroy(p);
}

static void problems_without_end_are_counted_but_not_kept(void **state)
{
    struct problems *p = given_problems();

    (void)state;
    for (int i = 0; i < PROBLEMS_MAX + 5; i++)
        problems_add(p, "f", i + 1, NULL, "bad");
    assert_int_equal(problems_count(p), PROBLEMS_MAX + 5);
    assert_non_null(strstr(problems_text(p, PROBLEMS_MAX - 1), "f:200: bad"));
    problems_destroy(p);
}

static void text_from_a_file_cannot_forge_a_problem(void **state)
{
    struct problems *p = given_problems();

    (void)state;
    problems_add(p, "f", 1, "k\nf:2: forged", "got '%s'", "a\nb\x1b[0m\xff");
    assert_string_equal(problems_text(p, 0), "f:1:k\\nf:2: forged: got 'a\\nb\\x1b[0m\\xff'");
    problems_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_is_told_with_its_place),
        cmocka_unit_test(nothing_wrong_is_no_failure),
        cmocka_unit_test(a_failure_tells_the_first_and_how_many_more),
        cmocka_unit_test(problems_without_end_are_counted_but_not_kept),
        cmocka_unit_test(text_from_a_file_cannot_forge_a_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
