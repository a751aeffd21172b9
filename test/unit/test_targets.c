#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/targets.h"
#include "test/unit/fakes/fake_icmp_engine.h"
#include "test/unit/fakes/fake_resolver.h"

struct fixture {
    struct icmp_engine engine;
    struct resolver resolver;
    struct own own;
    struct targets *targets;
    struct clock_reading now;
};

static void on_removed(void *context, void *user)
{
    (void)context;
    targets_probe_removed(user);
}

static struct policy *given_policy(const char *denied)
{
    struct option_list none = {NULL, 0}, deny = {(char **)&denied, denied ? 1 : 0};
    struct problems *problems = NULL;
    struct policy *policy = NULL;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(policy_create(&policy, &none, &deny, problems), PROBER_OK);
    problems_destroy(problems);
    return policy;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct policy *policy = given_policy(NULL);
    struct targets_config config = {.policy = policy, .timeout_ns = 1600000000};

    f->engine.sink.removed = on_removed;
    f->now.mono_ns = UINT64_C(1000000000000);
    prober_addr_parse("10.0.0.1", &f->own.host[0]);
    f->own.host_count = 1;
    config.engine = &f->engine;
    config.resolver = &f->resolver;
    config.own = &f->own;
    assert_int_equal(targets_create(&f->targets, &config), PROBER_OK);
    policy_put(policy);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->resolver.count; i++)
        fake_resolver_answer(&f->resolver, f->resolver.lookups[i].name, NULL, RESOLVER_CANCELLED);
    targets_destroy(f->targets);
    free(f);
    return 0;
}

static void apply(struct fixture *f, const char *const *names, size_t count)
{
    struct wire_plan_entry entry = {
        .kind = WIRE_KIND_ICMP, .region = "far", .targets = names, .target_count = count};
    struct wire_plan message = {&entry, 1};
    struct agent_plan *plan = NULL;

    assert_int_equal(agent_plan_create(&plan, 1, &message), PROBER_OK);
    assert_int_equal(targets_apply(f->targets, plan, &f->now), PROBER_OK);
    agent_plan_put(plan);
}

static struct targets_counts counts_of(const struct fixture *f)
{
    struct targets_counts c;

    targets_counts(f->targets, &c);
    return c;
}

static void a_target_that_stays_keeps_its_state(void **state)
{
    struct fixture *f = *state;
    const char *const before[] = {"192.0.2.1", "192.0.2.2"}, *const after[] = {"192.0.2.2",
                                                                               "192.0.2.3"};
    struct fake_target *kept;

    apply(f, before, 2);
    kept = fake_engine_find(&f->engine, "192.0.2.2");
    assert_int_equal(kept->target.timeout_ns, 1600000000);
    assert_int_equal(kept->target.count, 64);
    apply(f, after, 2);
    assert_ptr_equal(fake_engine_find(&f->engine, "192.0.2.2"), kept);
    assert_null(fake_engine_find(&f->engine, "192.0.2.1"));
    assert_non_null(fake_engine_find(&f->engine, "192.0.2.3"));
    assert_int_equal(f->engine.added, 3);
}

static void a_removed_target_is_named_until_its_last_window_is_reported(void **state)
{
    struct fixture *f = *state;
    const char *const name[] = {"192.0.2.1"};
    struct targets_probe *probe;

    apply(f, name, 1);
    probe = f->engine.targets[0].target.user;
    apply(f, NULL, 0);
    assert_int_equal(counts_of(f).planned, 0);
    assert_string_equal(probe->name->target, "192.0.2.1");
    assert_string_equal(probe->name->region, "far");
    fake_engine_let_go(&f->engine);
}

static void a_target_that_comes_back_within_a_window_has_a_name_of_its_own(void **state)
{
    struct fixture *f = *state;
    const char *const name[] = {"192.0.2.1"};
    struct targets_probe *first, *second;

    apply(f, name, 1);
    first = f->engine.targets[0].target.user;
    apply(f, NULL, 0);
    apply(f, name, 1);
    second = f->engine.targets[1].target.user;
    assert_ptr_not_equal(first->name, second->name);
}

static void an_own_address_is_not_probed_and_counted(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1",
                                 "0.0.0.0",  "224.0.0.1", "10.0.0.2"};

    apply(f, names, 6);
    assert_int_equal(counts_of(f).own, 5);
    assert_int_equal(counts_of(f).probed, 1);
    assert_int_equal(fake_engine_probing(&f->engine), 1);
}

static void with_an_address_given_outright_only_that_one_is_own(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"127.0.0.1", "127.0.0.2", "10.0.0.1"};

    prober_addr_parse("127.0.0.1", &f->own.given[0]);
    f->own.given_count = 1;
    apply(f, names, 3);
    assert_null(fake_engine_find(&f->engine, "127.0.0.1"));
    assert_non_null(fake_engine_find(&f->engine, "127.0.0.2"));
    assert_non_null(fake_engine_find(&f->engine, "10.0.0.1"));
}

static void an_address_that_becomes_own_is_let_go_and_taken_up_again(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"192.0.2.1"};
    struct targets_probe *first = NULL, *second = NULL;

    apply(f, names, 1);
    first = f->engine.targets[0].target.user;
    prober_addr_parse("192.0.2.1", &f->own.observed);
    targets_review(f->targets, &f->now);
    assert_int_equal(fake_engine_probing(&f->engine), 0);
    assert_int_equal(counts_of(f).own, 1);
    f->own.observed = (struct prober_addr){0};
    targets_review(f->targets, &f->now);
    assert_int_equal(fake_engine_probing(&f->engine), 1);
    second = f->engine.targets[1].target.user;
    assert_ptr_not_equal(first->name, second->name);
    assert_string_equal(second->name->target, "192.0.2.1");
}

static void a_denied_target_is_not_probed_until_the_policy_changes(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"192.0.2.1", "198.51.100.1"};
    struct policy *policy = given_policy("192.0.2.0/24");

    targets_set_policy(f->targets, policy);
    policy_put(policy);
    apply(f, names, 2);
    assert_int_equal(counts_of(f).denied, 1);
    assert_int_equal(fake_engine_probing(&f->engine), 1);
    policy = given_policy("198.51.100.0/24");
    targets_set_policy(f->targets, policy);
    policy_put(policy);
    targets_review(f->targets, &f->now);
    assert_non_null(fake_engine_find(&f->engine, "192.0.2.1"));
    assert_null(fake_engine_find(&f->engine, "198.51.100.1"));
}

static void a_name_is_probed_after_its_first_lookup(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"host.example"};
    struct targets_probe *probe;

    apply(f, names, 1);
    targets_step(f->targets, &f->now);
    assert_int_equal(f->engine.added, 0);
    assert_int_equal(counts_of(f).resolving, 1);
    fake_resolver_answer(&f->resolver, "host.example", "192.0.2.9", RESOLVER_OK);
    targets_step(f->targets, &f->now);
    assert_non_null(fake_engine_find(&f->engine, "192.0.2.9"));
    probe = f->engine.targets[0].target.user;
    assert_int_equal(probe->resolve_ns, 1234);
    assert_string_equal(probe->name->target, "host.example");
    assert_int_equal(counts_of(f).resolving, 0);
}

static void a_name_is_looked_up_again_each_window_and_follows_its_address(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"host.example", "192.0.2.1"};

    apply(f, names, 2);
    targets_step(f->targets, &f->now);
    targets_refresh(f->targets); /* one is open already: no second one */
    targets_step(f->targets, &f->now);
    assert_int_equal(f->resolver.count, 1);
    fake_resolver_answer(&f->resolver, "host.example", "192.0.2.9", RESOLVER_OK);
    targets_step(f->targets, &f->now);
    targets_refresh(f->targets);
    targets_step(f->targets, &f->now);
    assert_int_equal(f->resolver.count, 2);
    fake_resolver_answer(&f->resolver, "host.example", "192.0.2.10", RESOLVER_OK);
    targets_step(f->targets, &f->now);
    assert_null(fake_engine_find(&f->engine, "192.0.2.9"));
    assert_non_null(fake_engine_find(&f->engine, "192.0.2.10"));
    assert_int_equal(f->engine.added, 2);
}

static void a_name_that_does_not_exist_has_no_address(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"host.example"};

    apply(f, names, 1);
    targets_step(f->targets, &f->now);
    fake_resolver_answer(&f->resolver, "host.example", NULL, RESOLVER_NXDOMAIN);
    targets_step(f->targets, &f->now);
    assert_non_null(fake_engine_find(&f->engine, "none"));
    assert_int_equal(counts_of(f).lookups[RESOLVER_NXDOMAIN], 1);
}

static void while_name_servers_are_silent_an_address_is_kept_for_a_while(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"host.example"};

    apply(f, names, 1);
    targets_step(f->targets, &f->now);
    fake_resolver_answer(&f->resolver, "host.example", "192.0.2.9", RESOLVER_OK);
    targets_step(f->targets, &f->now);
    for (unsigned i = 0; i < 2; i++) {
        f->now.mono_ns += TARGETS_ADDRESS_HOLD_NS - 1 + i;
        targets_refresh(f->targets);
        targets_step(f->targets, &f->now);
        fake_resolver_answer(&f->resolver, "host.example", NULL, RESOLVER_TIMEOUT);
        targets_step(f->targets, &f->now);
        assert_non_null(fake_engine_find(&f->engine, i ? "none" : "192.0.2.9"));
    }
}

static void a_name_that_leaves_the_plan_during_its_lookup_is_not_probed(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"host.example"};

    apply(f, names, 1);
    targets_step(f->targets, &f->now);
    apply(f, NULL, 0);
    fake_resolver_answer(&f->resolver, "host.example", "192.0.2.9", RESOLVER_OK);
    targets_step(f->targets, &f->now);
    assert_int_equal(f->engine.added, 0);
    apply(f, names, 1);
    apply(f, NULL, 0); /* gone while it waits in the queue */
    targets_step(f->targets, &f->now);
    assert_int_equal(f->resolver.count, 1);
}

static void no_more_lookups_run_at_once_than_allowed(void **state)
{
    struct fixture *f = *state;
    static char texts[TARGETS_LOOKUPS_MAX + 6][16];
    const char *names[TARGETS_LOOKUPS_MAX + 6];

    for (size_t i = 0; i < TARGETS_LOOKUPS_MAX + 6; i++) {
        memcpy(texts[i], "h00.example", 12);
        texts[i][1] = (char)('0' + i / 10);
        texts[i][2] = (char)('0' + i % 10);
        names[i] = texts[i];
    }
    apply(f, names, TARGETS_LOOKUPS_MAX + 6);
    targets_step(f->targets, &f->now);
    assert_int_equal(fake_resolver_open(&f->resolver), TARGETS_LOOKUPS_MAX);
    for (size_t i = 0; i < TARGETS_LOOKUPS_MAX; i++)
        fake_resolver_answer(&f->resolver, texts[i], NULL, RESOLVER_SERVFAIL);
    targets_step(f->targets, &f->now);
    assert_int_equal(fake_resolver_open(&f->resolver), 6);
}

static void what_the_engine_refuses_is_counted(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"192.0.2.1"};

    f->engine.refuse_with = PROBER_ERR_RANGE;
    apply(f, names, 1);
    assert_int_equal(counts_of(f).refused, 1);
    targets_review(f->targets, &f->now);
    assert_int_equal(counts_of(f).refused, 1);
}

static void clearing_has_all_probes_removed(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"192.0.2.1", "host.example"};

    apply(f, names, 2);
    targets_step(f->targets, &f->now);
    targets_clear(f->targets);
    assert_int_equal(fake_engine_probing(&f->engine), 0);
    assert_int_equal(counts_of(f).planned, 0);
    fake_engine_let_go(&f->engine);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_target_that_stays_keeps_its_state),
        T(a_removed_target_is_named_until_its_last_window_is_reported),
        T(a_target_that_comes_back_within_a_window_has_a_name_of_its_own),
        T(an_own_address_is_not_probed_and_counted),
        T(with_an_address_given_outright_only_that_one_is_own),
        T(an_address_that_becomes_own_is_let_go_and_taken_up_again),
        T(a_denied_target_is_not_probed_until_the_policy_changes),
        T(a_name_is_probed_after_its_first_lookup),
        T(a_name_is_looked_up_again_each_window_and_follows_its_address),
        T(a_name_that_does_not_exist_has_no_address),
        T(while_name_servers_are_silent_an_address_is_kept_for_a_while),
        T(a_name_that_leaves_the_plan_during_its_lookup_is_not_probed),
        T(no_more_lookups_run_at_once_than_allowed),
        T(what_the_engine_refuses_is_counted),
        T(clearing_has_all_probes_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
