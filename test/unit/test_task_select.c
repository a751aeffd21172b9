/* Which regions a task is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serverd/task_select.h"

static bool selects(const char *pattern, const char *expr, const char *region)
{
    struct task_select *select;
    struct prober_failure why;
    bool failed = false, has;

    assert_int_equal(task_select_create(&select, pattern, expr, &why), PROBER_OK);
    has = task_select_has(select, region, &failed);
    assert_false(failed);
    task_select_destroy(select);
    return has;
}

static void equality_compares_the_whole_region(void **state)
{
    (void)state;
    assert_true(selects("eu-west", "=", "eu-west"));
    assert_false(selects("eu-west", "=", "eu-west-1"));
    assert_false(selects("eu", "=", "eu-west"));
    assert_false(selects("eu-west", "!=", "eu-west"));
    assert_true(selects("eu-west", "!=", "eu-west-1"));
}

static void an_expression_matches_anywhere_in_the_region(void **state)
{
    (void)state;
    assert_true(selects("west", "=~", "eu-west-1"));
    assert_false(selects("^west", "=~", "eu-west-1"));
    assert_false(selects("west", "!~", "eu-west-1"));
    assert_true(selects("^west$", "!~", "eu-west-1"));
}

static void regions_are_read_by_character(void **state)
{
    (void)state;
    assert_true(selects("欧洲-.*", "=~", "欧洲-柏林"));
    assert_true(selects("^欧.-", "=~", "欧洲-柏林"));
    assert_true(selects("欧洲", "=", "欧洲"));
    assert_false(selects("欧洲", "!=", "欧洲"));
}

static void what_is_no_expression_can_still_be_a_region(void **state)
{
    (void)state;
    assert_true(selects("[x", "=", "[x"));
    assert_true(selects("a.c", "!=", "abc"));
}

static void an_expression_that_explodes_is_answered_at_once(void **state)
{
    char region[129];

    (void)state;
    memset(region, 'a', sizeof(region) - 1);
    region[sizeof(region) - 1] = '\0';
    assert_false(selects("(a*)*(a*)*(a|aa)+b$", "=~", region));
}

static void refused(const char *pattern, const char *expr, enum prober_error code,
                    const char *sentence)
{
    struct prober_failure why = {PROBER_OK, ""};
    struct task_select *select = NULL;

    assert_int_equal(task_select_create(&select, pattern, expr, &why), code);
    assert_null(select);
    assert_int_equal(why.code, code);
    if (!strstr(why.text, sentence))
        fail_msg("'%s' does not tell '%s'", why.text, sentence);
}

static void what_makes_no_sense_is_refused_with_a_sentence(void **state)
{
    char longer[TASK_SELECT_MAX + 2];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    refused("eu", "", PROBER_ERR_SYNTAX, "= != =~ !~");
    refused("eu", "==", PROBER_ERR_SYNTAX, "= != =~ !~");
    refused("eu", "~", PROBER_ERR_SYNTAX, "= != =~ !~");
    refused("", "=", PROBER_ERR_SYNTAX, "no region");
    refused("[x", "=~", PROBER_ERR_SYNTAX, "");
    refused("(?=x)", "!~", PROBER_ERR_SYNTAX, "");
    refused("\xff", "=", PROBER_ERR_SYNTAX, "UTF-8");
    refused(longer, "=", PROBER_ERR_RANGE, "1024");
    refused("((((x{1000}){1000}){1000}){1000})", "=~", PROBER_ERR_SYNTAX, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_compares_the_whole_region),
        cmocka_unit_test(an_expression_matches_anywhere_in_the_region),
        cmocka_unit_test(regions_are_read_by_character),
        cmocka_unit_test(what_is_no_expression_can_still_be_a_region),
        cmocka_unit_test(an_expression_that_explodes_is_answered_at_once),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
