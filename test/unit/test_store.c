#include "test/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The tests look into the file behind the store's back. */
#include <sqlite3.h>

#include "common/array.h"
#include "serverd/store.h"

static char base[64], dir[128], db_path[160];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/test_store.XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(dir, sizeof(dir), "%s/state/server", base);
    snprintf(db_path, sizeof(db_path), "%s/server.db", dir);
    return 0;
}

static int remove_base(void **state)
{
    static const char *const names[] = {"server.db", "server.db-wal", "server.db-shm", "lock"};
    char path[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    snprintf(path, sizeof(path), "%s/state", base);
    rmdir(path);
    unlink(path);
    return rmdir(base);
}

static struct store *given_store(void)
{
    struct store *s = NULL;
    struct prober_failure why;

    assert_int_equal(store_open(&s, dir, &why), PROBER_OK);
    if (why.code)
        fail_msg("%s", why.text);
    assert_int_equal(store_start(s), PROBER_OK);
    return s;
}

static struct registry_agent given_agent(uint32_t number, bool alive)
{
    static char region[] = "华东1", version[] = "1.0.0", os[] = "linux", architecture[] = "x86_64";
    struct registry_agent a = {
        .number = number,
        .region = region,
        .version = version,
        .os = os,
        .architecture = architecture,
        .address_count = 2,
        .probe_interval_ns = 15000000000,
        .first_seen_real_ns = UINT64_C(1700000000000000001),
        .last_seen_real_ns = UINT64_C(1700000000000000002),
        .alive = alive,
    };

    a.id.bytes[0] = 1;
    a.id.bytes[15] = (uint8_t)number;
    assert_int_equal(prober_addr_parse("10.0.0.1", &a.addresses[0]), PROBER_OK);
    assert_int_equal(prober_addr_parse("fd00::1", &a.addresses[1]), PROBER_OK);
    return a;
}

struct loaded {
    size_t count;
    struct registry_agent last;
    char region[64];
};

static void note(void *context, const struct registry_agent *agent)
{
    struct loaded *l = context;

    l->count++;
    l->last = *agent;
    snprintf(l->region, sizeof(l->region), "%s", agent->region);
}

static struct loaded load(struct store *s)
{
    struct loaded l = {.count = 0};

    store_load_agents(s, note, &l);
    return l;
}

static int64_t ask(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t value;

    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static void tell(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void agents_survive_a_restart(void **state)
{
    struct store *s = given_store();
    struct registry_agent a = given_agent(3, true), gone = given_agent(4, false);
    struct prober_id server = store_server_id(s), again;
    struct loaded l;

    (void)state;
    store_save_agent(s, &gone);
    store_save_agent(s, &a);
    a.alive = false;
    store_save_agent(s, &a);
    store_forget_agent(s, &gone.id);
    store_close(s);
    s = given_store();
    l = load(s);
    again = store_server_id(s);
    assert_true(prober_id_equal(&server, &again));
    assert_int_equal(l.count, 1);
    assert_int_equal(l.last.number, 3);
    assert_true(prober_id_equal(&l.last.id, &a.id));
    assert_string_equal(l.region, "华东1");
    assert_false(l.last.alive);
    assert_false(l.last.trusted);
    assert_int_equal(l.last.address_count, 2);
    assert_true(prober_addr_equal(&l.last.addresses[1], &a.addresses[1]));
    assert_int_equal(l.last.first_seen_real_ns, a.first_seen_real_ns);
    assert_int_equal(l.last.last_seen_real_ns, a.last_seen_real_ns);
    store_close(s);
}

static void note_joined(void *context, const struct joined_row *row)
{
    struct strbuf *text = context;

    strbuf_printf(text, "%d %s %s;", (int)row->kind, row->key, row->region);
}

static void what_joined_survives_a_restart_and_who_it_was(void **state)
{
    struct store *s = given_store();
    struct registry_agent a = given_agent(3, true);
    struct strbuf text = STRBUF_INIT;

    (void)state;
    a.trusted = true;
    store_save_agent(s, &a);
    store_save_joined(s, &(struct joined_row){JOINED_REGION, "欧洲", "欧洲"});
    store_save_joined(s, &(struct joined_row){JOINED_ADDRESS, "10.0.0.1", "us"});
    store_save_joined(s, &(struct joined_row){JOINED_ADDRESS, "10.0.0.1", "欧洲"});
    store_close(s);
    s = given_store();
    assert_true(load(s).last.trusted);
    store_load_joined(s, note_joined, &text);
    assert_string_equal(text.bytes, "1 欧洲 欧洲;2 10.0.0.1 欧洲;");
    strbuf_free(&text);
    store_close(s);
}

static void on_a_full_disk_what_was_kept_is_still_known(void **state)
{
    static const char *const fill[] = {"a", "b"};
    char mount_point[96], path[160];
    struct store *s;
    struct registry_agent a = given_agent(3, true);
    struct strbuf text = STRBUF_INIT;
    struct store_counts counts;
    struct prober_failure why;
    char block[4096] = {0};

    (void)state;
    snprintf(mount_point, sizeof(mount_point), "%s/full", base);
    assert_int_equal(mkdir(mount_point, 0700), 0);
    if (mount("tmpfs", mount_point, "tmpfs", 0, "size=1m")) {
        rmdir(mount_point);
        skip(); /* not root */
    }
    snprintf(dir, sizeof(dir), "%s/s", mount_point);
    s = given_store();
    store_save_agent(s, &a);
    store_save_joined(s, &(struct joined_row){JOINED_REGION, "eu", "eu"});
    store_close(s);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        int fd;

        snprintf(path, sizeof(path), "%s/%s", mount_point, fill[i]);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        while (fd >= 0 && write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
            ;
        close(fd);
    }
    assert_int_equal(store_open(&s, dir, &why), PROBER_OK);
    assert_int_equal(why.code, PROBER_OK);
    store_counts(s, &counts);
    assert_false(counts.works);
    store_load_joined(s, note_joined, &text);
    assert_string_equal(text.bytes, "1 eu eu;");
    assert_int_equal(load(s).count, 1);
    strbuf_free(&text);
    /* With room again everything is as ever. */
    snprintf(path, sizeof(path), "%s/a", mount_point);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store_start(s), PROBER_OK);
    a.number = 4;
    a.id.bytes[15] = 4;
    store_save_agent(s, &a);
    store_close(s);
    s = given_store();
    assert_int_equal(load(s).count, 2);
    assert_true(store_next_number(s) > 4 + STORE_NUMBERS / 2);
    store_close(s);
    assert_int_equal(umount(mount_point), 0);
    assert_int_equal(rmdir(mount_point), 0);
}

static void no_number_is_given_twice_even_after_a_kill(void **state)
{
    struct store *s = given_store();
    struct registry_agent a;
    uint32_t next;

    (void)state;
    assert_int_equal(store_next_number(s), 1);
    store_close(s);
    s = given_store();
    assert_true(store_next_number(s) > STORE_NUMBERS);
    a = given_agent(store_next_number(s) + STORE_NUMBERS - 1, true);
    store_save_agent(s, &a);
    store_close(s);
    s = given_store();
    next = store_next_number(s);
    assert_true(next > a.number + STORE_NUMBERS / 2);
    store_close(s);
}

static void nobody_else_may_read_the_files(void **state)
{
    struct stat st;
    struct store *s = given_store();

    (void)state;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(db_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(s);
}

static void a_second_server_is_kept_out(void **state)
{
    struct store *s = given_store(), *second = NULL;
    struct prober_failure why;

    (void)state;
    assert_int_equal(store_open(&second, dir, &why), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, dir));
    store_close(s);
    store_close(given_store());
}

static void assert_keeps_nothing(const char *says)
{
    struct store *s = NULL;
    struct prober_failure why;
    struct registry_agent a = given_agent(1, true);
    struct store_counts counts;

    assert_int_equal(store_open(&s, dir, &why), PROBER_OK);
    assert_true(why.code != PROBER_OK);
    if (!strstr(why.text, says))
        fail_msg("'%s' does not say '%s'", why.text, says);
    assert_int_equal(store_start(s), PROBER_OK);
    assert_int_equal(load(s).count, 0);
    store_save_agent(s, &a);
    store_forget_agent(s, &a.id);
    store_counts(s, &counts);
    assert_false(counts.works);
    assert_int_equal(counts.refused, 2);
    store_close(s);
}

static void a_damaged_file_is_told_and_left_alone(void **state)
{
    char text[] = "this is no database at all, it is a text that somebody put here by mistake....."
                  "....................................................................";
    int fd;

    (void)state;
    store_close(given_store());
    fd = open(db_path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    close(fd);
    assert_keeps_nothing("not a database");
    fd = open(db_path, O_RDONLY);
    text[0] = '\0';
    assert_int_equal(read(fd, text, sizeof(text)), sizeof(text));
    close(fd);
    assert_int_equal(text[0], 't');
}

static void a_store_of_a_later_release_is_told_and_left_alone(void **state)
{
    (void)state;
    store_close(given_store());
    tell("PRAGMA user_version = 99");
    assert_keeps_nothing("later release");
    assert_int_equal(ask("PRAGMA user_version"), 99);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
    char path[128];
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/state", base);
    fd = open(path, O_WRONLY | O_CREAT, 0600); /* a file stands in the way */
    assert_true(fd >= 0);
    close(fd);
    assert_keeps_nothing("-server.state.dir");
}

static void rows_that_make_no_sense_are_skipped_and_counted(void **state)
{
    struct store *s = given_store();
    struct registry_agent a = given_agent(3, true);
    struct store_counts counts;

    (void)state;
    store_save_agent(s, &a);
    store_close(s);
    tell("INSERT INTO agents SELECT 5, x'00', region, version, os, architecture, trust, addresses,"
         " 1, 1, 1, 1 FROM agents");
    tell("INSERT INTO agents SELECT 6, x'01010101010101010101010101010101', region, version, os,"
         " architecture, trust, 'nonsense', 1, 1, 1, 1 FROM agents LIMIT 1");
    tell("INSERT INTO agents SELECT 7, x'02010101010101010101010101010101', '', version, os,"
         " architecture, trust, addresses, 1, 1, 1, 1 FROM agents LIMIT 1");
    s = given_store();
    assert_int_equal(load(s).count, 1);
    store_counts(s, &counts);
    assert_int_equal(counts.bad_rows, 3);
    store_close(s);
}

static void windows_of_one_outage_make_one_record(void **state)
{
    const struct icmp_totals totals = {
        .sent = 10, .received = 6, .lost_timeout = 2, .lost_unreachable = 1, .unknown = 1,
        .unsent_late = 5};
    const uint64_t minute = UINT64_C(60000000000), start = UINT64_C(1700000000000000000);
    struct store *s = given_store();

    (void)state;
    store_add_backfill(s, "a", "b", start, start + minute, &totals);
    store_add_backfill(s, "a", "b", start + 2 * minute, start + 3 * minute, &totals);
    store_add_backfill(s, "a", "b", start - minute, start, &totals);
    store_add_backfill(s, "a", "c", start, start + minute, &totals);
    store_add_backfill(s, "a", "b", start + 60 * minute, start + 61 * minute, &totals);
    store_close(s);
    assert_int_equal(ask("SELECT count(*) FROM outages"), 3);
    assert_int_equal(ask("SELECT count(*) FROM outages WHERE source = 'a' AND target = 'b'"), 2);
    assert_int_equal(ask("SELECT from_ns FROM outages WHERE id = 1"), (int64_t)(start - minute));
    assert_int_equal(ask("SELECT to_ns FROM outages WHERE id = 1"), (int64_t)(start + 3 * minute));
    assert_int_equal(ask("SELECT sent FROM outages WHERE id = 1"), 30);
    assert_int_equal(ask("SELECT lost FROM outages WHERE id = 1"), 9);
    assert_int_equal(ask("SELECT unsent FROM outages WHERE id = 1"), 15);
}

static void wait_for(struct store *s, bool works)
{
    struct store_counts counts;

    do
        store_counts(s, &counts);
    while (counts.works != works);
}

static void writes_that_fail_are_counted_and_do_not_hold_up_the_end(void **state)
{
    struct store *s = given_store();
    struct registry_agent a = given_agent(3, true);
    struct store_counts counts;

    (void)state;
    tell("DROP TABLE agents"); /* as a disk would that lost it */
    store_save_agent(s, &a);
    wait_for(s, false);
    do
        store_counts(s, &counts);
    while (counts.errors == 0);
    store_close(s);
}

static void after_a_full_disk_nothing_is_lost(void **state)
{
    struct rlimit usual, full = {0};
    struct store *s = given_store();
    struct registry_agent a = given_agent(3, true);
    struct loaded l;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    full.rlim_max = usual.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    store_save_agent(s, &a);
    wait_for(s, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    wait_for(s, true);
    store_close(s);
    s = given_store();
    l = load(s);
    assert_int_equal(l.count, 1);
    store_close(s);
}

static void a_file_that_somebody_else_holds_is_told(void **state)
{
    sqlite3 *db;

    (void)state;
    store_close(given_store());
    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_keeps_nothing("locked");
    sqlite3_close(db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_base, remove_base)
    const struct CMUnitTest tests[] = {
        TEST(agents_survive_a_restart),
        TEST(on_a_full_disk_what_was_kept_is_still_known),
        TEST(what_joined_survives_a_restart_and_who_it_was),
        TEST(no_number_is_given_twice_even_after_a_kill),
        TEST(nobody_else_may_read_the_files),
        TEST(a_second_server_is_kept_out),
        TEST(a_damaged_file_is_told_and_left_alone),
        TEST(a_store_of_a_later_release_is_told_and_left_alone),
        TEST(a_directory_that_cannot_be_made_is_told),
        TEST(rows_that_make_no_sense_are_skipped_and_counted),
        TEST(windows_of_one_outage_make_one_record),
        TEST(after_a_full_disk_nothing_is_lost),
        TEST(a_file_that_somebody_else_holds_is_told),
        TEST(writes_that_fail_are_counted_and_do_not_hold_up_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
