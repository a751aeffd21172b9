#include <stdlib.h>
#include <string.h>

#include "serverd/tasks_state.h"

#define BATCH_MAX 256
#define TICK_NS CLOCK_NS_PER_S
#define PRUNE_NS (3600 * CLOCK_NS_PER_S)
#define FILES_A_TURN 64

/* What is to be written together. */
struct batch {
    struct job *jobs[BATCH_MAX];
    size_t job_count;
    struct task_change changes[BATCH_MAX];
    size_t change_count;
};

/* ---- writing ---- */

static void tell_store(struct tasks *t, enum prober_error err, const struct prober_failure *why)
{
    if (err) {
        atomic_fetch_add(&t->write_errors, 1);
        if (!t->store_failing)
            log_error("tasks cannot be kept: orders fail, and agents have to repeat their reports",
                      LOG_S("error", why->text));
    } else if (t->store_failing) {
        log_warn("tasks can be kept again");
    }
    t->store_failing = err != PROBER_OK;
}

static enum prober_error write_batch(struct tasks *t, struct batch *b, struct prober_failure *why)
{
    store_tasks_begin(t->store);
    for (size_t i = 0; i < b->job_count; i++) {
        struct job *job = b->jobs[i];

        if (job->kind == JOB_CREATE)
            job->number = store_tasks_add(t->store, &job->view);
        else if (job->kind == JOB_CANCEL && job->task)
            store_tasks_cancel(t->store, task_book_number(job->task), job->who,
                               clock_realtime_ns());
    }
    for (size_t i = 0; i < b->change_count; i++) {
        const struct task_change *c = &b->changes[i];
        int64_t number = task_book_number(c->task);

        store_tasks_put_row(t->store, number, &c->after);
        for (size_t k = 0; k < c->piece_count; k++)
            store_tasks_put_output(t->store, number, &c->after.agent, &c->pieces[k]);
    }
    return store_tasks_commit(t->store, why);
}

/* A task that is on disk and not in the book would come to life at the next start. */
static void unmake(struct tasks *t, int64_t number)
{
    struct prober_failure why;

    store_tasks_begin(t->store);
    store_tasks_remove(t->store, number);
    store_tasks_commit(t->store, &why);
}

static void settle_create(struct tasks *t, struct job *job, const struct clock_reading *now)
{
    const struct task_view *made;
    enum prober_error err = task_view_copy(job->out, &job->view);

    if (!err) {
        err = task_book_add(t->book, job->number, &job->view, now);
        if (err)
            task_view_free(job->out);
    }
    if (err) {
        job->err = prober_fail(job->why, err, "no memory for the task");
        unmake(t, job->number);
        return;
    }
    made = task_book_view(task_book_find(t->book, job->out->id));
    memcpy(job->out->counts, made->counts, sizeof(made->counts));
    job->out->ended_real_ns = made->ended_real_ns;
    job->out->version = made->version;
    atomic_fetch_add(&t->created, 1);
}

static void settle_cancel(struct tasks *t, struct job *job, const struct clock_reading *now)
{
    if (!job->task)
        return;
    task_book_cancel(t->book, job->task, job->who, now);
    job->who = NULL;
    atomic_fetch_add(&t->cancelled, 1);
}

/* With the lock held: what was written takes place, what was not does not. */
static void settle(struct tasks *t, struct batch *b, enum prober_error err,
                   const struct clock_reading *now)
{
    for (size_t i = 0; i < b->change_count; i++)
        if (err)
            task_book_drop(t->book, &b->changes[i]);
        else
            task_book_apply(t->book, &b->changes[i], now);
    for (size_t i = 0; i < b->job_count; i++) {
        struct job *job = b->jobs[i];

        if (err)
            job->reply = (struct wire_task_report_reply){.outcome = WIRE_TASK_AGAIN};
        else if (job->kind == JOB_CREATE)
            settle_create(t, job, now);
        else if (job->kind == JOB_CANCEL)
            settle_cancel(t, job, now);
    }
}

static void answer_report(struct tasks *t, struct job *job)
{
    atomic_fetch_add(&t->reports[job->reply.outcome], 1);
    atomic_fetch_sub(&t->queued_bytes, job->size);
    job->answer(job->context, &job->reply);
    wire_request_free(&job->request);
    free(job);
}

static enum prober_error flush(struct tasks *t, struct batch *b)
{
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err;
    struct clock_reading now;

    if (!b->job_count && !b->change_count)
        return PROBER_OK;
    err = write_batch(t, b, &why);
    tell_store(t, err, &why);
    now = clock_read();
    pthread_mutex_lock(&t->lock);
    settle(t, b, err, &now);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < b->job_count; i++) {
        struct job *job = b->jobs[i];

        if (job->kind == JOB_REPORT)
            answer_report(t, job);
        else if (err)
            job->err = prober_fail(job->why, err, "%s", why.text);
    }
    b->job_count = 0;
    b->change_count = 0;
    return err;
}

/* ---- jobs ---- */

static void take_create(struct tasks *t, struct batch *b, struct job *job)
{
    flush(t, b); /* so that what is there is counted */
    pthread_mutex_lock(&t->lock);
    job->err = task_book_room(t->book, job->view.row_count, job->why);
    pthread_mutex_unlock(&t->lock);
    if (!job->err)
        b->jobs[b->job_count++] = job;
}

static void take_cancel(struct tasks *t, struct batch *b, struct job *job)
{
    pthread_mutex_lock(&t->lock);
    job->task = task_book_find(t->book, job->id);
    if (!job->task)
        job->err = prober_fail(job->why, PROBER_ERR_NOT_FOUND, "there is no such task");
    else if (!task_book_is_open(job->task))
        job->task = NULL;
    pthread_mutex_unlock(&t->lock);
    if (job->task)
        b->jobs[b->job_count++] = job;
}

static void take_report(struct tasks *t, struct batch *b, struct job *job)
{
    struct task_change *change = &b->changes[b->change_count];
    enum prober_error err = PROBER_ERR_IN_USE;
    bool changes = false;

    for (int attempt = 0; attempt < 2 && err == PROBER_ERR_IN_USE; attempt++) {
        struct clock_reading now = clock_read();

        if (attempt) {
            flush(t, b);
            change = &b->changes[0];
        }
        pthread_mutex_lock(&t->lock);
        err = task_book_report(t->book, &job->agent, &job->request.as.task_report, &now, change,
                               &changes, &job->reply);
        pthread_mutex_unlock(&t->lock);
    }
    if (err)
        job->reply = (struct wire_task_report_reply){.outcome = WIRE_TASK_AGAIN};
    if (err || !changes) {
        answer_report(t, job);
        return;
    }
    b->change_count++;
    b->jobs[b->job_count++] = job;
}

/* ---- time ---- */

struct alive {
    struct prober_id *ids; /* [count], ascending */
    size_t count;
};

static int compare_ids(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct prober_id));
}

/* False as long as it is not known who is alive. */
static bool list_alive(struct tasks *t, struct alive *alive)
{
    struct directory *directory = directory_get(t->config.board);
    bool known = directory->plan != NULL;

    alive->count = 0;
    alive->ids = known ? calloc(directory->agent_count + 1, sizeof(*alive->ids)) : NULL;
    for (size_t i = 0; alive->ids && i < directory->agent_count; i++)
        if (directory->agents[i].alive)
            alive->ids[alive->count++] = directory->agents[i].id;
    directory_put(directory);
    if (alive->count)
        qsort(alive->ids, alive->count, sizeof(*alive->ids), compare_ids);
    return alive->ids != NULL;
}

static bool is_alive(void *context, const struct prober_id *agent)
{
    const struct alive *alive = context;

    return alive->count &&
           bsearch(agent, alive->ids, alive->count, sizeof(*agent), compare_ids) != NULL;
}

/* Ends rows whose time has passed, and writes what was handed out and filed. */
static void sweep(struct tasks *t, struct batch *b)
{
    struct task_cursor at = {0, 0};
    struct alive alive;

    if (!list_alive(t, &alive))
        return;
    do {
        struct clock_reading now = clock_read();

        pthread_mutex_lock(&t->lock);
        while (b->change_count < BATCH_MAX && task_book_overdue(t->book, &at, is_alive, &alive,
                                                                &now, &b->changes[b->change_count]))
            b->change_count++;
        pthread_mutex_unlock(&t->lock);
    } while (b->change_count && flush(t, b) == PROBER_OK);
    free(alive.ids);
}

static struct book_task *find_expired(struct tasks *t)
{
    struct clock_reading now = clock_read();
    struct book_task *task;

    pthread_mutex_lock(&t->lock);
    task = task_book_expired(t->book, &now);
    pthread_mutex_unlock(&t->lock);
    return task;
}

static void remove_expired(struct tasks *t)
{
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = PROBER_OK;
    struct book_task *task;

    while (!err && (task = find_expired(t))) {
        store_tasks_begin(t->store);
        store_tasks_remove(t->store, task_book_number(task));
        err = store_tasks_commit(t->store, &why);
        tell_store(t, err, &why);
        if (err)
            return;
        pthread_mutex_lock(&t->lock);
        task_book_remove(t->book, task);
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
    }
}

/* ---- result files ---- */

static void tell_files(struct tasks *t, enum prober_error err, const struct prober_failure *why)
{
    if (err && !t->files_failing)
        log_error("result files of tasks cannot be written; the results are kept all the same",
                  LOG_S("error", why->text));
    else if (!err && t->files_failing)
        log_warn("result files of tasks can be written again");
    t->files_failing = err != PROBER_OK;
}

/* What the program wrote; of what did not run, why. */
static void put_output(struct tasks *t, int64_t number, const struct task_row *row,
                       struct strbuf *out)
{
    for (int s = 0; s < TASK_STREAM_COUNT; s++)
        store_tasks_read(t->store, number, &row->agent, (enum task_stream_kind)s, 0,
                         row->streams[s].kept, out);
    if (row->end == TASK_END_NONE)
        strbuf_printf(out, "[%s] %s\n", task_state_text(row->state), row->text);
}

static void file_row(struct tasks *t, struct book_task *task, size_t index)
{
    const struct task_view *view = task_book_view(task);
    const struct task_row *row = &view->rows[index];
    struct prober_failure why = {PROBER_OK, ""};
    struct strbuf output = STRBUF_INIT;
    struct task_files_result result = {row->region, row->address, view->line, NULL, 0};
    enum prober_error err = PROBER_ERR_NOMEM;

    put_output(t, task_book_number(task), row, &output);
    result.output = output.bytes;
    result.len = output.len;
    if (strbuf_ok(&output))
        err = task_files_write(t->files, &result, clock_realtime_ns(), &why);
    else
        prober_fail(&why, err, "out of memory");
    tell_files(t, err, &why);
    strbuf_free(&output);
}

/* Rows that were told do not change any more: they may be read without the lock. */
static bool file_results(struct tasks *t)
{
    struct task_cursor at = {0, 0};
    struct book_task *task;
    bool more = true;
    size_t row;

    for (int i = 0; t->files && more && i < FILES_A_TURN; i++) {
        pthread_mutex_lock(&t->lock);
        more = task_book_unfiled(t->book, &at, &task, &row);
        pthread_mutex_unlock(&t->lock);
        if (!more)
            break;
        file_row(t, task, row);
        pthread_mutex_lock(&t->lock);
        task_book_filed(t->book, task, row);
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
    }
    return t->files && more;
}

/* ---- the thread ---- */

static void tick(struct tasks *t, struct batch *b)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (now_ns < t->tick_due_ns)
        return;
    t->tick_due_ns = now_ns + TICK_NS;
    sweep(t, b);
    remove_expired(t);
    if (t->files && now_ns >= t->prune_due_ns) {
        t->prune_due_ns = now_ns + PRUNE_NS;
        task_files_prune(t->files, clock_realtime_ns());
    }
}

static void (*const takers[])(struct tasks *t, struct batch *b, struct job *job) = {
    [JOB_CREATE] = take_create,
    [JOB_CANCEL] = take_cancel,
    [JOB_REPORT] = take_report,
};

/* Who ordered is told when all that comes of it has taken place. */
static void take_jobs(struct tasks *t, struct batch *b, void *const *items, size_t count)
{
    struct job *orders[BATCH_MAX];
    size_t order_count = 0;
    bool cancels = false;

    for (size_t i = 0; i < count; i++) {
        struct job *job = items[i];
        enum job_kind kind = job->kind;

        if (kind != JOB_REPORT)
            orders[order_count++] = job;
        cancels = cancels || kind == JOB_CANCEL;
        takers[kind](t, b, job);
    }
    flush(t, b);
    if (cancels)
        sweep(t, b);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < order_count; i++)
        orders[i]->done = true;
    if (order_count)
        pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

struct batch *tasks_batch_create(void)
{
    return calloc(1, sizeof(struct batch));
}

void *tasks_main(void *context)
{
    struct tasks *t = context;
    struct batch *b = t->batch;
    void *items[BATCH_MAX];
    size_t count = 1;
    bool busy = false, stopping = false;

    while (count > 0 || !stopping) {
        uint64_t now_ns = clock_monotonic_ns();
        uint64_t wait_ns = t->tick_due_ns > now_ns && !busy ? t->tick_due_ns - now_ns : 0;

        count = queue_pop(t->jobs, items, BATCH_MAX, wait_ns);
        take_jobs(t, b, items, count);
        busy = file_results(t);
        tick(t, b);
        pthread_mutex_lock(&t->lock);
        stopping = t->stopping;
        pthread_mutex_unlock(&t->lock);
    }
    t->tick_due_ns = 0;
    tick(t, b);
    return NULL;
}
