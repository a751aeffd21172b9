#include "serverd/task_book.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

#define OUTPUTS_SLACK 8 /* outputs are pruned to this part less than their bound */

/* What the book knows of a row beyond what is shown. Times are monotonic. */
struct care {
    uint64_t sent_ns, began_ns, heard_ns;
    bool pending; /* it has a change that is neither applied nor dropped */
    bool dirty;   /* what is shown is not on disk yet */
    bool astray;  /* of a cancelled task that had ended: its agent runs it all the same */
};

struct book_task {
    struct task_view view;
    int64_t number;
    struct care *care; /* [view.row_count] */
    size_t *by_agent;  /* [view.row_count]: indices of rows, by id */
    uint64_t hand_out_until_ns, cancelled_ns;
    size_t dirty, unfiled, astray; /* rows */
};

struct task_book {
    struct task_book_config config;
    struct book_task **tasks; /* [count], oldest first */
    size_t count, room, rows, open;
    uint64_t version, output_bytes;
};

/* ---- life ---- */

enum prober_error task_book_create(struct task_book **out, const struct task_book_config *config,
                                   uint64_t first_version)
{
    struct task_book *b = calloc(1, sizeof(*b));

    if (!b)
        return PROBER_ERR_NOMEM;
    b->config = *config;
    b->version = first_version;
    *out = b;
    return PROBER_OK;
}

static void task_free(struct book_task *t)
{
    task_view_free(&t->view);
    free(t->care);
    free(t->by_agent);
    free(t);
}

void task_book_destroy(struct task_book *book)
{
    if (!book)
        return;
    for (size_t i = 0; i < book->count; i++)
        task_free(book->tasks[i]);
    free(book->tasks);
    free(book);
}

/* ---- adding and finding ---- */

enum prober_error task_book_room(const struct task_book *book, size_t rows,
                                 struct prober_failure *why)
{
    if (book->open >= TASK_BOOK_OPEN_MAX)
        return prober_fail(why, PROBER_ERR_FULL,
                           "%d tasks have not ended yet, and there can be no more at a time: wait, "
                           "or cancel some",
                           TASK_BOOK_OPEN_MAX);
    if (rows > TASK_BOOK_ROWS_MAX - book->rows)
        return prober_fail(why, PROBER_ERR_FULL,
                           "%zu results are kept, and there is no room for %zu more: wait, or keep "
                           "tasks for a shorter time (-server.task.keep)",
                           book->rows, rows);
    return PROBER_OK;
}

static int compare_rows(const void *left, const void *right)
{
    const struct task_row *a = left, *b = right;
    int order = strcmp(a->region, b->region);

    return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int compare_ids(const void *left, const void *right, void *rows)
{
    const struct task_row *a = (struct task_row *)rows + *(const size_t *)left;
    const struct task_row *b = (struct task_row *)rows + *(const size_t *)right;

    return memcmp(&a->agent, &b->agent, sizeof(a->agent));
}

static size_t open_rows(const struct task_view *v)
{
    return v->counts[TASK_STATE_QUEUED] + v->counts[TASK_STATE_SENT] +
           v->counts[TASK_STATE_RUNNING];
}

static bool is_unfiled(const struct task_row *row)
{
    return row->told && !row->filed;
}

/* Counts what there is, and gives what was under way time from now on. */
static void take_stock(struct task_book *b, struct book_task *t, const struct clock_reading *now)
{
    struct task_view *v = &t->view;
    uint64_t age = now->real_ns > v->made_real_ns ? now->real_ns - v->made_real_ns : 0;
    uint64_t left = age < b->config.expire_ns ? b->config.expire_ns - age : 0;

    if (left < b->config.grace_ns && age > 0)
        left = b->config.grace_ns;
    t->hand_out_until_ns = now->mono_ns + left;
    t->cancelled_ns = now->mono_ns;
    memset(v->counts, 0, sizeof(v->counts));
    for (size_t i = 0; i < v->row_count; i++) {
        const struct task_row *row = &v->rows[i];

        v->counts[row->state]++;
        t->care[i] = (struct care){now->mono_ns, now->mono_ns, now->mono_ns, false, false, false};
        t->unfiled += is_unfiled(row);
        for (int s = 0; s < TASK_STREAM_COUNT; s++)
            b->output_bytes += row->streams[s].kept;
        t->by_agent[i] = i;
    }
    if (!open_rows(v) && !v->ended_real_ns)
        v->ended_real_ns = now->real_ns;
    qsort_r(t->by_agent, v->row_count, sizeof(*t->by_agent), compare_ids, v->rows);
}

enum prober_error task_book_add(struct task_book *book, int64_t number, struct task_view *task,
                                const struct clock_reading *now)
{
    struct book_task *t = calloc(1, sizeof(*t));
    enum prober_error err = task_book_find(book, task->id) ? PROBER_ERR_EXISTS : PROBER_ERR_NOMEM;

    if (!t || err == PROBER_ERR_EXISTS)
        goto out;
    if (book->count == book->room) {
        size_t room = book->room ? 2 * book->room : 64;
        struct book_task **larger = reallocarray(book->tasks, room, sizeof(struct book_task *));

        if (!larger)
            goto out;
        book->tasks = larger;
        book->room = room;
    }
    t->care = calloc(task->row_count + 1, sizeof(*t->care));
    t->by_agent = calloc(task->row_count + 1, sizeof(*t->by_agent));
    if (!t->care || !t->by_agent)
        goto out;
    t->number = number;
    t->view = *task;
    task->rows = NULL;
    *task = (struct task_view){.row_count = 0};
    qsort(t->view.rows, t->view.row_count, sizeof(*t->view.rows), compare_rows);
    take_stock(book, t, now);
    t->view.version = ++book->version;
    book->rows += t->view.row_count;
    book->open += !t->view.ended_real_ns;
    book->tasks[book->count++] = t;
    return PROBER_OK;
out:
    task_view_free(task);
    if (t)
        task_free(t);
    return err;
}

/* Those that are asked for are young, as a rule. */
struct book_task *task_book_find(const struct task_book *book, const char *id)
{
    for (size_t i = book->count; i-- > 0;)
        if (strcmp(book->tasks[i]->view.id, id) == 0)
            return book->tasks[i];
    return NULL;
}

struct book_task *task_book_at(const struct task_book *book, size_t i)
{
    return i < book->count ? book->tasks[i] : NULL;
}

const struct task_view *task_book_view(const struct book_task *task)
{
    return &task->view;
}

int64_t task_book_number(const struct book_task *task)
{
    return task->number;
}

size_t task_book_row(const struct book_task *task, const struct prober_id *agent)
{
    size_t low = 0, high = task->view.row_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t row = task->by_agent[middle];
        int order = memcmp(agent, &task->view.rows[row].agent, sizeof(*agent));

        if (order == 0)
            return row;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SIZE_MAX;
}

/* ---- changes ---- */

static void touch(struct task_book *b, struct book_task *t)
{
    t->view.version = ++b->version;
}

static bool begin_change(struct book_task *t, size_t row, struct task_change *change)
{
    struct task_row *r = &t->view.rows[row];

    change->task = t;
    change->row = row;
    change->after = *r;
    change->after.text = strdup(r->text);
    change->after.notes = strdup(r->notes);
    change->piece_count = 0;
    change->heard = false;
    if (!change->after.text || !change->after.notes) {
        free(change->after.text);
        free(change->after.notes);
        return false;
    }
    t->care[row].pending = true;
    return true;
}

static bool set_text(char **text, const char *to)
{
    char *copy = strdup(to);

    if (copy) {
        free(*text);
        *text = copy;
    }
    return copy != NULL;
}

static void note_end(struct task_book *b, struct book_task *t, const struct clock_reading *now)
{
    if (t->view.ended_real_ns || open_rows(&t->view))
        return;
    t->view.ended_real_ns = now->real_ns;
    b->open--;
}

void task_book_apply(struct task_book *book, struct task_change *change,
                     const struct clock_reading *now)
{
    struct book_task *t = change->task;
    struct task_row *row = &t->view.rows[change->row];
    struct care *care = &t->care[change->row];

    for (int s = 0; s < TASK_STREAM_COUNT; s++)
        book->output_bytes += change->after.streams[s].kept - row->streams[s].kept;
    t->view.counts[row->state]--;
    t->view.counts[change->after.state]++;
    t->unfiled -= is_unfiled(row);
    t->unfiled += is_unfiled(&change->after);
    t->dirty -= care->dirty;
    if (change->after.state == TASK_STATE_RUNNING && row->state != TASK_STATE_RUNNING)
        care->began_ns = now->mono_ns;
    if (change->heard)
        care->heard_ns = now->mono_ns;
    if (change->after.told) {
        t->astray -= care->astray;
        care->astray = false;
    }
    care->dirty = false;
    care->pending = false;
    free(row->text);
    free(row->notes);
    *row = change->after;
    note_end(book, t, now);
    touch(book, t);
}

void task_book_drop(struct task_book *book, struct task_change *change)
{
    (void)book;
    change->task->care[change->row].pending = false;
    free(change->after.text);
    free(change->after.notes);
}

/* ---- for agents ---- */

static void hand_out(struct task_book *b, struct book_task *t, size_t row,
                     const struct clock_reading *now)
{
    struct task_row *r = &t->view.rows[row];

    if (r->state == TASK_STATE_SENT)
        return;
    r->state = TASK_STATE_SENT;
    r->sent_real_ns = now->real_ns;
    t->care[row].sent_ns = now->mono_ns;
    t->care[row].dirty = true;
    t->dirty++;
    t->view.counts[TASK_STATE_QUEUED]--;
    t->view.counts[TASK_STATE_SENT]++;
    touch(b, t);
}

void task_book_pending(struct task_book *book, const struct prober_id *agent,
                       const struct clock_reading *now, const struct task_view **tasks,
                       size_t *count, const char **cancels, size_t *cancel_count)
{
    *count = 0;
    *cancel_count = 0;
    for (size_t i = 0; i < book->count; i++) {
        struct book_task *t = book->tasks[i];
        bool open = open_rows(&t->view) > 0;
        size_t row = open || t->astray ? task_book_row(t, agent) : SIZE_MAX;
        enum task_state state = row == SIZE_MAX ? TASK_STATE_DONE : t->view.rows[row].state;

        if (row == SIZE_MAX || t->care[row].pending)
            continue;
        if (t->view.cancelled_real_ns) {
            if ((state == TASK_STATE_SENT || state == TASK_STATE_RUNNING || t->care[row].astray) &&
                *cancel_count < WIRE_CANCELS_MAX)
                cancels[(*cancel_count)++] = t->view.id;
        } else if ((state == TASK_STATE_SENT ||
                    (state == TASK_STATE_QUEUED && now->mono_ns < t->hand_out_until_ns)) &&
                   *count < WIRE_TASKS_MAX) {
            hand_out(book, t, row, now);
            tasks[(*count)++] = &t->view;
        }
    }
}

/* Takes what continues that which is there. */
static void take_chunks(const struct task_book *b, const struct wire_task_report *report,
                        struct task_change *change)
{
    uint64_t kept = 0;

    for (size_t i = 0; i < report->chunk_count; i++) {
        const struct wire_task_chunk *c = &report->chunks[i];
        enum task_stream_kind kind =
            c->stream == WIRE_TASK_STDOUT ? TASK_STREAM_STDOUT : TASK_STREAM_STDERR;
        struct task_stream *s = &change->after.streams[kind];
        uint64_t skip, fresh, keep = 0;

        if (c->offset > s->have || c->offset + c->len <= s->have)
            continue;
        skip = s->have - c->offset;
        fresh = c->len - skip;
        /* What is kept is the beginning: after a byte that was not, none is. */
        if (s->kept == s->have && s->kept < b->config.output_max &&
            b->output_bytes + kept < b->config.outputs_max)
            keep = b->config.output_max - s->kept < fresh ? b->config.output_max - s->kept : fresh;
        if (keep > 0)
            change->pieces[change->piece_count++] =
                (struct task_piece){kind, s->kept, c->bytes + skip, (size_t)keep};
        kept += keep;
        s->kept += keep;
        s->have += fresh;
    }
}

/* By enum task_end of the agent; a later one's program has ended, somehow. */
static const enum task_state states_of_ends[] = {
    TASK_STATE_DONE, TASK_STATE_DONE,    TASK_STATE_TIMED_OUT,   TASK_STATE_CANCELLED,
    TASK_STATE_DONE, TASK_STATE_REFUSED, TASK_STATE_INTERRUPTED,
};

static enum task_state state_of(const struct wire_task_report *report)
{
    switch (report->state) {
    case WIRE_TASK_ENDED:
        return report->end.end < ARRAY_LEN(states_of_ends) ? states_of_ends[report->end.end]
                                                           : TASK_STATE_DONE;
    case WIRE_TASK_REFUSED:
        return TASK_STATE_REFUSED;
    default:
        return TASK_STATE_INTERRUPTED;
    }
}

static bool is_complete(const struct wire_task_report *report, const struct task_row *row)
{
    return report->state != WIRE_TASK_ENDED ||
           (row->streams[TASK_STREAM_STDOUT].have >= report->end.stdout_length &&
            row->streams[TASK_STREAM_STDERR].have >= report->end.stderr_length);
}

static void take_end(const struct task_book *b, const struct wire_task_report *report,
                     const struct clock_reading *now, struct task_row *row)
{
    const struct wire_task_end *end = &report->end;

    row->state = state_of(report);
    row->told = true;
    row->filed = !b->config.files;
    row->ended_real_ns = now->real_ns;
    if (report->state != WIRE_TASK_ENDED)
        return;
    row->end = end->end <= INT32_MAX ? (int)end->end : INT32_MAX;
    row->value = end->value;
    row->duration_ns = end->duration_ns;
    row->left_behind = end->left_behind;
    row->streams[TASK_STREAM_STDOUT].total = end->stdout_total;
    row->streams[TASK_STREAM_STDERR].total = end->stderr_total;
    if (!row->began_real_ns && end->duration_ns < now->real_ns)
        row->began_real_ns = now->real_ns - end->duration_ns;
}

static const char *text_of(const struct wire_task_report *report)
{
    if (report->end.text[0])
        return report->end.text;
    if (report->state == WIRE_TASK_INTERRUPTED)
        return "it was running when its agent died";
    return report->state == WIRE_TASK_RAN_BEFORE
               ? "it ended in an earlier life of its agent, and its result is lost"
               : "";
}

static void tell_have(const struct task_row *row, struct wire_task_report_reply *reply)
{
    reply->stdout_have = row->streams[TASK_STREAM_STDOUT].have;
    reply->stderr_have = row->streams[TASK_STREAM_STDERR].have;
}

/* A row that ended by the book stays so until its agent tells how it ended. */
static void take_running(struct book_task *t, const struct clock_reading *now,
                         struct task_change *change)
{
    struct care *care = &t->care[change->row];

    if (!task_state_is_final(change->after.state)) {
        if (!change->after.began_real_ns)
            change->after.began_real_ns = now->real_ns;
        change->after.state = TASK_STATE_RUNNING;
    } else if (t->view.cancelled_real_ns && !care->astray) {
        care->astray = true;
        t->astray++;
    }
}

static bool differs(const struct task_change *change)
{
    const struct task_row *row = &change->task->view.rows[change->row];

    return change->after.state != row->state || change->after.told != row->told ||
           change->after.streams[TASK_STREAM_STDOUT].have !=
               row->streams[TASK_STREAM_STDOUT].have ||
           change->after.streams[TASK_STREAM_STDERR].have != row->streams[TASK_STREAM_STDERR].have;
}

static enum prober_error judge(struct task_book *b, struct book_task *t,
                               const struct wire_task_report *report,
                               const struct clock_reading *now, struct task_change *change)
{
    take_chunks(b, report, change);
    if (!report->has_end || report->state == WIRE_TASK_RUNNING) {
        take_running(t, now, change);
    } else if (is_complete(report, &change->after)) {
        take_end(b, report, now, &change->after);
        if (!set_text(&change->after.text, text_of(report)) ||
            !set_text(&change->after.notes, report->end.notes))
            return PROBER_ERR_NOMEM;
    } else {
        take_running(t, now, change);
    }
    return PROBER_OK;
}

enum prober_error task_book_report(struct task_book *book, const struct prober_id *agent,
                                   const struct wire_task_report *report,
                                   const struct clock_reading *now, struct task_change *change,
                                   bool *changes, struct wire_task_report_reply *reply)
{
    struct book_task *t = task_book_find(book, report->task);
    size_t row = t ? task_book_row(t, agent) : SIZE_MAX;
    enum prober_error err;

    *changes = false;
    *reply = (struct wire_task_report_reply){.outcome = WIRE_TASK_UNKNOWN};
    if (row == SIZE_MAX)
        return PROBER_OK;
    if (t->care[row].pending)
        return PROBER_ERR_IN_USE;
    reply->outcome = WIRE_TASK_TAKEN;
    t->care[row].heard_ns = now->mono_ns;
    if (t->view.rows[row].told) {
        tell_have(&t->view.rows[row], reply);
        return PROBER_OK;
    }
    if (!begin_change(t, row, change))
        return PROBER_ERR_NOMEM;
    change->heard = true;
    err = judge(book, t, report, now, change);
    tell_have(&change->after, reply);
    if (!err && differs(change))
        *changes = true;
    else
        task_book_drop(book, change);
    return err;
}

/* ---- time ---- */

struct verdict {
    enum task_state state;
    const char *text;
};

static struct verdict judge_cancelled(const struct task_book *b, const struct book_task *t,
                                      size_t row, uint64_t now_ns)
{
    enum task_state state = t->view.rows[row].state;

    if (state == TASK_STATE_QUEUED)
        return (struct verdict){TASK_STATE_CANCELLED, "cancelled before the agent asked for it"};
    if (now_ns >= t->cancelled_ns + b->config.grace_ns)
        return (struct verdict){TASK_STATE_CANCELLED,
                                "cancelled; the agent has not told what became of it"};
    return (struct verdict){state, NULL};
}

/* When the book gives a row up. */
static uint64_t due_ns(const struct task_book *b, const struct book_task *t, size_t row, bool alive)
{
    const struct care *care = &t->care[row];
    uint64_t ran_ns = care->began_ns + t->view.timeout_ns;

    switch (t->view.rows[row].state) {
    case TASK_STATE_QUEUED:
        return t->hand_out_until_ns;
    case TASK_STATE_SENT: /* an agent that lives may have other tasks to do first */
        return care->sent_ns + t->view.timeout_ns + b->config.grace_ns +
               (alive ? b->config.expire_ns : 0);
    default:
        return (ran_ns > care->heard_ns ? ran_ns : care->heard_ns) + b->config.grace_ns;
    }
}

static struct verdict judge_time(const struct task_book *b, const struct book_task *t, size_t row,
                                 bool alive, uint64_t now_ns)
{
    enum task_state state = t->view.rows[row].state;

    if (task_state_is_final(state))
        return (struct verdict){state, NULL};
    if (t->view.cancelled_real_ns)
        return judge_cancelled(b, t, row, now_ns);
    if (now_ns < due_ns(b, t, row, alive))
        return (struct verdict){state, NULL};
    if (!alive)
        return (struct verdict){TASK_STATE_AGENT_GONE, "the agent was not heard from in time"};
    return (struct verdict){TASK_STATE_TIMED_OUT,
                            state == TASK_STATE_QUEUED
                                ? "the agent did not ask for it in time"
                                : "the agent did not tell in time what became of it"};
}

static bool end_by_book(struct book_task *t, size_t row, const struct verdict *v,
                        const struct clock_reading *now, struct task_change *change)
{
    if (!begin_change(t, row, change))
        return false;
    if (!v->text)
        return true;
    change->after.state = v->state;
    change->after.ended_real_ns = now->real_ns;
    if (set_text(&change->after.text, v->text))
        return true;
    t->care[row].pending = false;
    free(change->after.text);
    free(change->after.notes);
    return false;
}

bool task_book_overdue(struct task_book *book, struct task_cursor *at,
                       bool (*is_alive)(void *context, const struct prober_id *agent),
                       void *context, const struct clock_reading *now, struct task_change *change)
{
    for (; at->task < book->count; at->task++, at->row = 0) {
        struct book_task *t = book->tasks[at->task];

        while ((open_rows(&t->view) || t->dirty) && at->row < t->view.row_count) {
            size_t row = at->row++;
            bool final = task_state_is_final(t->view.rows[row].state);
            bool alive = !final && is_alive(context, &t->view.rows[row].agent);
            struct verdict v = judge_time(book, t, row, alive, now->mono_ns);

            if (!t->care[row].pending && (v.text || t->care[row].dirty) &&
                end_by_book(t, row, &v, now, change))
                return true;
        }
    }
    return false;
}

bool task_book_is_open(const struct book_task *task)
{
    return !task->view.ended_real_ns && !task->view.cancelled_real_ns;
}

void task_book_cancel(struct task_book *book, struct book_task *task, char *who,
                      const struct clock_reading *now)
{
    free(task->view.cancelled_by);
    task->view.cancelled_by = who;
    task->view.cancelled_real_ns = now->real_ns;
    task->cancelled_ns = now->mono_ns;
    touch(book, task);
}

static bool is_under_way(const struct book_task *t)
{
    for (size_t i = 0; i < t->view.row_count; i++)
        if (t->care[i].pending)
            return true;
    return t->unfiled > 0;
}

struct book_task *task_book_expired(const struct task_book *book, const struct clock_reading *now)
{
    bool crowded =
        book->output_bytes >= book->config.outputs_max - book->config.outputs_max / OUTPUTS_SLACK ||
        book->rows > TASK_BOOK_ROWS_MAX / OUTPUTS_SLACK * (OUTPUTS_SLACK - 1) ||
        book->count > TASK_BOOK_TASKS_MAX;

    for (size_t i = 0; i < book->count; i++) {
        struct book_task *t = book->tasks[i];

        if (t->view.ended_real_ns && !is_under_way(t) &&
            (crowded || t->view.ended_real_ns + book->config.keep_ns < now->real_ns))
            return t;
    }
    return NULL;
}

void task_book_remove(struct task_book *book, struct book_task *task)
{
    for (size_t i = 0; i < book->count; i++) {
        if (book->tasks[i] != task)
            continue;
        memmove(&book->tasks[i], &book->tasks[i + 1],
                (book->count - i - 1) * sizeof(struct book_task *));
        book->count--;
        break;
    }
    for (size_t i = 0; i < task->view.row_count; i++)
        for (int s = 0; s < TASK_STREAM_COUNT; s++)
            book->output_bytes -= task->view.rows[i].streams[s].kept;
    book->rows -= task->view.row_count;
    book->open -= !task->view.ended_real_ns;
    task_free(task);
}

/* ---- filing ---- */

bool task_book_unfiled(const struct task_book *book, struct task_cursor *at,
                       struct book_task **task, size_t *row)
{
    for (; at->task < book->count; at->task++, at->row = 0) {
        struct book_task *t = book->tasks[at->task];

        while (t->unfiled && at->row < t->view.row_count)
            if (is_unfiled(&t->view.rows[at->row++])) {
                *task = t;
                *row = at->row - 1;
                return true;
            }
    }
    return false;
}

void task_book_filed(struct task_book *book, struct book_task *task, size_t row)
{
    if (!is_unfiled(&task->view.rows[row]))
        return;
    touch(book, task);
    task->view.rows[row].filed = true;
    task->unfiled--;
    if (!task->care[row].dirty) {
        task->care[row].dirty = true;
        task->dirty++;
    }
}

void task_book_totals(const struct task_book *book, struct task_book_totals *out)
{
    *out = (struct task_book_totals){
        .tasks = book->count, .open = book->open, .output_bytes = book->output_bytes};
    for (size_t i = 0; i < book->count; i++)
        for (int s = 0; s < TASK_STATE_COUNT; s++)
            out->rows[s] += book->tasks[i]->view.counts[s];
}
