#include "test/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "serverd/revocations.h"

#define NOW INT64_C(1800000000)

static struct {
    struct revocations *revocations;
    struct prober_failure why;
    enum prober_error fails;
    unsigned saved, forgotten;
    char seen[512];
} world;

static enum prober_error save(void *context, const struct revocation *revocation,
                              struct prober_failure *why)
{
    (void)context;
    if (world.fails)
        return prober_fail(why, world.fails, "the store is full");
    assert_int_equal(revocation->at_s, NOW);
    assert_false(revocations_has_id(world.revocations, &revocation->agent_id));
    world.saved++;
    return PROBER_OK;
}

static enum prober_error forget(void *context, const struct prober_id *id,
                                struct prober_failure *why)
{
    (void)context;
    if (world.fails)
        return prober_fail(why, world.fails, "the store is full");
    assert_true(revocations_has_id(world.revocations, id));
    world.forgotten++;
    return PROBER_OK;
}

static int begin(void **state)
{
    const struct revocation_store store = {.save = save, .forget = forget};

    (void)state;
    memset(&world, 0, sizeof(world));
    return revocations_create(&world.revocations, &store);
}

static int end(void **state)
{
    (void)state;
    revocations_destroy(world.revocations);
    return 0;
}

static struct prober_id id_of(unsigned number)
{
    struct prober_id id = {{0}};

    id.bytes[0] = (uint8_t)(number * 167); /* in no order */
    id.bytes[1] = (uint8_t)number;
    return id;
}

static enum prober_error revoke(unsigned number)
{
    struct prober_id id = id_of(number);

    return revocations_add(world.revocations, &id, NOW, &world.why);
}

static bool is_revoked(unsigned number)
{
    const struct pki_identity identity = {.role = PKI_ROLE_AGENT, .agent_id = id_of(number)};

    return revocations_has(world.revocations, &identity);
}

static void a_revoked_agent_is_known_once_the_store_has_it(void **state)
{
    (void)state;
    assert_false(is_revoked(1));
    assert_int_equal(revoke(1), PROBER_OK);
    assert_int_equal(world.saved, 1);
    assert_true(is_revoked(1));
    assert_false(is_revoked(2));
    assert_int_equal(revocations_count(world.revocations), 1);
}

static void what_the_store_cannot_keep_did_not_happen(void **state)
{
    struct prober_id id = id_of(1);

    (void)state;
    world.fails = PROBER_ERR_IO;
    assert_int_equal(revoke(1), PROBER_ERR_IO);
    assert_string_equal(world.why.text, "the store is full");
    assert_false(is_revoked(1));
    world.fails = PROBER_OK;
    assert_int_equal(revoke(1), PROBER_OK);
    world.fails = PROBER_ERR_IO;
    assert_int_equal(revocations_remove(world.revocations, &id, &world.why), PROBER_ERR_IO);
    assert_true(is_revoked(1));
}

static void nobody_is_revoked_twice_nor_taken_back_unrevoked(void **state)
{
    struct prober_id id = id_of(1);

    (void)state;
    assert_int_equal(revoke(1), PROBER_OK);
    assert_int_equal(revoke(1), PROBER_ERR_EXISTS);
    assert_int_equal(world.saved, 1);
    assert_int_equal(revocations_remove(world.revocations, &id, &world.why), PROBER_OK);
    assert_false(is_revoked(1));
    assert_int_equal(revocations_remove(world.revocations, &id, &world.why), PROBER_ERR_NOT_FOUND);
    assert_int_equal(world.forgotten, 1);
}

static void note(void *context, const struct revocation *revocation)
{
    size_t len = strlen(world.seen);

    (void)context;
    snprintf(world.seen + len, sizeof(world.seen) - len, "%d ", revocation->agent_id.bytes[1]);
}

static void many_are_found_and_listed_by_id(void **state)
{
    struct prober_id gone = id_of(10);

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(revoke(i), PROBER_OK);
    assert_int_equal(revocations_remove(world.revocations, &gone, &world.why), PROBER_OK);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(is_revoked(i), i < 40 && i != 10);
    revocations_list(world.revocations, note, NULL);
    assert_memory_equal(world.seen, "0 23 ", 5); /* 0x00, 0x01, … */
}

static void what_was_kept_is_loaded_without_being_kept_again(void **state)
{
    const struct revocation kept = {id_of(7), NOW - 5};

    (void)state;
    assert_int_equal(revocations_load(world.revocations, &kept), PROBER_OK);
    assert_int_equal(revocations_load(world.revocations, &kept), PROBER_OK);
    assert_int_equal(revocations_count(world.revocations), 1);
    assert_true(is_revoked(7));
    assert_int_equal(world.saved, 0);
}

static atomic_bool stop;

static void *ask(void *context)
{
    (void)context;
    while (!atomic_load(&stop))
        assert_false(is_revoked(200));
    return NULL;
}

static void any_thread_may_ask_while_another_revokes(void **state)
{
    pthread_t thread;

    (void)state;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(revoke(i), PROBER_OK);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(revocations_count(world.revocations), 100);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_revoked_agent_is_known_once_the_store_has_it),
        TEST(what_the_store_cannot_keep_did_not_happen),
        TEST(nobody_is_revoked_twice_nor_taken_back_unrevoked),
        TEST(many_are_found_and_listed_by_id),
        TEST(what_was_kept_is_loaded_without_being_kept_again),
        TEST(any_thread_may_ask_while_another_revokes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
