#include "agentd/task_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/file.h"
#include "common/strbuf.h"

#define HEAD "probermesh tasks 1\n"
#define LINE_MAX 128
#define FILE_MAX (sizeof(HEAD) + (TASK_LEDGER_MAX + 1) * LINE_MAX)
#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

struct task_ledger {
    char *path;
    uint64_t keep_ns;
    size_t count, max;
    struct task_ledger_entry *entries; /* oldest first */
};

static const char *const state_names[] = {"running", "interrupted", "ended", "told"};

static bool is_id(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len < TASK_ID_MAX && strspn(text, ID_CHARS) == len;
}

/* ---- reading ---- */

static bool read_entry(const char *line, struct task_ledger_entry *out)
{
    char state[16];
    int used = 0;

    if (sscanf(line, "%63s %15s %" SCNu64 "%n", out->id, state, &out->began_ns, &used) != 3 ||
        line[used] != '\0' || !is_id(out->id))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
        if (strcmp(state, state_names[i]) != 0)
            continue;
        out->state = i == TASK_LEDGER_RUNNING ? TASK_LEDGER_INTERRUPTED : (enum task_ledger_state)i;
        return true;
    }
    return false;
}

/* The last line tells how many there are before it. */
static bool read_entries(struct task_ledger *l, char *text, size_t len)
{
    char *rest = text + strlen(HEAD);
    size_t told;
    int used = 0;

    if (strlen(text) != len || strncmp(text, HEAD, strlen(HEAD)) != 0)
        return false;
    for (char *line; (line = strsep(&rest, "\n")) && rest;) {
        if (sscanf(line, "end %zu%n", &told, &used) == 1 && line[used] == '\0')
            return told == l->count && rest[0] == '\0';
        if (l->count == TASK_LEDGER_MAX || !read_entry(line, &l->entries[l->count]) ||
            task_ledger_find(l, l->entries[l->count].id))
            return false;
        l->entries[l->count++].former = true;
    }
    return false;
}

static enum prober_error load(struct task_ledger *l, struct prober_failure *why)
{
    char *text = NULL;
    size_t len;
    enum prober_error err = file_read(l->path, FILE_MAX, &text, &len, why);

    if (err == PROBER_ERR_NOT_FOUND)
        return PROBER_OK;
    if (err == PROBER_ERR_RANGE || (!err && !read_entries(l, text, len)))
        err = prober_fail(why, PROBER_ERR_SYNTAX,
                          "%.300s is damaged, so which tasks ran is not known; remove it when none "
                          "can come a second time",
                          l->path);
    free(text);
    return err;
}

enum prober_error task_ledger_open(struct task_ledger **out, const char *path, size_t max,
                                   uint64_t keep_ns, struct prober_failure *why)
{
    enum prober_error err;
    struct task_ledger *l;

    if (max < 1 || max > TASK_LEDGER_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "1 to %d tasks are remembered", TASK_LEDGER_MAX);
    l = calloc(1, sizeof(*l));
    if (!l)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the list of tasks");
    l->keep_ns = keep_ns;
    l->max = max;
    l->path = strdup(path);
    /* A file of a time when more were kept still counts. */
    l->entries = calloc(TASK_LEDGER_MAX, sizeof(*l->entries));
    if (!l->path || !l->entries)
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for the list of tasks");
    else
        err = load(l, why);
    if (err)
        goto out;
    *out = l;
    l = NULL;
out:
    task_ledger_close(l);
    return err;
}

/* ---- writing ---- */

static enum prober_error save(const struct task_ledger *l, struct prober_failure *why)
{
    enum prober_error err;
    struct strbuf text = STRBUF_INIT;

    strbuf_puts(&text, HEAD);
    for (size_t i = 0; i < l->count; i++)
        strbuf_printf(&text, "%s %s %" PRIu64 "\n", l->entries[i].id,
                      state_names[l->entries[i].state], l->entries[i].began_ns);
    strbuf_printf(&text, "end %zu\n", l->count);
    if (strbuf_ok(&text))
        err = file_replace(l->path, text.bytes, text.len, 0600, why);
    else
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for the list of tasks");
    strbuf_free(&text);
    return err;
}

static struct task_ledger_entry *find(const struct task_ledger *l, const char *id)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->entries[i].id, id) == 0)
            return &l->entries[i];
    return NULL;
}

/* The oldest that has ended long enough ago; l->count when there is none. */
static size_t find_forgettable(const struct task_ledger *l, uint64_t now_ns)
{
    size_t i = 0;

    while (i < l->count &&
           (l->entries[i].state < TASK_LEDGER_ENDED || now_ns < l->entries[i].began_ns ||
            now_ns - l->entries[i].began_ns < l->keep_ns))
        i++;
    return i;
}

static void take_out(struct task_ledger *l, size_t i)
{
    l->count--;
    memmove(&l->entries[i], &l->entries[i + 1], (l->count - i) * sizeof(*l->entries));
}

enum prober_error task_ledger_begin(struct task_ledger *l, const char *id, uint64_t now_ns,
                                    struct prober_failure *why)
{
    struct task_ledger_entry *added;
    enum prober_error err;

    if (!is_id(id))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.80s' is no id of a task", id);
    if (find(l, id))
        return prober_fail(why, PROBER_ERR_EXISTS, "task %s was begun before", id);
    while (l->count >= l->max) {
        size_t i = find_forgettable(l, now_ns);

        if (i == l->count)
            return prober_fail(why, PROBER_ERR_FULL,
                               "%zu tasks ran of late; no more can be told from those", l->count);
        take_out(l, i);
    }
    added = &l->entries[l->count++];
    *added = (struct task_ledger_entry){.state = TASK_LEDGER_RUNNING, .began_ns = now_ns};
    strcpy(added->id, id);
    err = save(l, why);
    if (err)
        l->count--;
    return err;
}

static enum prober_error note(struct task_ledger *l, const char *id, enum task_ledger_state state,
                              struct prober_failure *why)
{
    struct task_ledger_entry *entry = find(l, id);

    if (!entry)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "task %.80s was never begun", id);
    entry->state = state;
    return save(l, why);
}

enum prober_error task_ledger_end(struct task_ledger *l, const char *id, struct prober_failure *why)
{
    return note(l, id, TASK_LEDGER_ENDED, why);
}

enum prober_error task_ledger_tell(struct task_ledger *l, const char *id,
                                   struct prober_failure *why)
{
    return note(l, id, TASK_LEDGER_TOLD, why);
}

/* ---- looking ---- */

const struct task_ledger_entry *task_ledger_find(const struct task_ledger *l, const char *id)
{
    return find(l, id);
}

size_t task_ledger_count(const struct task_ledger *l)
{
    return l->count;
}

const struct task_ledger_entry *task_ledger_at(const struct task_ledger *l, size_t i)
{
    return &l->entries[i];
}

void task_ledger_close(struct task_ledger *l)
{
    if (!l)
        return;
    free(l->entries);
    free(l->path);
    free(l);
}
