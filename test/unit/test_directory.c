#include "test/unit/unit.h"

#include <string.h>

#include "serverd/directory.h"
#include "serverd/plan.h"

static struct directory *given_directory(uint64_t revision)
{
    const struct directory from = {.plan_revision = revision};
    struct directory *d = NULL;

    assert_int_equal(directory_create(&d, &from), PROBER_OK);
    return d;
}

static void a_directory_copies_and_sorts_what_it_is_made_of(void **state)
{
    char region[] = "b", other[] = "a";
    struct prober_addr address;
    struct directory_agent agents[] = {
        {.number = 3, .region = region, .version = "1"},
        {.number = 2, .region = region, .address_count = 1, .addresses = &address},
        {.number = 9, .region = other, .os = "linux"},
    };
    const struct directory_pair pairs[] = {{"b", "a"}, {"a", "c"}, {"a", "b"}};
    const struct directory from = {
        .agents = agents, .agent_count = 3, .pairs = pairs, .pair_count = 3, .plan_revision = 7};
    struct directory *d = NULL;

    (void)state;
    assert_int_equal(prober_addr_parse("10.0.0.1", &address), PROBER_OK);
    assert_int_equal(directory_create(&d, &from), PROBER_OK);
    memset(region, 'x', 1);
    memset(&address, 0, sizeof(address));
    assert_int_equal(d->plan_revision, 7);
    assert_int_equal(d->agent_count, 3);
    assert_int_equal(d->agents[0].number, 9);
    assert_string_equal(d->agents[0].os, "linux");
    assert_string_equal(d->agents[0].version, "");
    assert_int_equal(d->agents[1].number, 2);
    assert_string_equal(d->agents[1].region, "b");
    assert_int_equal(d->agents[1].addresses[0].bytes[0], 10);
    assert_int_equal(d->agents[2].number, 3);
    assert_string_equal(d->pairs[0].source, "a");
    assert_string_equal(d->pairs[0].target, "b");
    assert_string_equal(d->pairs[2].source, "b");
    directory_put(d);
}

static void a_board_shows_the_newest_and_the_older_lives_while_it_is_read(void **state)
{
    struct directory_board *board = NULL;
    struct directory *first, *second, *third;

    (void)state;
    assert_int_equal(directory_board_create(&board), PROBER_OK);
    first = directory_get(board);
    assert_non_null(first);
    assert_int_equal(first->agent_count, 0);
    directory_publish(board, given_directory(1));
    second = directory_get(board);
    directory_publish(board, given_directory(2));
    third = directory_get(board);
    assert_int_equal(first->plan_revision, 0);
    assert_int_equal(second->plan_revision, 1);
    assert_int_equal(third->plan_revision, 2);
    directory_put(first);
    directory_put(second);
    directory_board_destroy(board);
    assert_int_equal(third->plan_revision, 2);
    directory_put(third);
    directory_put(NULL);
    directory_board_destroy(NULL);
}

static void a_directory_keeps_its_plan(void **state)
{
    const struct plan_config config = {
        .dynamic = true, .full_below = 10, .agents_per_pair = 1, .targets_per_pair = 1};
    struct plan *plan = NULL;
    struct directory from = {.plan_revision = 1};
    struct directory *d = NULL;

    (void)state;
    assert_int_equal(plan_create(&plan, &config, NULL, NULL, 0, 1), PROBER_OK);
    from.plan = plan;
    assert_int_equal(directory_create(&d, &from), PROBER_OK);
    plan_put(plan);
    assert_int_equal(d->plan->region_count, 0);
    directory_put(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_copies_and_sorts_what_it_is_made_of),
        cmocka_unit_test(a_board_shows_the_newest_and_the_older_lives_while_it_is_read),
        cmocka_unit_test(a_directory_keeps_its_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
