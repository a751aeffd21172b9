#include "test/unit/unit.h"

#include <string.h>

#include "agentd/policy.h"

static struct policy *given_policy(const char **allow, size_t allows, const char **deny,
                                   size_t denies)
{
    struct option_list a = {(char **)allow, allows}, d = {(char **)deny, denies};
    struct problems *problems = NULL;
    struct policy *p = NULL;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(policy_create(&p, &a, &d, problems), PROBER_OK);
    problems_destroy(problems);
    return p;
}

static bool permits(const struct policy *p, const char *text)
{
    struct prober_addr addr;

    assert_int_equal(prober_addr_parse(text, &addr), PROBER_OK);
    return policy_permits(p, &addr);
}

static void without_lists_everything_is_permitted(void **state)
{
    struct policy *p = given_policy(NULL, 0, NULL, 0);

    (void)state;
    assert_true(permits(p, "192.0.2.1"));
    assert_true(permits(p, "2001:db8::1"));
    policy_put(p);
}

static void an_allow_list_permits_nothing_else(void **state)
{
    const char *allow[] = {"10.0.0.0/9", "2001:db8::/33", "192.0.2.7"};
    struct policy *p = given_policy(allow, 3, NULL, 0);

    (void)state;
    assert_true(permits(p, "10.127.255.255"));
    assert_false(permits(p, "10.128.0.0"));
    assert_true(permits(p, "2001:db8:7fff::1"));
    assert_false(permits(p, "2001:db8:8000::1"));
    assert_true(permits(p, "192.0.2.7"));
    assert_false(permits(p, "192.0.2.6"));
    assert_true(permits(p, "::ffff:10.0.0.1"));
    policy_put(p);
}

static void a_denied_network_goes_before_an_allowed_one(void **state)
{
    const char *allow[] = {"10.0.0.0/8"}, *deny[] = {"10.1.0.0/16", "::/0"};
    struct policy *p = given_policy(allow, 1, deny, 2);

    (void)state;
    assert_true(permits(p, "10.2.0.1"));
    assert_false(permits(p, "10.1.0.1"));
    assert_false(permits(p, "2001:db8::1"));
    policy_put(p);
}

static void each_malformed_network_is_a_problem_of_its_own(void **state)
{
    const char *allow[] = {"10.0.0.0/33", "x", "10.0.0.0/", "10.0.0.0/8"},
               *deny[] = {"::/129", "1/2/3"};
    struct option_list a = {(char **)allow, 4}, d = {(char **)deny, 2};
    struct problems *problems = NULL;
    struct policy *p = NULL;

    (void)state;
    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(policy_create(&p, &a, &d, problems), PROBER_ERR_SYNTAX);
    assert_null(p);
    assert_int_equal(problems_count(problems), 5);
    assert_non_null(strstr(problems_text(problems, 0), "agent.probe.allow"));
    assert_non_null(strstr(problems_text(problems, 3), "agent.probe.deny"));
    problems_destroy(problems);
}

static void networks_are_written_as_options_take_them(void **state)
{
    const char *allow[] = {"10.0.0.0/8", "2001:db8::/32"}, *deny[] = {"192.0.2.7"};
    struct policy *p = given_policy(allow, 2, deny, 1);
    struct strbuf allowed = STRBUF_INIT, denied = STRBUF_INIT;

    (void)state;
    strbuf_puts(&denied, "::");
    policy_write(p, &allowed, &denied);
    assert_string_equal(allowed.bytes, "10.0.0.0/8,2001:db8::/32");
    assert_string_equal(denied.bytes, "::,192.0.2.7/32");
    strbuf_free(&allowed);
    strbuf_free(&denied);
    policy_put(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_lists_everything_is_permitted),
        cmocka_unit_test(an_allow_list_permits_nothing_else),
        cmocka_unit_test(a_denied_network_goes_before_an_allowed_one),
        cmocka_unit_test(each_malformed_network_is_a_problem_of_its_own),
        cmocka_unit_test(networks_are_written_as_options_take_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
