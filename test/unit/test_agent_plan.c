#include "test/unit/unit.h"

#include "agentd/agent_plan.h"
#include "libprober/icmp_engine.h"

static const char *const two[] = {"192.0.2.1", "host.example"};
static const char *const twice[] = {"192.0.2.1", "192.0.2.1", "192.0.2.2"};

static struct agent_plan *given_plan(const struct wire_plan_entry *entries, size_t count)
{
    struct wire_plan message = {entries, count};
    struct agent_plan *plan = NULL;

    assert_int_equal(agent_plan_create(&plan, 5, &message), PROBER_OK);
    return plan;
}

static void every_entry_of_a_region_is_kept(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = two, .target_count = 2},
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = two, .target_count = 2, .control = true},
        {.kind = WIRE_KIND_ICMP, .region = "b", .targets = two, .target_count = 1}};
    struct agent_plan *plan = given_plan(entries, 3);

    (void)state;
    assert_int_equal(plan->revision, 5);
    assert_int_equal(plan->target_count, 5);
    assert_string_equal(plan->targets[1].target, "host.example");
    assert_string_equal(plan->targets[1].region, "a");
    assert_true(plan->targets[2].control);
    assert_string_equal(plan->targets[4].region, "b");
    agent_plan_destroy(plan);
}

static void a_target_named_twice_is_probed_once(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = twice, .target_count = 3},
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = twice, .target_count = 1}};
    struct agent_plan *plan = given_plan(entries, 2);

    (void)state;
    assert_int_equal(plan->target_count, 2);
    assert_int_equal(plan->doubles, 2);
    agent_plan_destroy(plan);
}

static void the_same_target_with_other_settings_is_another_one(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = two, .target_count = 1},
        {.kind = WIRE_KIND_ICMP,
         .region = "a",
         .targets = two,
         .target_count = 1,
         .icmp = {.payload_size = 1400}}};
    struct agent_plan *plan = given_plan(entries, 2);

    (void)state;
    assert_int_equal(plan->target_count, 2);
    agent_plan_destroy(plan);
}

static void kinds_of_a_later_release_are_skipped_and_counted(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_HTTP, .region = "a", .targets = two, .target_count = 2},
        {.kind = 99, .region = "a", .targets = two, .target_count = 1}};
    struct agent_plan *plan = given_plan(entries, 2);

    (void)state;
    assert_int_equal(plan->target_count, 0);
    assert_int_equal(plan->skipped, 3);
    agent_plan_destroy(plan);
}

static void settings_are_brought_into_the_ranges_of_the_engine(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = two, .target_count = 1},
        {.kind = WIRE_KIND_ICMP,
         .region = "b",
         .targets = two,
         .target_count = 1,
         .icmp = {.payload_size = 4000000000u,
                  .packet_count = 4000000000u,
                  .timeout_ns = UINT64_MAX,
                  .family = 77}},
        {.kind = WIRE_KIND_ICMP,
         .region = "c",
         .targets = two,
         .target_count = 1,
         .icmp = {.payload_size = 1, .timeout_ns = 1}}};
    struct agent_plan *plan = given_plan(entries, 3);

    (void)state;
    assert_int_equal(plan->targets[0].icmp.payload_size, 64);
    assert_int_equal(plan->targets[0].icmp.packet_count, 64);
    assert_int_equal(plan->targets[0].icmp.timeout_ns, 0);
    assert_int_equal(plan->targets[1].icmp.payload_size, ICMP_PAYLOAD_MAX);
    assert_int_equal(plan->targets[1].icmp.packet_count, 65535);
    assert_int_equal(plan->targets[1].icmp.timeout_ns, UINT64_C(60000000000));
    assert_int_equal(plan->targets[1].icmp.family, PROBER_FAMILY_IPV4);
    assert_int_equal(plan->targets[2].icmp.payload_size, ICMP_PAYLOAD_MIN);
    assert_int_equal(plan->targets[2].icmp.timeout_ns, 1000000);
    agent_plan_destroy(plan);
}

static void only_the_newest_plan_is_taken_from_the_board(void **state)
{
    struct agent_plan_board board = {NULL};
    struct agent_plan *first = given_plan(NULL, 0), *second = given_plan(NULL, 0);

    (void)state;
    agent_plan_board_offer(&board, first);
    agent_plan_board_offer(&board, second);
    assert_ptr_equal(agent_plan_board_take(&board), second);
    assert_null(agent_plan_board_take(&board));
    agent_plan_destroy(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_of_a_region_is_kept),
        cmocka_unit_test(a_target_named_twice_is_probed_once),
        cmocka_unit_test(the_same_target_with_other_settings_is_another_one),
        cmocka_unit_test(kinds_of_a_later_release_are_skipped_and_counted),
        cmocka_unit_test(settings_are_brought_into_the_ranges_of_the_engine),
        cmocka_unit_test(only_the_newest_plan_is_taken_from_the_board),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
