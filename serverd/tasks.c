#include "serverd/tasks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "serverd/task_select.h"
#include "serverd/tasks_state.h"

#define QUEUE_CAPACITY 1024
#define REPORT_BASE 4096 /* bytes of a report beside its output */
#define ID_RANDOM 6

/* ---- life ---- */

static void take_loaded(void *context, int64_t number, struct task_view *view)
{
    struct tasks *t = context;
    struct clock_reading now = clock_read();

    if (task_book_add(t->book, number, view, &now))
        log_warn("a task of the store could not be loaded", LOG_I("number", number));
}

static enum prober_error open_files(struct tasks *t)
{
    const struct task_files_config config = {
        .dir = t->config.meta_dir,
        .size_max = t->config.files_max,
        .age_ns = t->config.files_age_ns,
    };

    return t->config.meta_dir[0] ? task_files_create(&t->files, &config) : PROBER_OK;
}

enum prober_error tasks_open(struct tasks **out, const struct tasks_config *config,
                             struct prober_failure *why)
{
    enum prober_error err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for tasks");
    const struct task_book_config book = {
        .expire_ns = config->expire_ns,
        .grace_ns = config->grace_ns,
        .keep_ns = config->keep_ns,
        .output_max = config->output_max,
        .outputs_max = config->outputs_max,
        .files = config->meta_dir[0] != '\0',
    };
    struct tasks *t = calloc(1, sizeof(*t));
    pthread_condattr_t monotonic;

    if (!t)
        return err;
    t->config = *config;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    t->batch = tasks_batch_create();
    if (!t->batch || queue_create(&t->jobs, QUEUE_CAPACITY) ||
        task_book_create(&t->book, &book, clock_realtime_ns()) || open_files(t))
        goto out;
    err = store_tasks_open(&t->store, config->state_dir, why);
    if (!err)
        err = store_tasks_load(t->store, take_loaded, t, why);
    if (err)
        goto out;
    if (pthread_create(&t->thread, NULL, tasks_main, t)) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no thread for tasks");
        goto out;
    }
    t->started = true;
    *out = t;
    t = NULL;
out:
    tasks_close(t);
    return err;
}

void tasks_stop(struct tasks *tasks)
{
    if (!tasks)
        return;
    pthread_mutex_lock(&tasks->lock);
    tasks->stopping = true;
    pthread_cond_broadcast(&tasks->changed);
    pthread_mutex_unlock(&tasks->lock);
    if (tasks->jobs)
        queue_close(tasks->jobs);
    if (tasks->started)
        pthread_join(tasks->thread, NULL);
    tasks->started = false;
}

void tasks_close(struct tasks *tasks)
{
    if (!tasks)
        return;
    tasks_stop(tasks);
    task_book_destroy(tasks->book);
    store_tasks_close(tasks->store);
    task_files_destroy(tasks->files);
    queue_destroy(tasks->jobs);
    free(tasks->batch);
    pthread_cond_destroy(&tasks->changed);
    pthread_mutex_destroy(&tasks->lock);
    free(tasks);
}

/* ---- orders ---- */

/* Has the thread do a job that the caller waits for. */
static enum prober_error order(struct tasks *t, struct job *job, struct prober_failure *why)
{
    enum prober_error err;

    job->why = why;
    err = queue_push(t->jobs, job);
    if (err == PROBER_ERR_CLOSED)
        return prober_fail(why, err, "the server stops");
    if (err)
        return prober_fail(why, err, "the server is busy with other tasks: try again later");
    pthread_mutex_lock(&t->lock);
    while (!job->done)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return job->err;
}

static enum prober_error check_order(const struct tasks_order *o, struct prober_failure *why)
{
    size_t len = strlen(o->line);

    if (len == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the command is empty");
    if (len > WIRE_TASK_LINE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the command is longer than %d bytes",
                           WIRE_TASK_LINE_MAX);
    if (o->timeout_ns > WIRE_TASK_DEADLINE_MAX_NS)
        return prober_fail(why, PROBER_ERR_SYNTAX, "a task may run for a day at most");
    return PROBER_OK;
}

static void make_id(char id[WIRE_TASK_ID_MAX + 1], uint64_t now_real_ns)
{
    time_t now_s = (time_t)(now_real_ns / CLOCK_NS_PER_S);
    unsigned char random[ID_RANDOM];
    struct tm utc;
    size_t len;

    random_bytes(random, sizeof(random));
    len = gmtime_r(&now_s, &utc) ? strftime(id, WIRE_TASK_ID_MAX + 1, "%Y%m%dT%H%M%S-", &utc) : 0;
    for (size_t i = 0; i < sizeof(random); i++)
        len += (size_t)snprintf(id + len, WIRE_TASK_ID_MAX + 1 - len, "%02x", random[i]);
}

static bool fill_row(struct task_row *row, const struct directory_agent *a, uint64_t now_real_ns)
{
    const struct prober_addr *address = a->address_count ? &a->addresses[0] : &a->observed;
    char text[PROBER_ADDR_TEXT_MAX] = "";

    if (address->family != PROBER_FAMILY_NONE)
        prober_addr_format(address, text);
    *row = (struct task_row){
        .agent = a->id,
        .number = a->number,
        .region = strdup(a->region),
        .address = strdup(text),
        .end = TASK_END_NONE,
        .text = strdup(a->trusted ? ""
                                  : "the agent's link is plain, and tasks go over trusted links "
                                    "alone: join the agent (serverd join-token)"),
        .notes = strdup(""),
        .queued_real_ns = now_real_ns,
    };
    if (!a->trusted) {
        row->state = TASK_STATE_REFUSED;
        row->told = row->filed = true;
        row->ended_real_ns = now_real_ns;
    }
    return row->region && row->address && row->text && row->notes;
}

/* One row for each agent that lives and is chosen. */
static enum prober_error fill_rows(struct task_view *v, const struct directory *directory,
                                   const struct task_select *select)
{
    bool failed = false;

    v->rows = calloc(directory->agent_count + 1, sizeof(*v->rows));
    for (size_t i = 0; v->rows && i < directory->agent_count; i++) {
        const struct directory_agent *a = &directory->agents[i];

        if (a->alive && task_select_has(select, a->region, &failed))
            failed = !fill_row(&v->rows[v->row_count++], a, v->made_real_ns) || failed;
    }
    return v->rows && !failed ? PROBER_OK : PROBER_ERR_NOMEM;
}

static enum prober_error compose(struct tasks *t, const struct tasks_order *o,
                                 struct task_view *out, struct prober_failure *why)
{
    struct task_select *select = NULL;
    struct directory *directory = NULL;
    enum prober_error err = check_order(o, why);

    *out = (struct task_view){.row_count = 0};
    if (!err)
        err = task_select_create(&select, o->region, o->expr, why);
    if (err)
        return err;
    out->made_real_ns = clock_realtime_ns();
    make_id(out->id, out->made_real_ns);
    out->region = strdup(o->region);
    out->expr = strdup(o->expr);
    out->line = strdup(o->line);
    out->who = strdup(o->who);
    out->client = strdup(o->client);
    out->cancelled_by = strdup("");
    out->timeout_ns = o->timeout_ns ? o->timeout_ns : t->config.timeout_ns;
    directory = directory_get(t->config.board);
    err = fill_rows(out, directory, select);
    directory_put(directory);
    task_select_destroy(select);
    if (!out->region || !out->expr || !out->line || !out->who || !out->client || !out->cancelled_by)
        err = PROBER_ERR_NOMEM;
    if (err)
        return prober_fail(why, err, "no memory for the task");
    if (!out->row_count)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "no live agent is in such a region");
    return PROBER_OK;
}

enum prober_error tasks_create(struct tasks *tasks, const struct tasks_order *o,
                               struct task_view *out, struct prober_failure *why)
{
    struct job job = {.kind = JOB_CREATE, .out = out};
    char id[WIRE_TASK_ID_MAX + 1];
    enum prober_error err = compose(tasks, o, &job.view, why);

    if (!err) {
        memcpy(id, job.view.id, sizeof(id));
        err = order(tasks, &job, why);
    }
    task_view_free(&job.view);
    if (!err && tasks->config.hint)
        tasks->config.hint(tasks->config.context);
    if (!err)
        log_info("a task is made", LOG_S("task", id), LOG_S("who", o->who),
                 LOG_S("client", o->client), LOG_S("region", o->region), LOG_S("expr", o->expr),
                 LOG_S("command", o->line), LOG_U("agents", out->row_count));
    return err;
}

enum prober_error tasks_cancel(struct tasks *tasks, const char *id, const char *who,
                               struct prober_failure *why)
{
    struct job job = {.kind = JOB_CANCEL, .id = id, .who = strdup(who)};
    enum prober_error err =
        job.who ? order(tasks, &job, why) : prober_fail(why, PROBER_ERR_NOMEM, "out of memory");

    free(job.who);
    if (!err && tasks->config.hint)
        tasks->config.hint(tasks->config.context);
    return err;
}

/* ---- reading ---- */

enum prober_error tasks_view(struct tasks *tasks, const char *id, struct task_view *out)
{
    enum prober_error err = PROBER_ERR_NOT_FOUND;
    struct book_task *task;

    *out = (struct task_view){.row_count = 0};
    pthread_mutex_lock(&tasks->lock);
    task = task_book_find(tasks->book, id);
    if (task)
        err = task_view_copy(out, task_book_view(task));
    pthread_mutex_unlock(&tasks->lock);
    return err;
}

enum prober_error tasks_list(struct tasks *tasks, const char *before, size_t limit,
                             void (*each)(void *context, const struct task_view *view),
                             void *context)
{
    bool passed = before == NULL;
    size_t i = 0;

    pthread_mutex_lock(&tasks->lock);
    while (task_book_at(tasks->book, i))
        i++;
    while (i-- > 0 && limit > 0) {
        struct task_view view = *task_book_view(task_book_at(tasks->book, i));

        view.rows = NULL;
        if (passed) {
            each(context, &view);
            limit--;
        }
        passed = passed || strcmp(view.id, before) == 0;
    }
    pthread_mutex_unlock(&tasks->lock);
    return passed || limit == 0 ? PROBER_OK : PROBER_ERR_NOT_FOUND;
}

enum prober_error tasks_output(struct tasks *tasks, const char *id, const struct prober_id *agent,
                               enum task_stream_kind stream, uint64_t from, uint64_t max,
                               struct strbuf *out)
{
    int64_t number = 0;
    uint64_t kept = 0;
    struct book_task *task;
    size_t row;

    pthread_mutex_lock(&tasks->lock);
    task = task_book_find(tasks->book, id);
    row = task ? task_book_row(task, agent) : SIZE_MAX;
    if (row != SIZE_MAX) {
        number = task_book_number(task);
        kept = task_book_view(task)->rows[row].streams[stream].kept;
    }
    pthread_mutex_unlock(&tasks->lock);
    if (row == SIZE_MAX)
        return PROBER_ERR_NOT_FOUND;
    if (from >= kept)
        return PROBER_OK;
    if (max > kept - from)
        max = kept - from;
    return store_tasks_read(tasks->store, number, agent, stream, from, max, out);
}

enum prober_error tasks_await(struct tasks *tasks, const char *id, uint64_t seen,
                              uint64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / CLOCK_NS_PER_S),
                                   .tv_nsec = (long)(deadline_ns % CLOCK_NS_PER_S)};
    enum prober_error err = PROBER_OK;
    struct book_task *task;
    int rc = 0;

    pthread_mutex_lock(&tasks->lock);
    if (tasks->waiters >= TASKS_WAITERS_MAX) {
        pthread_mutex_unlock(&tasks->lock);
        return PROBER_ERR_FULL;
    }
    tasks->waiters++;
    while ((task = task_book_find(tasks->book, id)) && !tasks->stopping && rc == 0 &&
           task_book_view(task)->version == seen)
        rc = pthread_cond_timedwait(&tasks->changed, &tasks->lock, &until);
    if (!task)
        err = PROBER_ERR_NOT_FOUND;
    else if (task_book_view(task)->version == seen)
        err = tasks->stopping ? PROBER_ERR_CLOSED : PROBER_ERR_TIMEOUT;
    tasks->waiters--;
    pthread_mutex_unlock(&tasks->lock);
    return err;
}

/* ---- for agents ---- */

/* Copies what was found, for it may go once the lock is released. */
static void copy_pending(struct tasks_pending *out, const struct task_view *const *found,
                         const char *const *cancels)
{
    size_t texts = 0;
    char *at;

    for (size_t i = 0; i < out->task_count; i++)
        texts += strlen(found[i]->id) + strlen(found[i]->line) + 2;
    for (size_t i = 0; i < out->cancel_count; i++)
        texts += strlen(cancels[i]) + 1;
    out->memory = malloc(out->task_count * sizeof(*out->tasks) +
                         out->cancel_count * sizeof(*out->cancels) + texts);
    if (!out->memory) {
        *out = (struct tasks_pending){.memory = NULL};
        return;
    }
    out->tasks = out->memory;
    out->cancels = (const char **)(void *)(out->tasks + out->task_count);
    at = (char *)(out->cancels + out->cancel_count);
    for (size_t i = 0; i < out->task_count; i++) {
        struct wire_task *task = &out->tasks[i];

        task->deadline_ns = found[i]->timeout_ns;
        task->line_len = strlen(found[i]->line);
        task->id = at;
        at = stpcpy(at, found[i]->id) + 1;
        task->line = at;
        at = stpcpy(at, found[i]->line) + 1;
    }
    for (size_t i = 0; i < out->cancel_count; i++) {
        out->cancels[i] = at;
        at = stpcpy(at, cancels[i]) + 1;
    }
}

void tasks_pending(struct tasks *tasks, const struct prober_id *agent,
                   const struct clock_reading *now, struct tasks_pending *out)
{
    const struct task_view *found[WIRE_TASKS_MAX];
    const char *cancels[WIRE_CANCELS_MAX];

    *out = (struct tasks_pending){.memory = NULL};
    pthread_mutex_lock(&tasks->lock);
    task_book_pending(tasks->book, agent, now, found, &out->task_count, cancels,
                      &out->cancel_count);
    if (out->task_count || out->cancel_count)
        copy_pending(out, found, cancels);
    if (out->task_count)
        pthread_cond_broadcast(&tasks->changed);
    pthread_mutex_unlock(&tasks->lock);
}

void tasks_pending_free(struct tasks_pending *pending)
{
    free(pending->memory);
}

static size_t size_of_report(const struct wire_task_report *report)
{
    size_t size = REPORT_BASE;

    for (size_t i = 0; i < report->chunk_count; i++)
        size += report->chunks[i].len;
    return size;
}

void tasks_report(struct tasks *tasks, const struct prober_id *agent, struct wire_request *request,
                  tasks_answer_fn answer, void *context)
{
    const struct wire_task_report_reply again = {.outcome = WIRE_TASK_AGAIN};
    struct job *job = calloc(1, sizeof(*job));
    size_t size = size_of_report(&request->as.task_report);

    if (job) {
        *job = (struct job){.kind = JOB_REPORT,
                            .agent = *agent,
                            .request = *request,
                            .answer = answer,
                            .context = context,
                            .size = size};
        if (atomic_fetch_add(&tasks->queued_bytes, size) + size <= TASKS_QUEUED_MAX &&
            queue_push(tasks->jobs, job) == PROBER_OK)
            return;
        atomic_fetch_sub(&tasks->queued_bytes, size);
        free(job);
    }
    atomic_fetch_add(&tasks->reports[WIRE_TASK_AGAIN], 1);
    wire_request_free(request);
    answer(context, &again);
}
