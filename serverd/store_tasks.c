#include "serverd/store_tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "common/array.h"
#include "serverd/store.h"

#define PATH_ROOM 4096
#define BUSY_MS 2000

enum statement {
    ADD_TASK,
    CANCEL_TASK,
    PUT_ROW,
    PUT_OUTPUT,
    REMOVE_OUTPUTS,
    REMOVE_ROWS,
    REMOVE_TASK,
    STATEMENT_COUNT
};
static const char *const statement_texts[STATEMENT_COUNT] = {
    [ADD_TASK] = "INSERT INTO tasks VALUES (NULL,?,?,?,?,?,?,?,?,'',0)",
    [CANCEL_TASK] = "UPDATE tasks SET cancelled_by = ?, cancelled_ns = ? WHERE number = ?",
    [PUT_ROW] = ("INSERT OR REPLACE INTO task_rows VALUES"
                 " (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
    [PUT_OUTPUT] = "INSERT OR REPLACE INTO task_outputs VALUES (?,?,?,?,?)",
    [REMOVE_OUTPUTS] = "DELETE FROM task_outputs WHERE task = ?",
    [REMOVE_ROWS] = "DELETE FROM task_rows WHERE task = ?",
    [REMOVE_TASK] = "DELETE FROM tasks WHERE number = ?",
};

#define READ_TASKS                                                                                 \
    "SELECT number, id, region, expr, line, who, client, made_ns, timeout_ns, cancelled_by,"       \
    " cancelled_ns FROM tasks ORDER BY number"
#define READ_ROWS                                                                                  \
    "SELECT agent, agent_number, region, address, state, told, filed, how, value, left_behind,"    \
    " duration_ns, out_have, out_kept, out_total, err_have, err_kept, err_total, text, notes,"     \
    " queued_ns, sent_ns, began_ns, ended_ns FROM task_rows WHERE task = ?"
#define READ_OUTPUT                                                                                \
    "SELECT first, bytes FROM task_outputs WHERE task = ? AND agent = ? AND stream = ?"            \
    " AND first + length(bytes) > ? ORDER BY first"

struct store_tasks {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    bool failed; /* since store_tasks_begin */
    char error[128];
    pthread_mutex_t read_lock;
    sqlite3 *read_db;          /* guarded by read_lock */
    sqlite3_stmt *read_output; /* guarded by read_lock */
};

/* ---- opening ---- */

static enum prober_error fail(struct prober_failure *why, const char *doing, sqlite3 *db)
{
    return prober_fail(why, PROBER_ERR_IO, "cannot %s the record of tasks: %s", doing,
                       db ? sqlite3_errmsg(db) : "out of memory");
}

static bool open_db(sqlite3 **db, const char *path)
{
    return sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
               SQLITE_OK &&
           sqlite3_busy_timeout(*db, BUSY_MS) == SQLITE_OK &&
           sqlite3_exec(*db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK;
}

enum prober_error store_tasks_open(struct store_tasks **out, const char *dir,
                                   struct prober_failure *why)
{
    char path[PATH_ROOM];
    struct store_tasks *s = calloc(1, sizeof(*s));
    bool good;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    pthread_mutex_init(&s->read_lock, NULL);
    snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
    good = open_db(&s->db, path);
    for (int i = 0; good && i < STATEMENT_COUNT; i++)
        good =
            sqlite3_prepare_v2(s->db, statement_texts[i], -1, &s->statements[i], NULL) == SQLITE_OK;
    if (!good)
        goto out;
    good = open_db(&s->read_db, path) &&
           sqlite3_prepare_v2(s->read_db, READ_OUTPUT, -1, &s->read_output, NULL) == SQLITE_OK;
    if (!good)
        goto out;
    *out = s;
    return PROBER_OK;
out:
    fail(why, "open", s->read_db ? s->read_db : s->db);
    store_tasks_close(s);
    return PROBER_ERR_IO;
}

void store_tasks_close(struct store_tasks *store)
{
    if (!store)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_finalize(store->read_output);
    sqlite3_close(store->db);
    sqlite3_close(store->read_db);
    pthread_mutex_destroy(&store->read_lock);
    free(store);
}

/* ---- loading ---- */

static char *copy_column(sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);

    return strdup(text ? (const char *)text : "");
}

static uint64_t column_u64(sqlite3_stmt *row, int column)
{
    int64_t value = sqlite3_column_int64(row, column);

    return value > 0 ? (uint64_t)value : 0;
}

static struct task_stream read_stream(sqlite3_stmt *at, int column)
{
    struct task_stream s = {column_u64(at, column), column_u64(at, column + 1),
                            column_u64(at, column + 2)};

    if (s.kept > s.have)
        s.kept = s.have;
    return s;
}

static bool read_row(sqlite3_stmt *at, struct task_row *row)
{
    int state = sqlite3_column_int(at, 4);

    *row = (struct task_row){.number = (uint32_t)column_u64(at, 1)};
    if (sqlite3_column_bytes(at, 0) != PROBER_ID_LEN || state < 0 || state >= TASK_STATE_COUNT)
        return false;
    memcpy(row->agent.bytes, sqlite3_column_blob(at, 0), PROBER_ID_LEN);
    row->region = copy_column(at, 2);
    row->address = copy_column(at, 3);
    row->state = (enum task_state)state;
    row->told = sqlite3_column_int(at, 5) != 0;
    row->filed = sqlite3_column_int(at, 6) != 0;
    row->end = sqlite3_column_int(at, 7);
    row->value = sqlite3_column_int(at, 8);
    row->left_behind = (uint32_t)column_u64(at, 9);
    row->duration_ns = column_u64(at, 10);
    row->streams[TASK_STREAM_STDOUT] = read_stream(at, 11);
    row->streams[TASK_STREAM_STDERR] = read_stream(at, 14);
    row->text = copy_column(at, 17);
    row->notes = copy_column(at, 18);
    row->queued_real_ns = column_u64(at, 19);
    row->sent_real_ns = column_u64(at, 20);
    row->began_real_ns = column_u64(at, 21);
    row->ended_real_ns = column_u64(at, 22);
    if (row->region && row->address && row->text && row->notes)
        return true;
    task_row_free(row);
    return false;
}

static bool read_rows(sqlite3_stmt *rows, int64_t number, struct task_view *v)
{
    size_t room = 0;
    uint64_t ended_ns = 0;
    bool open = false;
    int rc;

    sqlite3_bind_int64(rows, 1, number);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        struct task_row *row;

        if (v->row_count == room) {
            room = room ? 2 * room : 16;
            row = reallocarray(v->rows, room, sizeof(*row));
            if (!row)
                break;
            v->rows = row;
        }
        row = &v->rows[v->row_count];
        if (!read_row(rows, row))
            continue;
        v->row_count++;
        open = open || !task_state_is_final(row->state);
        if (row->ended_real_ns > ended_ns)
            ended_ns = row->ended_real_ns;
    }
    sqlite3_reset(rows);
    v->ended_real_ns = open ? 0 : ended_ns ? ended_ns : v->made_real_ns;
    return rc == SQLITE_DONE;
}

static bool read_task(sqlite3_stmt *at, struct task_view *v)
{
    const char *id = (const char *)sqlite3_column_text(at, 1);

    if (!id || !wire_task_id_is_valid(id))
        return false;
    snprintf(v->id, sizeof(v->id), "%s", id);
    v->region = copy_column(at, 2);
    v->expr = copy_column(at, 3);
    v->line = copy_column(at, 4);
    v->who = copy_column(at, 5);
    v->client = copy_column(at, 6);
    v->made_real_ns = column_u64(at, 7);
    v->timeout_ns = column_u64(at, 8);
    v->cancelled_by = copy_column(at, 9);
    v->cancelled_real_ns = column_u64(at, 10);
    return v->region && v->expr && v->line && v->who && v->client && v->cancelled_by &&
           v->timeout_ns > 0 && v->timeout_ns <= WIRE_TASK_DEADLINE_MAX_NS;
}

enum prober_error store_tasks_load(struct store_tasks *store,
                                   void (*take)(void *context, int64_t number,
                                                struct task_view *view),
                                   void *context, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_IO;
    sqlite3_stmt *tasks = NULL, *rows = NULL;
    int rc = SQLITE_ERROR;

    if (sqlite3_prepare_v2(store->db, READ_TASKS, -1, &tasks, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(store->db, READ_ROWS, -1, &rows, NULL) != SQLITE_OK)
        goto out;
    while ((rc = sqlite3_step(tasks)) == SQLITE_ROW) {
        struct task_view view = {.row_count = 0};
        int64_t number = sqlite3_column_int64(tasks, 0);

        if (read_task(tasks, &view)) {
            if (!read_rows(rows, number, &view)) {
                task_view_free(&view);
                goto out;
            }
            take(context, number, &view);
        } else {
            task_view_free(&view);
        }
    }
    if (rc == SQLITE_DONE)
        err = PROBER_OK;
out:
    if (err)
        fail(why, "read", store->db);
    sqlite3_finalize(tasks);
    sqlite3_finalize(rows);
    return err;
}

/* ---- writing ---- */

static void note_failure(struct store_tasks *s)
{
    if (!s->failed)
        snprintf(s->error, sizeof(s->error), "%s", sqlite3_errmsg(s->db));
    s->failed = true;
}

static void run(struct store_tasks *s, const char *sql)
{
    if (!s->failed && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        note_failure(s);
}

static void step(struct store_tasks *s, sqlite3_stmt *statement)
{
    if (!s->failed && sqlite3_step(statement) != SQLITE_DONE)
        note_failure(s);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
    sqlite3_bind_int64(statement, at, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void bind_id(sqlite3_stmt *statement, int at, const struct prober_id *id)
{
    sqlite3_bind_blob(statement, at, id->bytes, PROBER_ID_LEN, SQLITE_STATIC);
}

void store_tasks_begin(struct store_tasks *store)
{
    store->failed = false;
    run(store, "BEGIN IMMEDIATE");
}

int64_t store_tasks_add(struct store_tasks *store, const struct task_view *view)
{
    sqlite3_stmt *add = store->statements[ADD_TASK];
    const char *const texts[] = {view->id,   view->region, view->expr,
                                 view->line, view->who,    view->client};
    int64_t number;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        bind_text(add, (int)i + 1, texts[i]);
    bind_u64(add, 7, view->made_real_ns);
    bind_u64(add, 8, view->timeout_ns);
    step(store, add);
    number = sqlite3_last_insert_rowid(store->db);
    for (size_t i = 0; !store->failed && i < view->row_count; i++)
        store_tasks_put_row(store, number, &view->rows[i]);
    return store->failed ? 0 : number;
}

void store_tasks_cancel(struct store_tasks *store, int64_t number, const char *who,
                        uint64_t at_real_ns)
{
    sqlite3_stmt *cancel = store->statements[CANCEL_TASK];

    bind_text(cancel, 1, who);
    bind_u64(cancel, 2, at_real_ns);
    sqlite3_bind_int64(cancel, 3, number);
    step(store, cancel);
}

void store_tasks_put_row(struct store_tasks *store, int64_t number, const struct task_row *row)
{
    sqlite3_stmt *put = store->statements[PUT_ROW];
    const struct task_stream *out = &row->streams[TASK_STREAM_STDOUT];
    const struct task_stream *err = &row->streams[TASK_STREAM_STDERR];
    const uint64_t numbers[] = {row->left_behind, row->duration_ns, out->have, out->kept,
                                out->total,       err->have,        err->kept, err->total};
    const uint64_t times[] = {row->queued_real_ns, row->sent_real_ns, row->began_real_ns,
                              row->ended_real_ns};

    sqlite3_bind_int64(put, 1, number);
    bind_id(put, 2, &row->agent);
    sqlite3_bind_int64(put, 3, row->number);
    bind_text(put, 4, row->region);
    bind_text(put, 5, row->address);
    sqlite3_bind_int(put, 6, (int)row->state);
    sqlite3_bind_int(put, 7, row->told);
    sqlite3_bind_int(put, 8, row->filed);
    sqlite3_bind_int(put, 9, row->end);
    sqlite3_bind_int(put, 10, row->value);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        bind_u64(put, (int)i + 11, numbers[i]);
    bind_text(put, 19, row->text);
    bind_text(put, 20, row->notes);
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        bind_u64(put, (int)i + 21, times[i]);
    step(store, put);
}

void store_tasks_put_output(struct store_tasks *store, int64_t number,
                            const struct prober_id *agent, const struct task_piece *piece)
{
    sqlite3_stmt *put = store->statements[PUT_OUTPUT];

    sqlite3_bind_int64(put, 1, number);
    bind_id(put, 2, agent);
    sqlite3_bind_int(put, 3, (int)piece->stream);
    bind_u64(put, 4, piece->offset);
    sqlite3_bind_blob64(put, 5, piece->bytes, piece->len, SQLITE_STATIC);
    step(store, put);
}

void store_tasks_remove(struct store_tasks *store, int64_t number)
{
    static const enum statement removals[] = {REMOVE_OUTPUTS, REMOVE_ROWS, REMOVE_TASK};

    for (size_t i = 0; i < ARRAY_LEN(removals); i++) {
        sqlite3_bind_int64(store->statements[removals[i]], 1, number);
        step(store, store->statements[removals[i]]);
    }
}

enum prober_error store_tasks_commit(struct store_tasks *store, struct prober_failure *why)
{
    run(store, "COMMIT");
    if (!store->failed)
        return PROBER_OK;
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return prober_fail(why, PROBER_ERR_IO, "cannot write to the record of tasks: %s", store->error);
}

/* ---- outputs ---- */

enum prober_error store_tasks_read(struct store_tasks *store, int64_t number,
                                   const struct prober_id *agent, enum task_stream_kind stream,
                                   uint64_t from, uint64_t max, struct strbuf *out)
{
    sqlite3_stmt *read = store->read_output;
    enum prober_error err = PROBER_OK;
    int rc = SQLITE_DONE;

    pthread_mutex_lock(&store->read_lock);
    sqlite3_bind_int64(read, 1, number);
    bind_id(read, 2, agent);
    sqlite3_bind_int(read, 3, (int)stream);
    bind_u64(read, 4, from);
    while (max > 0 && (rc = sqlite3_step(read)) == SQLITE_ROW) {
        uint64_t first = column_u64(read, 0);
        const char *bytes = sqlite3_column_blob(read, 1);
        uint64_t len = (uint64_t)sqlite3_column_bytes(read, 1), skip = from - first;

        if (first > from || !bytes || skip >= len)
            break;
        len -= skip;
        if (len > max)
            len = max;
        strbuf_put(out, bytes + skip, (size_t)len);
        from += len;
        max -= len;
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        err = PROBER_ERR_IO;
    sqlite3_reset(read);
    pthread_mutex_unlock(&store->read_lock);
    return err || strbuf_ok(out) ? err : PROBER_ERR_NOMEM;
}
