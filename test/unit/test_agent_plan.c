#include "test/unit/unit.h"

#include <string.h>

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
    agent_plan_put(plan);
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
    agent_plan_put(plan);
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
    agent_plan_put(plan);
}

static void kinds_of_a_later_release_are_skipped_and_counted(void **state)
{
    const struct wire_plan_entry entries[] = {
        {.kind = 98, .region = "a", .targets = two, .target_count = 2},
        {.kind = 99, .region = "a", .targets = two, .target_count = 1}};
    struct agent_plan *plan = given_plan(entries, 2);

    (void)state;
    assert_int_equal(plan->target_count, 0);
    assert_int_equal(plan->skipped, 3);
    agent_plan_put(plan);
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
    agent_plan_put(plan);
}

static struct wire_plan_entry an_http_entry(const char *region, const char *block)
{
    static const char *const urls[] = {"https://example.com/", "example.org"};

    return (struct wire_plan_entry){.kind = WIRE_KIND_HTTP,
                                    .region = region,
                                    .targets = urls,
                                    .target_count = 2,
                                    .http = {block, 5000000000}};
}

static void urls_come_with_what_their_block_says(void **state)
{
    const struct wire_plan_entry entries[] = {
        an_http_entry("a", "{\"method\":\"POST\",\"body\":\"ping\"}"),
        {.kind = WIRE_KIND_ICMP, .region = "a", .targets = two, .target_count = 2},
        an_http_entry("b", "{}")};
    struct agent_plan *plan = given_plan(entries, 3);

    (void)state;
    assert_int_equal(plan->target_count, 2);
    assert_int_equal(plan->http_target_count, 4);
    assert_string_equal(plan->http_targets[0].region, "a");
    assert_string_equal(plan->http_targets[0].target, "https://example.com/");
    assert_string_equal(plan->http_targets[0].block->spec->method, "POST");
    assert_string_equal(plan->http_targets[0].block->text, entries[0].http.block);
    assert_int_equal(plan->http_targets[0].timeout_ns, 5000000000);
    assert_string_equal(plan->http_targets[3].target, "example.org");
    assert_string_equal(plan->http_targets[3].block->spec->method, "GET");
    assert_int_equal(plan->bad_entries, 0);
    agent_plan_put(plan);
}

static void equal_blocks_make_one_spec(void **state)
{
    const struct wire_plan_entry entries[] = {an_http_entry("a", "{}"),
                                              an_http_entry("b", "{\"method\":\"HEAD\"}"),
                                              an_http_entry("c", "{}")};
    struct agent_plan *plan = given_plan(entries, 3);

    (void)state;
    assert_ptr_equal(plan->http_targets[0].block, plan->http_targets[1].block);
    assert_ptr_equal(plan->http_targets[0].block, plan->http_targets[4].block);
    assert_ptr_not_equal(plan->http_targets[0].block, plan->http_targets[2].block);
    agent_plan_put(plan);
}

static void a_block_that_is_held_outlives_the_plan(void **state)
{
    const struct wire_plan_entry entries[] = {an_http_entry("a", "{\"method\":\"HEAD\"}")};
    struct agent_plan *plan = given_plan(entries, 1);
    struct http_block *block = http_block_get(plan->http_targets[0].block);

    (void)state;
    agent_plan_put(plan);
    assert_string_equal(block->spec->method, "HEAD");
    assert_string_equal(block->text, entries[0].http.block);
    http_block_put(block);
}

static void of_a_url_named_twice_in_a_region_the_first_is_probed(void **state)
{
    const struct wire_plan_entry entries[] = {an_http_entry("a", "{\"method\":\"HEAD\"}"),
                                              an_http_entry("a", "{}"), an_http_entry("b", "{}")};
    struct agent_plan *plan = given_plan(entries, 3);

    (void)state;
    assert_int_equal(plan->http_target_count, 4);
    assert_int_equal(plan->doubles, 2);
    assert_string_equal(plan->http_targets[1].block->spec->method, "HEAD");
    assert_string_equal(plan->http_targets[2].region, "b");
    agent_plan_put(plan);
}

static void an_entry_whose_block_cannot_be_read_is_left_out_alone(void **state)
{
    const struct wire_plan_entry entries[] = {
        an_http_entry("far\tbad", "{\"basic_auth\":{\"password\":\"hunter2\",\"what\":1}}"),
        an_http_entry("a", "{}"), an_http_entry("b", "[]"), an_http_entry("c", "{\"method\":")};
    struct agent_plan *plan = given_plan(entries, 4);

    (void)state;
    assert_int_equal(plan->http_target_count, 2);
    assert_string_equal(plan->http_targets[0].region, "a");
    assert_int_equal(plan->bad_entries, 3);
    assert_non_null(strstr(plan->bad.text, "region 'far"));
    assert_non_null(strstr(plan->bad.text, "basic_auth"));
    assert_null(strstr(plan->bad.text, "hunter2"));
    agent_plan_put(plan);
}

static void a_timeout_is_brought_into_the_range_of_the_engine(void **state)
{
    struct wire_plan_entry entries[] = {an_http_entry("a", "{}"), an_http_entry("b", "{}"),
                                        an_http_entry("c", "{}")};
    struct agent_plan *plan;

    (void)state;
    entries[0].http.timeout_ns = 0;
    entries[1].http.timeout_ns = 1;
    entries[2].http.timeout_ns = UINT64_MAX;
    plan = given_plan(entries, 3);
    assert_int_equal(plan->http_targets[0].timeout_ns, 0);
    assert_int_equal(plan->http_targets[2].timeout_ns, 1000000);
    assert_int_equal(plan->http_targets[4].timeout_ns, UINT64_C(3600000000000));
    agent_plan_put(plan);
}

static void a_plan_lives_as_long_as_somebody_holds_it(void **state)
{
    const struct wire_plan_entry entry = an_http_entry("a", "{\"method\":\"HEAD\"}");
    struct agent_plan_board icmp = {NULL}, http = {NULL};
    struct agent_plan *plan = given_plan(&entry, 1);

    (void)state;
    agent_plan_board_offer(&icmp, agent_plan_get(plan));
    agent_plan_board_offer(&http, plan);
    agent_plan_put(agent_plan_board_take(&icmp));
    plan = agent_plan_board_take(&http);
    assert_string_equal(plan->http_targets[1].block->spec->method, "HEAD");
    agent_plan_put(plan);
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
    agent_plan_put(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_of_a_region_is_kept),
        cmocka_unit_test(a_target_named_twice_is_probed_once),
        cmocka_unit_test(the_same_target_with_other_settings_is_another_one),
        cmocka_unit_test(kinds_of_a_later_release_are_skipped_and_counted),
        cmocka_unit_test(settings_are_brought_into_the_ranges_of_the_engine),
        cmocka_unit_test(urls_come_with_what_their_block_says),
        cmocka_unit_test(equal_blocks_make_one_spec),
        cmocka_unit_test(a_block_that_is_held_outlives_the_plan),
        cmocka_unit_test(of_a_url_named_twice_in_a_region_the_first_is_probed),
        cmocka_unit_test(an_entry_whose_block_cannot_be_read_is_left_out_alone),
        cmocka_unit_test(a_timeout_is_brought_into_the_range_of_the_engine),
        cmocka_unit_test(a_plan_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(only_the_newest_plan_is_taken_from_the_board),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
