#include "serverd/store_audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <sqlite3.h>

#include "common/array.h"
#include "serverd/store.h"

#define PATH_ROOM 4096
#define BUSY_MS 2000

enum statement { BEGIN_ROW, END_ROW, PRUNE_ROWS, READ_ROWS, STATEMENT_COUNT };
static const char *const statement_texts[STATEMENT_COUNT] = {
    [BEGIN_ROW] = "INSERT INTO audit VALUES (NULL,?,?,?,?,?,?,NULL)",
    [END_ROW] = "UPDATE audit SET status = ? WHERE id = ?",
    [PRUNE_ROWS] = "DELETE FROM audit WHERE id <= ?",
    [READ_ROWS] = ("SELECT id, at_ns, who, client, method, target, body, status FROM audit"
                   " WHERE id < ? ORDER BY id DESC LIMIT ?"),
};

struct store_audit {
    pthread_mutex_t lock;
    sqlite3 *db;                                /* guarded by lock */
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* guarded by lock */
};

static enum prober_error fail(const struct store_audit *a, struct prober_failure *why,
                              const char *doing)
{
    return prober_fail(why, PROBER_ERR_IO, "cannot %s the record of changes: %s", doing,
                       a->db ? sqlite3_errmsg(a->db) : "out of memory");
}

enum prober_error store_audit_open(struct store_audit **out, const char *dir,
                                   struct prober_failure *why)
{
    char path[PATH_ROOM];
    struct store_audit *a = calloc(1, sizeof(*a));
    bool good;

    if (!a)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    pthread_mutex_init(&a->lock, NULL);
    snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
    good = sqlite3_open_v2(path, &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
               SQLITE_OK &&
           sqlite3_busy_timeout(a->db, BUSY_MS) == SQLITE_OK &&
           sqlite3_exec(a->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; good && i < STATEMENT_COUNT; i++)
        good = sqlite3_prepare_v2(a->db, statement_texts[i], -1, &a->statements[i], NULL) ==
               SQLITE_OK;
    if (!good) {
        fail(a, why, "open");
        store_audit_close(a);
        return PROBER_ERR_IO;
    }
    *out = a;
    return PROBER_OK;
}

static bool step(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE;
}

enum prober_error store_audit_begin(struct store_audit *audit,
                                    const struct store_audit_record *record, int64_t *id,
                                    struct prober_failure *why)
{
    const char *const texts[] = {record->who, record->client, record->method, record->target,
                                 record->body};
    sqlite3_stmt *begin = audit->statements[BEGIN_ROW], *prune = audit->statements[PRUNE_ROWS];
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&audit->lock);
    sqlite3_bind_int64(begin, 1, (int64_t)record->at_real_ns);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        sqlite3_bind_text(begin, (int)i + 2, texts[i], -1, SQLITE_STATIC);
    if (step(begin)) {
        *id = sqlite3_last_insert_rowid(audit->db);
        sqlite3_bind_int64(prune, 1, *id - STORE_AUDIT_KEPT);
        step(prune); /* the next one does it otherwise */
    } else {
        err = fail(audit, why, "write to");
    }
    pthread_mutex_unlock(&audit->lock);
    return err;
}

enum prober_error store_audit_end(struct store_audit *audit, int64_t id, int status,
                                  struct prober_failure *why)
{
    sqlite3_stmt *end = audit->statements[END_ROW];
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&audit->lock);
    sqlite3_bind_int(end, 1, status);
    sqlite3_bind_int64(end, 2, id);
    if (!step(end))
        err = fail(audit, why, "write to");
    pthread_mutex_unlock(&audit->lock);
    return err;
}

static const char *column_text(sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);

    return text ? text : "";
}

enum prober_error store_audit_read(struct store_audit *audit, int64_t before, unsigned limit,
                                   void (*each)(void *context, const struct store_audit_row *row),
                                   void *context, struct prober_failure *why)
{
    sqlite3_stmt *read = audit->statements[READ_ROWS];
    enum prober_error err = PROBER_OK;
    int rc;

    pthread_mutex_lock(&audit->lock);
    sqlite3_bind_int64(read, 1, before);
    sqlite3_bind_int64(read, 2, limit);
    while ((rc = sqlite3_step(read)) == SQLITE_ROW) {
        const struct store_audit_row row = {
            .id = sqlite3_column_int64(read, 0),
            .record = {.at_real_ns = (uint64_t)sqlite3_column_int64(read, 1),
                       .who = column_text(read, 2),
                       .client = column_text(read, 3),
                       .method = column_text(read, 4),
                       .target = column_text(read, 5),
                       .body = column_text(read, 6)},
            .status = sqlite3_column_int(read, 7),
        };

        each(context, &row);
    }
    if (rc != SQLITE_DONE)
        err = fail(audit, why, "read");
    sqlite3_reset(read);
    pthread_mutex_unlock(&audit->lock);
    return err;
}

void store_audit_close(struct store_audit *audit)
{
    if (!audit)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(audit->statements[i]);
    sqlite3_close(audit->db);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
}
