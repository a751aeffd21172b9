#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "probermesh/dispatch.h"

static const struct option server_flags[] = {
    {.name = "server.rpc.listen.addr", .type = OPTION_STRING},
    {.name = "server.task", .type = OPTION_BOOL},
    {.name = "log.level", .type = OPTION_INT},
    {.name = "h", .type = OPTION_BOOL},
};
static const struct option agent_flags[] = {
    {.name = "agent.region", .type = OPTION_STRING},
    {.name = "agent.upgrade", .type = OPTION_BOOL},
    {.name = "log.level", .type = OPTION_INT},
};
static const struct dispatch_mode modes[] = {
    {"server", "serverd", server_flags, ARRAY_LEN(server_flags)},
    {"agent", "agentd", agent_flags, ARRAY_LEN(agent_flags)},
};

static enum prober_error read_words(struct dispatch_plan *plan, struct prober_failure *why,
                                    const char *const *words)
{
    int count = 0;

    while (words[count])
        count++;
    return dispatch_read(plan, count, (char *const *)words, modes, ARRAY_LEN(modes), why);
}

#define READ(plan, why, ...) read_words(plan, why, (const char *const[]){__VA_ARGS__, NULL})

static void expect_words(const struct dispatch_plan *plan, const char *const *words, size_t count)
{
    assert_int_equal(plan->argc, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(plan->argv[i], words[i]);
    assert_null(plan->argv[count]);
}

static void without_a_mode_the_server_is_run(void **state)
{
    struct dispatch_plan plan;

    (void)state;
    assert_int_equal(dispatch_read(&plan, 0, NULL, modes, ARRAY_LEN(modes), NULL), PROBER_OK);
    assert_int_equal(plan.action, DISPATCH_RUN);
    assert_string_equal(plan.mode->program, "serverd");
    expect_words(&plan, (const char *[]){"serverd"}, 1);
    dispatch_free(&plan);
}

static void the_flags_of_the_other_mode_are_left_out_with_their_values(void **state)
{
    struct dispatch_plan plan;

    (void)state;
    assert_int_equal(READ(&plan, NULL, "-server.task", "-mode", "agent", "--server.rpc.listen.addr",
                          "localhost:6000", "-agent.region", "eu", "-server.rpc.listen.addr=x:1",
                          "-agent.upgrade", "-log.level=4"),
                     PROBER_OK);
    assert_string_equal(plan.mode->program, "agentd");
    expect_words(&plan,
                 (const char *[]){"agentd", "-agent.region", "eu", "-agent.upgrade", "-log.level=4"}, 5);
    dispatch_free(&plan);
}

static void the_last_mode_wins_in_either_form(void **state)
{
    struct dispatch_plan plan;

    (void)state;
    assert_int_equal(READ(&plan, NULL, "-mode=agent", "--mode", "server"), PROBER_OK);
    assert_string_equal(plan.mode->name, "server");
    dispatch_free(&plan);
}

static void a_value_that_looks_like_a_flag_stays_a_value(void **state)
{
    struct dispatch_plan plan;

    (void)state;
    assert_int_equal(READ(&plan, NULL, "-mode", "agent", "-agent.region", "-mode"), PROBER_OK);
    expect_words(&plan, (const char *[]){"agentd", "-agent.region", "-mode"}, 3);
    dispatch_free(&plan);
}

static void an_unknown_flag_is_refused_by_name(void **state)
{
    struct dispatch_plan plan;
    struct prober_failure why;

    (void)state;
    assert_int_equal(READ(&plan, &why, "-agent.icmp.netowrk-type=public"), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "-agent.icmp.netowrk-type"));
    assert_null(plan.argv);
}

static void stray_words_missing_values_and_wrong_modes_are_refused(void **state)
{
    struct dispatch_plan plan;
    struct prober_failure why;

    (void)state;
    assert_int_equal(READ(&plan, &why, "-server.task", "false"), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "'false'"));
    assert_int_equal(READ(&plan, &why, "-agent.region"), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "needs a value"));
    assert_int_equal(READ(&plan, &why, "-mode", "agents"), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "'agents'"));
    assert_int_equal(READ(&plan, &why, "--"), PROBER_ERR_SYNTAX);
    assert_int_equal(READ(&plan, &why, "-"), PROBER_ERR_SYNTAX);
    assert_int_equal(READ(&plan, &why, "-=x"), PROBER_ERR_SYNTAX);
}

static void help_and_version_are_seen_beside_other_flags(void **state)
{
    struct dispatch_plan plan;

    (void)state;
    assert_int_equal(READ(&plan, NULL, "-mode", "agent", "--help"), PROBER_OK);
    assert_int_equal(plan.action, DISPATCH_HELP);
    dispatch_free(&plan);
    assert_int_equal(READ(&plan, NULL, "-v"), PROBER_OK);
    assert_int_equal(plan.action, DISPATCH_VERSION);
    dispatch_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_mode_the_server_is_run),
        cmocka_unit_test(the_flags_of_the_other_mode_are_left_out_with_their_values),
        cmocka_unit_test(the_last_mode_wins_in_either_form),
        cmocka_unit_test(a_value_that_looks_like_a_flag_stays_a_value),
        cmocka_unit_test(an_unknown_flag_is_refused_by_name),
        cmocka_unit_test(stray_words_missing_values_and_wrong_modes_are_refused),
        cmocka_unit_test(help_and_version_are_seen_beside_other_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
