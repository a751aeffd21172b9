#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/http_targets.h"
#include "common/clock.h"
#include "test/unit/given_http_plan.h"

#define INTERVAL_NS (15 * CLOCK_NS_PER_S)
#define START_NS (1000 * CLOCK_NS_PER_S)
#define MANY 500

static const char *const urls[] = {"http://a.test/", "http://b.test/", "c.test"};

struct fixture {
    struct http_kinds *kinds;
    struct http_targets *targets;
    unsigned gone, unusable;
    uint32_t gone_missed;
};

static void on_gone(void *context, const struct http_due *due)
{
    struct fixture *f = context;

    f->gone++;
    f->gone_missed += due->missed;
}

static void on_unusable(void *context, const struct agent_plan_http_target *target,
                        const struct http_shared_kind *kind)
{
    struct fixture *f = context;

    assert_string_equal(target->target, urls[0]);
    assert_non_null(strstr(kind->why.text, "body_file"));
    f->unusable++;
}

static struct http_targets *given_targets(struct fixture *f, uint64_t key)
{
    const struct http_targets_config config = {.kinds = f->kinds,
                                               .interval_ns = INTERVAL_NS,
                                               .timeout_ns = 12 * CLOCK_NS_PER_S,
                                               .phase_key = {key, 2},
                                               .gone = on_gone,
                                               .unusable = on_unusable,
                                               .context = f};
    struct http_targets *t = NULL;

    assert_int_equal(http_targets_create(&t, &config, START_NS), PROBER_OK);
    return t;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct http_means means = {0};

    assert_int_equal(http_kinds_create(&f->kinds, &means), PROBER_OK);
    f->targets = given_targets(f, 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_targets_destroy(f->targets);
    assert_int_equal(http_kinds_count(f->kinds), 0);
    http_kinds_destroy(f->kinds);
    free(f);
    return 0;
}

static void apply_timed(struct http_targets *t, const char *block, uint64_t timeout_ns,
                        const char *const *some, size_t count, uint64_t now_ns)
{
    struct agent_plan *plan = given_http_plan(1, block, timeout_ns, some, count);

    assert_int_equal(http_targets_apply(t, plan, now_ns), PROBER_OK);
    agent_plan_put(plan);
}

static void apply(struct http_targets *t, const char *const *some, size_t count, uint64_t now_ns)
{
    apply_timed(t, GIVEN_BLOCK, 0, some, count, now_ns);
}

/* When `url` is due next, taking all that is due before. */
static uint64_t next_of(struct http_targets *t, const char *url)
{
    for (unsigned i = 0; i < 2 * MANY; i++) {
        uint64_t at_ns = http_targets_next_ns(t);
        struct http_due due;

        assert_true(http_targets_take(t, at_ns, &due));
        if (strcmp(due.name->target, url) == 0)
            return at_ns;
    }
    fail_msg("%s is never due", url);
    return 0;
}

static void a_target_is_due_once_in_each_interval_at_its_phase(void **state)
{
    struct fixture *f = *state;
    uint64_t first, at_ns;

    apply(f->targets, urls, 3, START_NS);
    first = next_of(f->targets, urls[1]);
    assert_in_range(first, START_NS + 1, START_NS + INTERVAL_NS);
    for (unsigned i = 1; i < 5; i++) {
        at_ns = next_of(f->targets, urls[1]);
        assert_int_equal(at_ns, first + i * INTERVAL_NS);
    }
}

static void nothing_is_due_before_its_time(void **state)
{
    struct fixture *f = *state;
    struct http_due due;
    uint64_t next;

    assert_int_equal(http_targets_next_ns(f->targets), UINT64_MAX);
    assert_false(http_targets_take(f->targets, UINT64_MAX - 1, &due));
    apply(f->targets, urls, 1, START_NS);
    next = http_targets_next_ns(f->targets);
    assert_false(http_targets_take(f->targets, next - 1, &due));
    assert_true(http_targets_take(f->targets, next, &due));
    assert_int_equal(due.missed, 0);
    assert_string_equal(due.name->region, "far");
    assert_false(http_targets_take(f->targets, next, &due));
}

static void targets_and_agents_do_not_pulse_together(void **state)
{
    struct fixture *f = *state;
    struct http_targets *other = given_targets(f, 7);
    static char texts[MANY][32];
    const char *many[MANY];
    unsigned in_slice[10] = {0}, together = 0;

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof(texts[i]), "http://%u.test/", i);
        many[i] = texts[i];
    }
    apply(f->targets, many, MANY, START_NS);
    apply(other, many, MANY, START_NS);
    for (unsigned i = 0; i < MANY; i++) {
        struct http_due due;
        uint64_t at_ns = http_targets_next_ns(f->targets), at_other = http_targets_next_ns(other);

        assert_true(http_targets_take(f->targets, at_ns, &due));
        in_slice[(at_ns - START_NS - 1) * 10 / INTERVAL_NS]++;
        assert_true(http_targets_take(other, at_other, &due));
        together += at_ns == at_other;
    }
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(in_slice[i], MANY / 20, MANY / 5);
    assert_true(together < 3);
    http_targets_destroy(other);
}

static void a_target_that_stays_keeps_its_phase(void **state)
{
    struct fixture *f = *state;
    uint64_t first;

    apply(f->targets, urls, 1, START_NS);
    first = next_of(f->targets, urls[0]);
    apply(f->targets, urls, 3, first);
    apply(f->targets, urls, 2, first);
    assert_int_equal(next_of(f->targets, urls[0]), first + INTERVAL_NS);

    /* Even with other settings. */
    apply_timed(f->targets, "{\"method\":\"HEAD\"}", 0, urls, 1, first + INTERVAL_NS);
    assert_int_equal(next_of(f->targets, urls[0]), first + 2 * INTERVAL_NS);
    assert_int_equal(f->gone, 0);
}

static void what_came_too_late_is_told_with_the_next(void **state)
{
    struct fixture *f = *state;
    struct http_due due;
    uint64_t first;

    apply(f->targets, urls, 1, START_NS);
    first = http_targets_next_ns(f->targets);
    assert_true(http_targets_take(f->targets, first + INTERVAL_NS - 1, &due));
    assert_int_equal(due.missed, 0);
    assert_int_equal(http_targets_next_ns(f->targets), first + INTERVAL_NS);
    assert_true(http_targets_take(f->targets, first + 4 * INTERVAL_NS + 1, &due));
    assert_int_equal(due.missed, 3);
    assert_int_equal(http_targets_next_ns(f->targets), first + 5 * INTERVAL_NS);
}

static void a_target_that_goes_while_it_waits_is_told(void **state)
{
    struct fixture *f = *state;
    uint64_t first;

    apply(f->targets, urls, 1, START_NS);
    first = http_targets_next_ns(f->targets);
    apply(f->targets, urls + 1, 2, first + 2 * INTERVAL_NS);
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->gone_missed, 2);
    http_targets_clear(f->targets, http_targets_next_ns(f->targets) - 1);
    assert_int_equal(f->gone, 1);
    assert_int_equal(http_targets_next_ns(f->targets), UINT64_MAX);
}

static void the_timeout_is_the_entrys_or_the_agents_and_never_above_the_interval(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint64_t given_ns, expected_ns;
    } cases[] = {{0, 12 * CLOCK_NS_PER_S},
                 {3 * CLOCK_NS_PER_S, 3 * CLOCK_NS_PER_S},
                 {60 * CLOCK_NS_PER_S, INTERVAL_NS}};

    for (unsigned i = 0; i < 3; i++) {
        struct http_due due;

        apply_timed(f->targets, GIVEN_BLOCK, cases[i].given_ns, urls, 1, START_NS);
        assert_true(http_targets_take(f->targets, http_targets_next_ns(f->targets), &due));
        assert_int_equal(due.timeout_ns, cases[i].expected_ns);
    }
}

static void equal_blocks_share_a_kind_that_goes_with_its_last_target(void **state)
{
    struct fixture *f = *state;

    apply(f->targets, urls, 3, START_NS);
    assert_int_equal(http_kinds_count(f->kinds), 1);
    apply_timed(f->targets, "{\"method\":\"HEAD\"}", 0, urls, 2, START_NS);
    assert_int_equal(http_kinds_count(f->kinds), 1);
    http_targets_clear(f->targets, START_NS);
    assert_int_equal(http_kinds_count(f->kinds), 0);
}

static void a_block_that_cannot_be_honoured_is_told_once_and_its_targets_are_counted(void **state)
{
    struct fixture *f = *state;
    struct http_targets_counts counts;
    struct http_due due;

    for (unsigned i = 0; i < 2; i++)
        apply_timed(f->targets, "{\"body_file\":\"/secrets/body\"}", 0, urls, 2, START_NS);
    assert_int_equal(f->unusable, 1);
    http_targets_counts(f->targets, &counts);
    assert_int_equal(counts.planned, 2);
    assert_int_equal(counts.unusable, 2);
    assert_true(http_targets_take(f->targets, http_targets_next_ns(f->targets), &due));
    assert_null(due.kind->kind);
    apply(f->targets, urls, 2, START_NS);
    http_targets_counts(f->targets, &counts);
    assert_int_equal(counts.unusable, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_target_is_due_once_in_each_interval_at_its_phase),
        TEST(nothing_is_due_before_its_time),
        TEST(targets_and_agents_do_not_pulse_together),
        TEST(a_target_that_stays_keeps_its_phase),
        TEST(what_came_too_late_is_told_with_the_next),
        TEST(a_target_that_goes_while_it_waits_is_told),
        TEST(the_timeout_is_the_entrys_or_the_agents_and_never_above_the_interval),
        TEST(equal_blocks_share_a_kind_that_goes_with_its_last_target),
        TEST(a_block_that_cannot_be_honoured_is_told_once_and_its_targets_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
