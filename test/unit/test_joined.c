#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "serverd/joined.h"

static struct joined *joined;
static struct prober_failure why;

static int make_world(void **state)
{
    (void)state;
    return joined_create(&joined);
}

static int end_world(void **state)
{
    (void)state;
    joined_destroy(joined);
    return 0;
}

static bool add(enum joined_kind kind, const char *key, const char *region)
{
    const struct joined_row row = {kind, key, region};
    bool changed;

    assert_int_equal(joined_add(joined, &row, &changed), PROBER_OK);
    return changed;
}

static bool excludes(uint8_t id, const char *region, const char *address, const char *spared)
{
    char text[32];
    char *const regions[] = {text};
    struct prober_id agent = {{id}};
    struct prober_addr a;
    const struct joined_claim claim = {&agent, region, &a, 1};

    snprintf(text, sizeof(text), "%s", spared ? spared : "");
    assert_int_equal(prober_addr_parse(address, &a), PROBER_OK);
    return joined_excludes(joined, &claim, regions, spared != NULL, &why);
}

static void nothing_is_excluded_at_first(void **state)
{
    (void)state;
    assert_int_equal(joined_count(joined), 0);
    assert_null(joined_find(joined, JOINED_REGION, "eu"));
    assert_false(excludes(1, "eu", "10.0.0.1", NULL));
}

static void kinds_do_not_mix(void **state)
{
    (void)state;
    add(JOINED_REGION, "10.0.0.1", "10.0.0.1");
    assert_false(excludes(1, "eu", "10.0.0.1", NULL));
    assert_true(excludes(1, "10.0.0.1", "10.0.0.2", NULL));
}

static void a_row_is_told_once_and_again_when_its_region_changes(void **state)
{
    (void)state;
    assert_true(add(JOINED_ADDRESS, "10.0.0.1", "eu"));
    assert_false(add(JOINED_ADDRESS, "10.0.0.1", "eu"));
    assert_true(add(JOINED_ADDRESS, "10.0.0.1", "us"));
    assert_string_equal(joined_find(joined, JOINED_ADDRESS, "10.0.0.1"), "us");
    assert_int_equal(joined_count(joined), 1);
}

static void a_spared_region_takes_what_is_its_own_alone(void **state)
{
    struct prober_id id = {{7}};
    char text[PROBER_ID_TEXT_MAX];

    (void)state;
    add(JOINED_REGION, "eu", "eu");
    add(JOINED_ADDRESS, "10.0.0.1", "eu");
    add(JOINED_ADDRESS, "10.0.0.2", "us");
    add(JOINED_AGENT, prober_id_format(&id, text), "us");
    assert_true(excludes(1, "eu", "10.0.0.1", NULL));
    assert_false(excludes(1, "eu", "10.0.0.1", "eu"));
    assert_true(excludes(1, "eu", "10.0.0.2", "eu"));
    assert_true(excludes(7, "eu", "10.0.0.1", "eu"));
    assert_true(excludes(1, "other", "10.0.0.1", "eu")); /* another region's claim is not spared */
}

static void every_sentence_says_what_to_do(void **state)
{
    struct prober_id id = {{7}};
    char text[PROBER_ID_TEXT_MAX];

    (void)state;
    add(JOINED_REGION, "eu", "eu");
    add(JOINED_ADDRESS, "10.0.0.1", "eu");
    add(JOINED_AGENT, prober_id_format(&id, text), "eu");
    assert_true(excludes(1, "eu", "10.0.0.9", NULL));
    assert_non_null(strstr(why.text, "join-token"));
    assert_true(excludes(1, "us", "10.0.0.1", NULL));
    assert_non_null(strstr(why.text, "10.0.0.1"));
    assert_non_null(strstr(why.text, "-server.plain.migrate"));
    assert_true(excludes(7, "us", "10.0.0.9", NULL));
    assert_non_null(strstr(why.text, "-agent.join"));
}

static void thousands_are_found_and_too_many_refused(void **state)
{
    struct joined_row row = {.kind = JOINED_ADDRESS, .region = "eu"};
    char key[32];
    bool changed;

    (void)state;
    row.key = key;
    for (int i = 0; i < JOINED_MAX; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        if (joined_add(joined, &row, &changed))
            fail_msg("row %d", i);
    }
    assert_string_equal(joined_find(joined, JOINED_ADDRESS, "k4321"), "eu");
    row.key = "one more";
    assert_int_equal(joined_add(joined, &row, &changed), PROBER_ERR_FULL);
    row.key = "k1";
    assert_int_equal(joined_add(joined, &row, &changed), PROBER_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_excluded_at_first),
        TEST(kinds_do_not_mix),
        TEST(a_row_is_told_once_and_again_when_its_region_changes),
        TEST(a_spared_region_takes_what_is_its_own_alone),
        TEST(every_sentence_says_what_to_do),
        TEST(thousands_are_found_and_too_many_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
