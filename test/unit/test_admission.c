#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "serverd/admission.h"
#include "serverd/local_socket.h"
#include "serverd/store.h"
#include "test/unit/given_pki.h"

static struct given_pki pki; /* for all tests */

static struct {
    char dir[64];
    struct store *store;
    struct store_audit *audit;
    struct directory_board *board;
    struct admission *admission;
    struct prober_failure why;
    struct strbuf answer;
    unsigned woken;
} world;

static void wake(void *context)
{
    (void)context;
    world.woken++;
}

static void open_admission(bool store_works)
{
    struct admission_config config = {
        .state_dir = world.dir, .store_works = store_works, .ca = pki.ca};
    const struct admission_socket at = {.audit = store_works ? world.audit : NULL,
                                        .board = world.board,
                                        .listen = "localhost:6000",
                                        .port = 6000,
                                        .wake = wake};

    memcpy(config.ca_fingerprint, pki_ca_identity(pki.ca)->fingerprint, DIGEST_SHA256_LEN);
    assert_int_equal(admission_create(&world.admission, &config, &world.why), PROBER_OK);
    assert_int_equal(admission_listen(world.admission, &at, &world.why), PROBER_OK);
}

static int begin_all(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_admission.XXXXXX");
    if (!mkdtemp(world.dir) || store_open(&world.store, world.dir, &world.why) || world.why.code ||
        store_audit_open(&world.audit, world.dir, &world.why))
        return -1;
    return directory_board_create(&world.board);
}

static int end(void **state)
{
    char command[128];

    (void)state;
    admission_destroy(world.admission);
    store_audit_close(world.audit);
    store_close(world.store);
    directory_board_destroy(world.board);
    strbuf_free(&world.answer);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static const char *ask(const char *line)
{
    strbuf_clear(&world.answer);
    assert_int_equal(local_socket_ask(world.dir, line, strlen(line), 20 * CLOCK_NS_PER_S,
                                      &world.answer, &world.why),
                     PROBER_OK);
    return world.answer.bytes;
}

#define REVOKE "{\"command\":\"agents revoke\",\"agent\":\"ab000000000000000000000000000000\"}"

static void commands_make_tokens_and_revoke_agents(void **state)
{
    (void)state;
    open_admission(true);
    assert_non_null(strstr(ask("{\"command\":\"join-token make\"}"), "\"token\":\"pmj1"));
    assert_non_null(strstr(ask(REVOKE), "\"known\":false"));
    assert_int_equal(world.woken, 1);
    assert_int_equal(revocations_count(admission_revocations(world.admission)), 1);
}

static void what_was_changed_is_there_after_a_restart(void **state)
{
    (void)state;
    open_admission(true);
    ask("{\"command\":\"join-token make\",\"region\":\"eu\"}");
    ask(REVOKE);
    admission_destroy(world.admission);
    open_admission(true);
    assert_non_null(strstr(ask("{\"command\":\"join-token list\"}"), "\"region\":\"eu\""));
    assert_int_equal(revocations_count(admission_revocations(world.admission)), 1);
}

static void without_a_store_commands_are_told_so(void **state)
{
    (void)state;
    open_admission(false);
    assert_non_null(strstr(ask("{\"command\":\"join-token make\"}"), "store does not work"));
    assert_non_null(strstr(ask(REVOKE), "store does not work"));
    assert_non_null(strstr(ask("{\"command\":\"agents list\"}"), "\"agents\":[]"));
}

static void once_stopped_nobody_answers(void **state)
{
    (void)state;
    open_admission(true);
    admission_stop(world.admission);
    assert_int_equal(
        local_socket_ask(world.dir, "{}", 2, CLOCK_NS_PER_S, &world.answer, &world.why),
        PROBER_ERR_NOT_FOUND);
    assert_non_null(admission_enrolment(world.admission));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(commands_make_tokens_and_revoke_agents),
        TEST(what_was_changed_is_there_after_a_restart),
        TEST(without_a_store_commands_are_told_so),
        TEST(once_stopped_nobody_answers),
    };

    return cmocka_run_group_tests(tests, begin_all, end_all);
}
