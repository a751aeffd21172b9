#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tests get in the store's way behind its back. */
#include <sqlite3.h>

#include "serverd/store.h"
#include "serverd/store_audit.h"

static struct {
    char dir[64];
    struct store *store;
    struct store_audit *audit;
    struct prober_failure why;
    char seen[4096];
} world;

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_audit.XXXXXX");
    if (!mkdtemp(world.dir) || store_open(&world.store, world.dir, &world.why) || world.why.code)
        return -1;
    return store_audit_open(&world.audit, world.dir, &world.why);
}

static int end(void **state)
{
    char command[128];

    (void)state;
    store_audit_close(world.audit);
    store_close(world.store);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static int64_t given_change(const char *who, const char *body)
{
    const struct store_audit_record record = {.at_real_ns = 1700000000123456789,
                                              .who = who,
                                              .client = "10.0.0.1",
                                              .method = "POST",
                                              .target = "/-/reload?x=华",
                                              .body = body};
    int64_t id = 0;

    assert_int_equal(store_audit_begin(world.audit, &record, &id, &world.why), PROBER_OK);
    return id;
}

static void note(void *context, const struct store_audit_row *row)
{
    size_t len = strlen(world.seen);

    assert_string_equal(context, "context");
    assert_int_equal(row->record.at_real_ns, 1700000000123456789);
    snprintf(world.seen + len, sizeof(world.seen) - len, "%d:%s %s %s %s %s %d;", (int)row->id,
             row->record.who, row->record.client, row->record.method, row->record.target,
             row->record.body, row->status);
}

static void assert_read(int64_t before, unsigned limit, const char *expected)
{
    static char context[] = "context";

    world.seen[0] = '\0';
    assert_int_equal(store_audit_read(world.audit, before, limit, note, context, &world.why),
                     PROBER_OK);
    assert_string_equal(world.seen, expected);
}

static void a_change_is_there_from_its_beginning(void **state)
{
    int64_t id = given_change("token:a", "{}");

    (void)state;
    assert_read(INT64_MAX, 10, "1:token:a 10.0.0.1 POST /-/reload?x=华 {} 0;");
    assert_int_equal(store_audit_end(world.audit, id, 200, &world.why), PROBER_OK);
    assert_read(INT64_MAX, 10, "1:token:a 10.0.0.1 POST /-/reload?x=华 {} 200;");
}

static void what_is_read_is_bounded_and_the_newest_first(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        given_change("w", i == 0 ? "a" : i == 1 ? "b" : "c");
    assert_read(INT64_MAX, 2,
                "3:w 10.0.0.1 POST /-/reload?x=华 c 0;2:w 10.0.0.1 POST /-/reload?x=华 b 0;");
    assert_read(2, 2, "1:w 10.0.0.1 POST /-/reload?x=华 a 0;");
    assert_read(1, 2, "");
}

static void it_outlives_who_wrote_it(void **state)
{
    (void)state;
    given_change("w", "a");
    store_audit_close(world.audit);
    world.audit = NULL;
    assert_int_equal(store_audit_open(&world.audit, world.dir, &world.why), PROBER_OK);
    assert_int_equal(given_change("w", "b"), 2);
    assert_read(INT64_MAX, 1, "2:w 10.0.0.1 POST /-/reload?x=华 b 0;");
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
    char path[128];
    sqlite3 *db;

    (void)state;
    given_change("w", "a");
    snprintf(path, sizeof(path), "%s/" STORE_FILE, world.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO audit VALUES (100000,0,'','','','','',0)", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(given_change("w", "b"), STORE_AUDIT_KEPT + 1);
    assert_read(STORE_AUDIT_KEPT, 9, "");
}

static void what_cannot_be_written_is_told(void **state)
{
    const struct store_audit_record record = {1, "w", "c", "POST", "/", ""};
    char path[128];
    int64_t id;
    sqlite3 *db;

    (void)state;
    snprintf(path, sizeof(path), "%s/" STORE_FILE, world.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(store_audit_begin(world.audit, &record, &id, &world.why), PROBER_ERR_IO);
    assert_non_null(strstr(world.why.text, "cannot write to the record of changes"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(given_change("w", ""), 1);
}

static void without_a_store_there_is_none(void **state)
{
    struct store_audit *none = NULL;

    (void)state;
    assert_int_equal(store_audit_open(&none, "/nowhere", &world.why), PROBER_ERR_IO);
    assert_null(none);
    store_audit_close(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_there_from_its_beginning),
        TEST(what_is_read_is_bounded_and_the_newest_first),
        TEST(it_outlives_who_wrote_it),
        TEST(the_oldest_go_when_there_are_too_many),
        TEST(what_cannot_be_written_is_told),
        TEST(without_a_store_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
