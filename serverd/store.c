#include "serverd/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/queue.h"

#define QUEUE_CAPACITY 16384
#define BATCH_MAX 256
#define RETRY_NS CLOCK_NS_PER_S
#define BUSY_MS 1000
#define OUTAGE_GAP_NS INT64_C(600000000000) /* shorter gaps do not part a record */
#define TRUSTED "joined"
#define PATH_ROOM 4096
#define ADDRESSES_TEXT_MAX (REGISTRY_ADDRESSES_MAX * (PROBER_ADDR_TEXT_MAX + 1))

/* Schema changes, one after another; PRAGMA user_version counts those that were made. */
static const char *const migrations[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE agents (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " region TEXT NOT NULL, version TEXT NOT NULL, os TEXT NOT NULL, architecture TEXT NOT NULL,"
    " trust TEXT NOT NULL, addresses TEXT NOT NULL, probe_interval_ns INTEGER NOT NULL,"
    " first_seen_ns INTEGER NOT NULL, last_seen_ns INTEGER NOT NULL, alive INTEGER NOT NULL);"
    "CREATE TABLE outages (id INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL,"
    " from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, sent INTEGER NOT NULL,"
    " received INTEGER NOT NULL, lost INTEGER NOT NULL, unknown INTEGER NOT NULL,"
    " unsent INTEGER NOT NULL);"
    "CREATE INDEX outages_by_pair ON outages (source, target, to_ns);",
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL,"
    " who TEXT NOT NULL, client TEXT NOT NULL, method TEXT NOT NULL, target TEXT NOT NULL,"
    " body TEXT NOT NULL, status INTEGER);",
    "CREATE TABLE join_tokens (number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE,"
    " region TEXT NOT NULL, made_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    " uses INTEGER NOT NULL);"
    "CREATE TABLE join_spends (hash BLOB NOT NULL, number INTEGER NOT NULL, key BLOB NOT NULL,"
    " id BLOB NOT NULL, region TEXT NOT NULL, PRIMARY KEY (hash, number)) WITHOUT ROWID;"
    "CREATE TABLE members (key BLOB PRIMARY KEY, id BLOB NOT NULL, region TEXT NOT NULL,"
    " joined_s INTEGER NOT NULL, expires_s INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX members_by_id ON members (id);"
    "CREATE TABLE revocations (id BLOB PRIMARY KEY, at_s INTEGER NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE joined (kind INTEGER NOT NULL, key TEXT NOT NULL, region TEXT NOT NULL,"
    " PRIMARY KEY (kind, key)) WITHOUT ROWID;",
    "CREATE TABLE tasks (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " region TEXT NOT NULL, expr TEXT NOT NULL, line TEXT NOT NULL, who TEXT NOT NULL,"
    " client TEXT NOT NULL, made_ns INTEGER NOT NULL, timeout_ns INTEGER NOT NULL,"
    " cancelled_by TEXT NOT NULL, cancelled_ns INTEGER NOT NULL);"
    "CREATE TABLE task_rows (task INTEGER NOT NULL, agent BLOB NOT NULL,"
    " agent_number INTEGER NOT NULL, region TEXT NOT NULL, address TEXT NOT NULL,"
    " state INTEGER NOT NULL, told INTEGER NOT NULL, filed INTEGER NOT NULL, how INTEGER NOT NULL,"
    " value INTEGER NOT NULL, left_behind INTEGER NOT NULL, duration_ns INTEGER NOT NULL,"
    " out_have INTEGER NOT NULL, out_kept INTEGER NOT NULL, out_total INTEGER NOT NULL,"
    " err_have INTEGER NOT NULL, err_kept INTEGER NOT NULL, err_total INTEGER NOT NULL,"
    " text TEXT NOT NULL, notes TEXT NOT NULL, queued_ns INTEGER NOT NULL,"
    " sent_ns INTEGER NOT NULL, began_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,"
    " PRIMARY KEY (task, agent)) WITHOUT ROWID;"
    "CREATE TABLE task_outputs (task INTEGER NOT NULL, agent BLOB NOT NULL,"
    " stream INTEGER NOT NULL, first INTEGER NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (task, agent, stream, first));",
};

enum statement {
    SAVE_AGENT,
    FORGET_AGENT,
    SAVE_JOINED,
    RAISE_NUMBER,
    EXTEND_OUTAGE,
    ADD_OUTAGE,
    PRUNE_OUTAGES,
    STATEMENT_COUNT
};
static const char *const statement_texts[STATEMENT_COUNT] = {
    [SAVE_AGENT] = "INSERT OR REPLACE INTO agents VALUES (?1,?2,?3,?4,?5,?6,?12,?7,?8,?9,?10,?11)",
    [SAVE_JOINED] = "INSERT OR REPLACE INTO joined VALUES (?,?,?)",
    [FORGET_AGENT] = "DELETE FROM agents WHERE id = ?",
    [RAISE_NUMBER] = "UPDATE meta SET value = ?1 WHERE key = 'next_number' AND value < ?1",
    [EXTEND_OUTAGE] = "UPDATE outages SET from_ns = min(from_ns, ?3), to_ns = max(to_ns, ?4),"
                      " sent = sent + ?5, received = received + ?6, lost = lost + ?7,"
                      " unknown = unknown + ?8, unsent = unsent + ?9 WHERE id ="
                      " (SELECT id FROM outages WHERE source = ?1 AND target = ?2 AND"
                      " to_ns >= ?3 - ?10 AND from_ns <= ?4 + ?10 ORDER BY id DESC LIMIT 1)",
    [ADD_OUTAGE] = "INSERT INTO outages VALUES (NULL,?,?,?,?,?,?,?,?,?)",
    [PRUNE_OUTAGES] = "DELETE FROM outages WHERE id <= (SELECT max(id) FROM outages) - 100000",
};

struct backfill {
    char *source, *target;
    int64_t from_ns, to_ns;
    struct icmp_totals totals;
};

struct joined_texts {
    enum joined_kind kind;
    char *key, *region;
};

enum command_kind { COMMAND_SAVE, COMMAND_FORGET, COMMAND_JOINED, COMMAND_BACKFILL };

struct command {
    enum command_kind kind;
    union {
        struct registry_agent agent; /* with texts of its own, without a session */
        struct prober_id id;
        struct joined_texts joined;
        struct backfill backfill;
    } as;
};

struct store {
    char *dir;
    int lock_fd;
    sqlite3 *db; /* NULL: keeps nothing. main()'s until store_start, then the thread's */
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct prober_id server_id;
    uint32_t next_number;     /* at the start */
    uint32_t reserved_number; /* owned by the thread */
    bool is_full;             /* the disk was, at the start */
    struct queue *queue;
    pthread_t thread;
    bool started;
    atomic_bool closing, works;
    atomic_uint_fast64_t writes, refused, errors, bad_rows;
};

/* ---- opening ---- */

static enum prober_error fail_db(const struct store *s, struct prober_failure *why,
                                 const char *doing)
{
    return prober_fail(why, PROBER_ERR_IO,
                       "cannot %s the store in %.200s: %s; going on without it: agents will be "
                       "forgotten at the next restart",
                       doing, s->dir, s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

static bool run(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The first column of the first row as a number, or `fallback`. */
static int64_t ask_number(struct store *s, const char *sql, int64_t fallback)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = fallback;

    if (sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static bool is_sound(struct store *s)
{
    sqlite3_stmt *statement = NULL;
    bool sound = false;

    if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        sound = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    sqlite3_finalize(statement);
    return sound;
}

static enum prober_error migrate(struct store *s, struct prober_failure *why)
{
    int64_t version = ask_number(s, "PRAGMA user_version", -1);
    char text[64];

    if (version < 0)
        return fail_db(s, why, "read");
    if (version > (int64_t)ARRAY_LEN(migrations))
        return prober_fail(why, PROBER_ERR_VERSION,
                           "the store in %.200s is of a later release (schema %lld, this one knows "
                           "%zu); going on without it",
                           s->dir, (long long)version, ARRAY_LEN(migrations));
    for (; version < (int64_t)ARRAY_LEN(migrations); version++) {
        snprintf(text, sizeof(text), "PRAGMA user_version = %lld", (long long)version + 1);
        if (!run(s, "BEGIN IMMEDIATE") || !run(s, migrations[version]) || !run(s, text) ||
            !run(s, "COMMIT"))
            return fail_db(s, why, "set up");
    }
    return PROBER_OK;
}

static bool read_server_id(struct store *s)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;

    if (sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE key = 'server_id'", -1, &statement,
                           NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_bytes(statement, 0) == PROBER_ID_LEN) {
        memcpy(s->server_id.bytes, sqlite3_column_blob(statement, 0), PROBER_ID_LEN);
        found = true;
    }
    sqlite3_finalize(statement);
    return found;
}

static bool write_meta(struct store *s, const char *key, const void *blob, int64_t number)
{
    sqlite3_stmt *statement = NULL;
    bool done = false;

    if (sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", -1, &statement,
                           NULL) == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        if (blob)
            sqlite3_bind_blob(statement, 2, blob, PROBER_ID_LEN, SQLITE_STATIC);
        else
            sqlite3_bind_int64(statement, 2, number);
        done = sqlite3_step(statement) == SQLITE_DONE;
    }
    sqlite3_finalize(statement);
    return done;
}

/* Who we are, and from where on agents' numbers were never given away. */
static enum prober_error set_identity(struct store *s, struct prober_failure *why)
{
    int64_t next = ask_number(s, "SELECT value FROM meta WHERE key = 'next_number'", 1);
    int64_t most = ask_number(s, "SELECT max(number) FROM agents", 0);

    if (!read_server_id(s) && !write_meta(s, "server_id", s->server_id.bytes, 0))
        return fail_db(s, why, "write to");
    if (next <= most)
        next = most + 1;
    if (next < 1 || next > (int64_t)UINT32_MAX - STORE_NUMBERS)
        next = 1;
    s->next_number = (uint32_t)next;
    s->reserved_number = s->next_number + STORE_NUMBERS;
    if (write_meta(s, "next_number", NULL, s->reserved_number))
        return PROBER_OK;
    if (sqlite3_errcode(s->db) != SQLITE_FULL)
        return fail_db(s, why, "write to");
    /* Who joined and who was revoked can be read all the same. */
    log_error("the disk is full: what the server learns is kept in memory until it has room",
              LOG_S("dir", s->dir));
    s->reserved_number = STORE_NUMBERS / 2; /* none: the first agent that is saved reserves */
    s->is_full = true;
    return PROBER_OK;
}

static enum prober_error open_db(struct store *s, struct prober_failure *why)
{
    char path[PATH_ROOM];
    int fd, keep_log = 1;
    enum prober_error err;

    snprintf(path, sizeof(path), "%s/" STORE_FILE, s->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return prober_fail(why, errno == EACCES ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                           "cannot open %.200s: %s; going on without a store", path,
                           strerror(errno));
    close(fd);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL))
        return fail_db(s, why, "open");
    sqlite3_busy_timeout(s->db, BUSY_MS);
    if (!run(s, "PRAGMA journal_mode = WAL") || !run(s, "PRAGMA synchronous = NORMAL"))
        return fail_db(s, why, "open");
    /* The files that SQLite needs beside stay when we close, the log emptied: so the store can be
     * read, and tells who was revoked, also when the disk has become full since. */
    if (!run(s, "PRAGMA journal_size_limit = 4194304") ||
        sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log))
        return fail_db(s, why, "open");
    if (!is_sound(s))
        return prober_fail(why, PROBER_ERR_IO,
                           "%.200s is damaged; going on without a store. Restore the file, or move "
                           "it away to begin with an empty one, and restart",
                           path);
    err = migrate(s, why);
    if (!err)
        err = set_identity(s, why);
    for (int i = 0; !err && i < STATEMENT_COUNT; i++)
        if (statement_texts[i] &&
            sqlite3_prepare_v2(s->db, statement_texts[i], -1, &s->statements[i], NULL))
            err = fail_db(s, why, "read");
    return err;
}

static void close_db(struct store *s)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
}

static enum prober_error take_lock(struct store *s, struct prober_failure *why)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof(path), "%s/lock", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return prober_fail(why, errno == EACCES ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                           "cannot write to %.200s: %s; going on without a store: give "
                           "-server.state.dir DIR",
                           s->dir, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
        return prober_fail(why, PROBER_ERR_STATE,
                           "another server uses the state directory %.200s: stop it, or give "
                           "-server.state.dir DIR",
                           s->dir);
    return PROBER_OK;
}

static enum prober_error make_dir(const struct store *s, struct prober_failure *why)
{
    struct prober_failure cause;
    enum prober_error err = file_make_dir(s->dir, 0700, &cause);

    if (err)
        return prober_fail(why, err,
                           "%.300s; going on without a store: agents will be forgotten at the next "
                           "restart. Give -server.state.dir DIR",
                           cause.text);
    return PROBER_OK;
}

enum prober_error store_open(struct store **out, const char *dir, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct store *s = calloc(1, sizeof(*s));

    why->code = PROBER_OK;
    if (!s)
        goto out;
    s->lock_fd = -1;
    s->next_number = 1;
    s->server_id = prober_id_random();
    s->dir = strdup(dir);
    if (!s->dir || queue_create(&s->queue, QUEUE_CAPACITY))
        goto out;
    err = make_dir(s, why);
    if (!err)
        err = take_lock(s, why);
    if (!err)
        err = open_db(s, why);
    if (err == PROBER_ERR_STATE)
        goto out;
    if (err)
        close_db(s);
    why->code = err;
    atomic_init(&s->works, err == PROBER_OK && !s->is_full);
    *out = s;
    s = NULL;
    err = PROBER_OK;
out:
    store_close(s);
    return err;
}

struct prober_id store_server_id(const struct store *store)
{
    return store->server_id;
}

uint32_t store_next_number(const struct store *store)
{
    return store->next_number;
}

/* ---- reading ---- */

static char *column_text(sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);

    /* The registry copies what it loads: the row's own bytes will do. */
    return (char *)(uintptr_t)(text ? (const char *)text : "");
}

static uint64_t column_u64(sqlite3_stmt *row, int column)
{
    int64_t value = sqlite3_column_int64(row, column);

    return value > 0 ? (uint64_t)value : 0;
}

static bool read_addresses(struct registry_agent *a, const char *text)
{
    char copy[ADDRESSES_TEXT_MAX], *at = copy, *word;

    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    while ((word = strsep(&at, " ")))
        if (a->address_count == REGISTRY_ADDRESSES_MAX ||
            prober_addr_parse(word, &a->addresses[a->address_count++]))
            return false;
    return a->address_count > 0;
}

static bool read_agent(sqlite3_stmt *row, struct registry_agent *a)
{
    int64_t number = sqlite3_column_int64(row, 0);

    if (number < 1 || number > UINT32_MAX || sqlite3_column_bytes(row, 1) != PROBER_ID_LEN)
        return false;
    a->number = (uint32_t)number;
    memcpy(a->id.bytes, sqlite3_column_blob(row, 1), PROBER_ID_LEN);
    a->region = column_text(row, 2);
    a->version = column_text(row, 3);
    a->os = column_text(row, 4);
    a->architecture = column_text(row, 5);
    a->probe_interval_ns = column_u64(row, 7);
    a->first_seen_real_ns = column_u64(row, 8);
    a->last_seen_real_ns = column_u64(row, 9);
    a->alive = sqlite3_column_int(row, 10) != 0;
    a->trusted = strcmp(column_text(row, 11), TRUSTED) == 0;
    return wire_name_is_valid(a->region, WIRE_REGION_MAX) && read_addresses(a, column_text(row, 6));
}

void store_load_agents(struct store *store,
                       void (*each)(void *context, const struct registry_agent *agent),
                       void *context)
{
    sqlite3_stmt *row = NULL;

    if (!store->db || sqlite3_prepare_v2(store->db,
                                         "SELECT number, id, region, version, os, architecture,"
                                         " addresses, probe_interval_ns, first_seen_ns,"
                                         " last_seen_ns, alive, trust FROM agents ORDER BY number",
                                         -1, &row, NULL) != SQLITE_OK)
        return;
    while (sqlite3_step(row) == SQLITE_ROW) {
        struct registry_agent agent = {.number = 0};

        if (read_agent(row, &agent))
            each(context, &agent);
        else
            atomic_fetch_add(&store->bad_rows, 1);
    }
    sqlite3_finalize(row);
}

void store_load_joined(struct store *store,
                       void (*each)(void *context, const struct joined_row *row), void *context)
{
    sqlite3_stmt *row = NULL;

    if (!store->db || sqlite3_prepare_v2(store->db, "SELECT kind, key, region FROM joined", -1,
                                         &row, NULL) != SQLITE_OK)
        return;
    while (sqlite3_step(row) == SQLITE_ROW) {
        const struct joined_row found = {.kind = (enum joined_kind)sqlite3_column_int(row, 0),
                                         .key = column_text(row, 1),
                                         .region = column_text(row, 2)};

        if ((unsigned)found.kind < JOINED_KIND_COUNT &&
            wire_name_is_valid(found.region, WIRE_REGION_MAX))
            each(context, &found);
        else
            atomic_fetch_add(&store->bad_rows, 1);
    }
    sqlite3_finalize(row);
}

/* ---- writing ---- */

static void command_free(struct command *c)
{
    if (c->kind == COMMAND_SAVE) {
        free(c->as.agent.region);
        free(c->as.agent.version);
        free(c->as.agent.os);
        free(c->as.agent.architecture);
    } else if (c->kind == COMMAND_JOINED) {
        free(c->as.joined.key);
        free(c->as.joined.region);
    } else if (c->kind == COMMAND_BACKFILL) {
        free(c->as.backfill.source);
        free(c->as.backfill.target);
    }
    free(c);
}

static int step(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static int raise_number(struct store *s, uint32_t number)
{
    sqlite3_stmt *raise = s->statements[RAISE_NUMBER];
    int rc;

    if (number < s->reserved_number - STORE_NUMBERS / 2)
        return SQLITE_OK;
    sqlite3_bind_int64(raise, 1, (int64_t)number + STORE_NUMBERS);
    rc = step(raise);
    if (rc == SQLITE_OK)
        s->reserved_number = number + STORE_NUMBERS;
    return rc;
}

static int save_agent(struct store *s, const struct command *c)
{
    const struct registry_agent *a = &c->as.agent;
    sqlite3_stmt *save = s->statements[SAVE_AGENT];
    char addresses[ADDRESSES_TEXT_MAX] = "", text[PROBER_ADDR_TEXT_MAX];
    size_t len = 0;
    int rc;

    for (size_t i = 0; i < a->address_count; i++)
        len += (size_t)snprintf(addresses + len, sizeof(addresses) - len, "%s%s", i ? " " : "",
                                prober_addr_format(&a->addresses[i], text));
    sqlite3_bind_int64(save, 1, a->number);
    sqlite3_bind_blob(save, 2, a->id.bytes, PROBER_ID_LEN, SQLITE_STATIC);
    bind_text(save, 3, a->region);
    bind_text(save, 4, a->version);
    bind_text(save, 5, a->os);
    bind_text(save, 6, a->architecture);
    bind_text(save, 7, addresses);
    sqlite3_bind_int64(save, 8, (int64_t)a->probe_interval_ns);
    sqlite3_bind_int64(save, 9, (int64_t)a->first_seen_real_ns);
    sqlite3_bind_int64(save, 10, (int64_t)a->last_seen_real_ns);
    sqlite3_bind_int(save, 11, a->alive);
    bind_text(save, 12, a->trusted ? TRUSTED : "plain");
    rc = step(save);
    return rc == SQLITE_OK ? raise_number(s, a->number) : rc;
}

static int forget_agent(struct store *s, const struct command *c)
{
    sqlite3_stmt *forget = s->statements[FORGET_AGENT];

    sqlite3_bind_blob(forget, 1, c->as.id.bytes, PROBER_ID_LEN, SQLITE_STATIC);
    return step(forget);
}

static int save_joined(struct store *s, const struct command *c)
{
    sqlite3_stmt *save = s->statements[SAVE_JOINED];

    sqlite3_bind_int(save, 1, c->as.joined.kind);
    bind_text(save, 2, c->as.joined.key);
    bind_text(save, 3, c->as.joined.region);
    return step(save);
}

static void bind_backfill(sqlite3_stmt *statement, const struct backfill *b)
{
    bind_text(statement, 1, b->source);
    bind_text(statement, 2, b->target);
    sqlite3_bind_int64(statement, 3, b->from_ns);
    sqlite3_bind_int64(statement, 4, b->to_ns);
    sqlite3_bind_int64(statement, 5, (int64_t)b->totals.sent);
    sqlite3_bind_int64(statement, 6, (int64_t)b->totals.received);
    sqlite3_bind_int64(statement, 7, (int64_t)icmp_totals_lost(&b->totals));
    sqlite3_bind_int64(statement, 8, (int64_t)b->totals.unknown);
    sqlite3_bind_int64(statement, 9, (int64_t)icmp_totals_unsent(&b->totals));
}

static int add_backfill(struct store *s, const struct command *c)
{
    sqlite3_stmt *extend = s->statements[EXTEND_OUTAGE], *add = s->statements[ADD_OUTAGE];
    int rc;

    bind_backfill(extend, &c->as.backfill);
    sqlite3_bind_int64(extend, 10, OUTAGE_GAP_NS);
    rc = step(extend);
    if (rc != SQLITE_OK || sqlite3_changes(s->db))
        return rc;
    bind_backfill(add, &c->as.backfill);
    rc = step(add);
    return rc == SQLITE_OK ? step(s->statements[PRUNE_OUTAGES]) : rc;
}

static int (*const executors[])(struct store *, const struct command *) = {
    [COMMAND_SAVE] = save_agent,
    [COMMAND_FORGET] = forget_agent,
    [COMMAND_JOINED] = save_joined,
    [COMMAND_BACKFILL] = add_backfill,
};

/* All of the batch in one transaction, or nothing of it. */
static bool execute(struct store *s, struct command **batch, size_t count)
{
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (size_t i = 0; rc == SQLITE_OK && i < count; i++)
        rc = executors[batch[i]->kind](s, batch[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        if (!atomic_exchange(&s->works, true))
            log_warn("the store works again", LOG_S("dir", s->dir));
        atomic_fetch_add(&s->writes, count);
        return true;
    }
    if (atomic_exchange(&s->works, false))
        log_error("cannot write to the store: going on from memory, and trying again",
                  LOG_S("dir", s->dir), LOG_S("error", sqlite3_errmsg(s->db)));
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    atomic_fetch_add(&s->errors, 1);
    return false;
}

static void wait_before_retry(struct store *s)
{
    uint64_t until = clock_monotonic_ns() + RETRY_NS;

    while (!atomic_load(&s->closing) && clock_monotonic_ns() < until)
        usleep(50 * 1000);
}

static void *store_main(void *context)
{
    struct store *s = context;
    void *items[BATCH_MAX];
    size_t count;
    bool done = true; /* false: closing, and there is no use in trying the rest */

    while (done && (count = queue_pop(s->queue, items, BATCH_MAX, UINT64_MAX)) > 0) {
        struct command *batch[BATCH_MAX];

        for (size_t i = 0; i < count; i++)
            batch[i] = items[i];
        while (!(done = execute(s, batch, count)) && !atomic_load(&s->closing))
            wait_before_retry(s);
        for (size_t i = 0; i < count; i++)
            command_free(batch[i]);
    }
    return NULL;
}

enum prober_error store_start(struct store *store)
{
    if (!store->db)
        return PROBER_OK;
    if (pthread_create(&store->thread, NULL, store_main, store))
        return PROBER_ERR_NOMEM;
    store->started = true;
    return PROBER_OK;
}

static void submit(struct store *s, struct command *c, bool complete)
{
    if (complete && s->db && queue_push(s->queue, c) == PROBER_OK)
        return;
    atomic_fetch_add(&s->refused, 1);
    if (c)
        command_free(c);
}

void store_save_agent(struct store *store, const struct registry_agent *agent)
{
    struct command *c = calloc(1, sizeof(*c));
    bool complete = false;

    if (c) {
        c->kind = COMMAND_SAVE;
        c->as.agent = *agent;
        c->as.agent.session = NULL;
        c->as.agent.region = strdup(agent->region);
        c->as.agent.version = strdup(agent->version);
        c->as.agent.os = strdup(agent->os);
        c->as.agent.architecture = strdup(agent->architecture);
        complete = c->as.agent.region && c->as.agent.version && c->as.agent.os &&
                   c->as.agent.architecture;
    }
    submit(store, c, complete);
}

void store_save_joined(struct store *store, const struct joined_row *row)
{
    struct command *c = calloc(1, sizeof(*c));
    bool complete = false;

    if (c) {
        c->kind = COMMAND_JOINED;
        c->as.joined = (struct joined_texts){row->kind, strdup(row->key), strdup(row->region)};
        complete = c->as.joined.key && c->as.joined.region;
    }
    submit(store, c, complete);
}

void store_forget_agent(struct store *store, const struct prober_id *id)
{
    struct command *c = calloc(1, sizeof(*c));

    if (c) {
        c->kind = COMMAND_FORGET;
        c->as.id = *id;
    }
    submit(store, c, c != NULL);
}

void store_add_backfill(struct store *store, const char *source, const char *target,
                        uint64_t from_real_ns, uint64_t to_real_ns,
                        const struct icmp_totals *totals)
{
    struct command *c = calloc(1, sizeof(*c));
    bool complete = false;

    if (c) {
        c->kind = COMMAND_BACKFILL;
        c->as.backfill = (struct backfill){strdup(source), strdup(target), (int64_t)from_real_ns,
                                           (int64_t)to_real_ns, *totals};
        complete = c->as.backfill.source && c->as.backfill.target;
    }
    submit(store, c, complete);
}

void store_counts(const struct store *store, struct store_counts *out)
{
    out->queue_depth = queue_depth(store->queue);
    out->writes = atomic_load(&store->writes);
    out->refused = atomic_load(&store->refused);
    out->errors = atomic_load(&store->errors);
    /* After the errors: whoever sees an error must not see that all is well. */
    out->works = atomic_load(&store->works);
    out->bad_rows = atomic_load(&store->bad_rows);
}

void store_close(struct store *store)
{
    void *item;

    if (!store)
        return;
    if (store->queue)
        queue_close(store->queue);
    atomic_store(&store->closing, true);
    if (store->started)
        pthread_join(store->thread, NULL);
    while (store->queue && queue_pop(store->queue, &item, 1, 0) == 1)
        command_free(item);
    close_db(store);
    queue_destroy(store->queue);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->dir);
    free(store);
}
