#include "agentd/task_worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/task_program.h"
#include "agentd/task_rate.h"
#include "agentd/task_words.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "libprober/resolver.h"

#define WORDS_MAX 128 /* besides orders, that wait to be read */

/* What other threads say to the worker. */
enum word { ORDER, CANCEL, TOLD };

struct message {
    enum word word;
    char id[TASK_ID_MAX];
    char *line; /* of an order */
    size_t len;
    uint64_t deadline_ns;
};

enum stage { WAITING, LOOKING_UP, ANSWERED, RUNNING, OVER };

struct job {
    struct job *next; /* younger */
    struct task_worker *worker;
    struct message *order;
    enum stage stage;
    bool cancelled;
    struct task_command *command;
    struct resolver_answer answer;
    struct task_run *run;
    size_t told[2]; /* bytes of each stream, by enum task_stream */
};

struct task_worker {
    struct task_settings settings; /* immutable, as are the next three */
    struct task_ledger *ledger;    /* used by the thread alone */
    struct task_listener listener;
    struct queue *messages;
    pthread_t thread;
    bool started, stopped; /* owned by who destroys it */
    atomic_bool closing;
    pthread_mutex_t lock;
    size_t taken;          /* orders without a result so far; guarded by lock */
    struct task_rate rate; /* guarded by lock */
    struct policy *policy; /* guarded by lock */
    /* owned by the thread */
    struct resolver *resolver;
    struct job *jobs; /* oldest first */
    size_t busy;      /* of them, LOOKING_UP to RUNNING */
};

static void message_free(struct message *m)
{
    if (m)
        free(m->line);
    free(m);
}

/* ---- results ---- */

static void job_free(struct job *job)
{
    task_run_destroy(job->run);
    task_command_destroy(job->command);
    message_free(job->order);
    free(job);
}

static void tell(struct job *job, struct task_result *result)
{
    struct task_worker *w = job->worker;

    result->id = job->order->id;
    result->notes = job->command ? task_command_notes(job->command) : "";
    w->busy -= job->stage != WAITING;
    job->stage = OVER;
    pthread_mutex_lock(&w->lock);
    w->taken--;
    pthread_mutex_unlock(&w->lock);
    w->listener.done(w->listener.context, result);
}

static void refuse(struct job *job, const struct prober_failure *why)
{
    tell(job, &(struct task_result){.fate = TASK_REFUSED, .error = why->code, .text = why->text});
}

static void tell_output(struct job *job)
{
    const struct task_listener *listener = &job->worker->listener;
    const struct task_outcome *outcome = task_run_outcome(job->run);

    for (int i = TASK_STDOUT; listener->wrote && i <= TASK_STDERR; i++) {
        const struct strbuf *head = i == TASK_STDOUT ? &outcome->out.head : &outcome->err.head;

        if (head->len > job->told[i])
            listener->wrote(listener->context, job->order->id, (enum task_stream)i, job->told[i],
                            head->bytes + job->told[i], head->len - job->told[i]);
        job->told[i] = head->len;
    }
}

static void end(struct job *job)
{
    const struct task_outcome *outcome = task_run_outcome(job->run);
    struct prober_failure why;

    if (task_ledger_end(job->worker->ledger, job->order->id, &why))
        log_error("cannot note the end of a task", LOG_S("task", job->order->id),
                  LOG_S("err", why.text));
    tell(job, &(struct task_result){.fate = TASK_RAN, .text = outcome->text, .outcome = outcome});
}

/* ---- from an order to a running program ---- */

static struct policy *current_policy(struct task_worker *w)
{
    struct policy *policy;

    pthread_mutex_lock(&w->lock);
    policy = policy_get(w->policy);
    pthread_mutex_unlock(&w->lock);
    return policy;
}

static enum prober_error settle(struct job *job, struct prober_failure *why)
{
    bool asked = job->stage == ANSWERED;
    size_t count = job->answer.count < RESOLVER_SHOWN_MAX ? job->answer.count : RESOLVER_SHOWN_MAX;
    struct policy *policy;
    enum prober_error err;

    if (asked && job->answer.status != RESOLVER_OK)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "cannot look %s up: %s",
                           task_command_lookup(job->command),
                           resolver_status_text(job->answer.status));
    policy = current_policy(job->worker);
    err = task_command_settle(job->command, job->answer.shown, asked ? count : 0, policy, why);
    policy_put(policy);
    return err;
}

static enum prober_error find_program(const struct job *job, char path[TASK_PROGRAM_MAX],
                                      struct prober_failure *why)
{
    const char *directories = job->worker->settings.directories;
    enum prober_error err;

    if (task_command_is_own(job->command)) {
        strcpy(path, TASK_PROGRAM_OWN);
        return PROBER_OK;
    }
    err = task_program_find(task_command_argv(job->command)[0], directories, path, why);
    if (err && task_command_is_shell(job->command))
        err = task_program_find("sh", directories, path, why);
    return err;
}

static enum prober_error start(struct job *job, uint64_t now_ns, struct prober_failure *why)
{
    struct task_worker *w = job->worker;
    char path[TASK_PROGRAM_MAX];
    struct task_run_order order = {
        .path = path,
        .raw = task_command_needs_raw(job->command),
        .shell = task_command_is_shell(job->command),
        .own = task_command_is_own(job->command),
        .deadline_ns = job->order->deadline_ns,
        .grace_ns = w->settings.grace_ns,
        .output_max = w->settings.output_max,
        .output_stop = w->settings.output_stop,
    };
    enum prober_error err = settle(job, why);

    if (!err)
        err = find_program(job, path, why);
    if (!err)
        err = task_ledger_begin(w->ledger, job->order->id, clock_realtime_ns(), why);
    if (err)
        return err;
    order.argv = task_command_argv(job->command);
    err = task_run_start(&job->run, &order, now_ns, why);
    if (err)
        /* Nothing ran; that it was noted keeps it from running later, which is told here. */
        task_ledger_end(w->ledger, job->order->id, NULL);
    return err;
}

static void run(struct job *job, uint64_t now_ns)
{
    const struct task_listener *listener = &job->worker->listener;
    struct prober_failure why;

    if (start(job, now_ns, &why)) {
        refuse(job, &why);
        return;
    }
    job->stage = RUNNING;
    if (listener->began)
        listener->began(listener->context, job->order->id);
}

static void take_answer(void *context, const struct resolver_answer *answer)
{
    struct job *job = context;

    job->answer = *answer;
    job->stage = ANSWERED;
}

/* What a former life of the agent knows of it; NULL when it is new. */
static const struct task_result *remembered(const struct job *job)
{
    static const struct task_result interrupted = {.fate = TASK_INTERRUPTED,
                                                   .text = "the agent died while it ran"};
    static const struct task_result before = {.fate = TASK_RAN_BEFORE,
                                              .text = "it ran before; its result is gone"};
    const struct task_ledger_entry *entry = task_ledger_find(job->worker->ledger, job->order->id);

    if (!entry)
        return NULL;
    return entry->state == TASK_LEDGER_INTERRUPTED ? &interrupted : &before;
}

static void begin(struct job *job, uint64_t now_ns)
{
    struct task_worker *w = job->worker;
    struct task_terms terms = w->settings.terms;
    struct prober_failure why;
    const char *name;
    enum prober_family family;
    char path[TASK_PROGRAM_MAX];

    terms.deadline_ns = job->order->deadline_ns;
    terms.servers = w->settings.servers;
    terms.own_ping = task_program_find("ping", w->settings.directories, path, &why) != PROBER_OK;
    if (task_command_parse(&job->command, &terms, job->order->line, job->order->len, &why)) {
        refuse(job, &why);
        return;
    }
    w->busy++;
    name = task_command_lookup(job->command);
    family = task_command_family(job->command);
    job->stage = LOOKING_UP;
    if (name)
        resolver_lookup(w->resolver, name, family, family != PROBER_FAMILY_NONE, now_ns,
                        take_answer, job);
    else
        run(job, now_ns);
}

static void drop_cancelled(struct job *job)
{
    struct prober_failure why;

    prober_fail(&why, PROBER_ERR_CLOSED, "it was cancelled before it began");
    refuse(job, &why);
}

static void step(struct job *job, uint64_t now_ns)
{
    struct task_worker *w = job->worker;
    bool over;

    if (job->cancelled && (job->stage == WAITING || job->stage == ANSWERED))
        drop_cancelled(job);
    if (job->stage == WAITING && w->busy < w->settings.running_max && !atomic_load(&w->closing))
        begin(job, now_ns);
    if (job->stage == ANSWERED)
        run(job, now_ns);
    if (job->stage == RUNNING && job->cancelled)
        task_run_cancel(job->run, now_ns);
    if (job->stage != RUNNING)
        return;
    over = task_run_step(job->run, now_ns);
    tell_output(job);
    if (over)
        end(job);
}

/* ---- the thread ---- */

static struct job *find(struct task_worker *w, const char *id)
{
    struct job *job = w->jobs;

    while (job && (job->stage == OVER || strcmp(job->order->id, id) != 0))
        job = job->next;
    return job;
}

static void forget_order(struct task_worker *w, struct message *m)
{
    pthread_mutex_lock(&w->lock);
    w->taken--;
    pthread_mutex_unlock(&w->lock);
    message_free(m);
}

static void take_order(struct task_worker *w, struct message *m)
{
    struct job **end_of_list = &w->jobs, *job;

    if (find(w, m->id)) {
        forget_order(w, m);
        return;
    }
    job = calloc(1, sizeof(*job));
    if (!job) {
        log_error("no memory for a task", LOG_S("task", m->id));
        forget_order(w, m);
        return;
    }
    *job = (struct job){.worker = w, .order = m, .stage = WAITING};
    while (*end_of_list)
        end_of_list = &(*end_of_list)->next;
    *end_of_list = job;
    if (remembered(job)) {
        struct task_result result = *remembered(job);

        tell(job, &result);
    }
}

static void note_told(struct task_worker *w, const char *id)
{
    struct prober_failure why;
    enum prober_error err = find(w, id) ? PROBER_OK : task_ledger_tell(w->ledger, id, &why);

    if (err && err != PROBER_ERR_NOT_FOUND) /* it was refused, and never noted */
        log_error("cannot note that the end of a task is known", LOG_S("task", id),
                  LOG_S("err", why.text));
}

static void take_message(struct task_worker *w, struct message *m)
{
    struct job *job;

    switch (m->word) {
    case ORDER:
        take_order(w, m);
        return;
    case CANCEL:
        job = find(w, m->id);
        if (job)
            job->cancelled = true;
        break;
    case TOLD:
        note_told(w, m->id);
        break;
    }
    message_free(m);
}

static void take_messages(struct task_worker *w)
{
    void *items[16];
    size_t count;

    while ((count = queue_pop(w->messages, items, ARRAY_LEN(items), 0)) > 0)
        for (size_t i = 0; i < count; i++)
            take_message(w, items[i]);
}

static void remove_over(struct task_worker *w)
{
    for (struct job **at = &w->jobs; *at;) {
        struct job *job = *at;

        if (job->stage != OVER) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job_free(job);
    }
}

static int timeout_ms(uint64_t due_ns, uint64_t now_ns)
{
    if (due_ns == UINT64_MAX)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / CLOCK_NS_PER_MS + 1);
}

static void sleep_until(struct task_worker *w, uint64_t due_ns, uint64_t now_ns)
{
    struct pollfd fds[2 + TASK_RUN_FDS * TASK_WORKER_RUNNING_MAX];
    nfds_t count = 2;
    bool closing = atomic_load(&w->closing); /* then the queue is readable for ever */

    fds[0] = (struct pollfd){.fd = closing ? -1 : queue_fd(w->messages), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = resolver_fd(w->resolver), .events = POLLIN};
    for (struct job *job = w->jobs; job; job = job->next) {
        if (job->stage != RUNNING)
            continue;
        task_run_poll(job->run, &fds[count]);
        count += TASK_RUN_FDS;
        if (task_run_due(job->run) < due_ns)
            due_ns = task_run_due(job->run);
    }
    poll(fds, count, timeout_ms(due_ns, now_ns));
}

static void cancel_all(struct task_worker *w)
{
    for (struct job *job = w->jobs; job; job = job->next)
        job->cancelled |= job->stage == RUNNING || job->stage == ANSWERED;
}

static bool is_over(const struct task_worker *w)
{
    return atomic_load(&w->closing) && w->busy == 0;
}

/* True when a job may go on without anything happening. */
static bool has_more_to_do(const struct task_worker *w)
{
    for (const struct job *job = w->jobs; job; job = job->next)
        if (job->stage == ANSWERED || (job->stage == WAITING && !atomic_load(&w->closing) &&
                                       w->busy < w->settings.running_max))
            return true;
    return false;
}

static void *work(void *context)
{
    struct task_worker *w = context;

    while (!is_over(w)) {
        uint64_t now_ns = clock_monotonic_ns(), due_ns;

        take_messages(w);
        if (atomic_load(&w->closing))
            cancel_all(w);
        for (struct job *job = w->jobs; job; job = job->next)
            step(job, now_ns);
        remove_over(w);
        due_ns = resolver_step(w->resolver, now_ns);
        if (!is_over(w))
            sleep_until(w, has_more_to_do(w) ? now_ns : due_ns, now_ns);
    }
    take_messages(w);
    return NULL;
}

/* ---- from outside ---- */

static enum prober_error check_settings(const struct task_settings *s, struct prober_failure *why)
{
    if (s->running_max < 1 || s->running_max > TASK_WORKER_RUNNING_MAX ||
        s->waiting_max > TASK_WORKER_WAITING_MAX || s->per_minute < 1 || s->burst < 1)
        return prober_fail(why, PROBER_ERR_RANGE,
                           "1 to %d tasks run at once, and up to %d wait, 1 or more a minute",
                           TASK_WORKER_RUNNING_MAX, TASK_WORKER_WAITING_MAX);
    return PROBER_OK;
}

enum prober_error task_worker_create(struct task_worker **out, const struct task_settings *settings,
                                     struct task_ledger *ledger, struct policy *policy,
                                     const struct task_listener *listener,
                                     struct prober_failure *why)
{
    const struct resolver_config names = {.servers = settings->servers};
    struct task_worker *w = NULL;
    enum prober_error err = check_settings(settings, why);
    int number;

    if (err)
        return err;
    w = calloc(1, sizeof(*w));
    if (!w)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for tasks");
    w->settings = *settings;
    w->ledger = ledger;
    w->listener = *listener;
    w->policy = policy_get(policy);
    atomic_init(&w->closing, false);
    pthread_mutex_init(&w->lock, NULL);
    task_rate_init(&w->rate, settings->per_minute, settings->burst);
    err = queue_create(&w->messages, settings->running_max + settings->waiting_max + WORDS_MAX);
    if (!err && queue_fd(w->messages) < 0)
        err = prober_fail(why, PROBER_ERR_IO, "cannot make an eventfd for tasks");
    if (!err)
        err = resolver_create(&w->resolver, &names, why);
    if (err)
        goto out;
    number = pthread_create(&w->thread, NULL, work, w);
    if (number) {
        err = prober_fail(why, PROBER_ERR_IO, "cannot start a thread: %s", strerror(number));
        goto out;
    }
    w->started = true;
    *out = w;
    w = NULL;
out:
    task_worker_destroy(w);
    return err;
}

static struct message *make_message(enum word word, const char *id)
{
    struct message *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->word = word;
    strcpy(m->id, id);
    return m;
}

static struct message *make_order(const char *id, const char *line, size_t len,
                                  uint64_t deadline_ns)
{
    struct message *m = make_message(ORDER, id);

    if (!m)
        return NULL;
    m->len = len;
    m->deadline_ns = deadline_ns;
    m->line = malloc(len + 1);
    if (!m->line) {
        free(m);
        return NULL;
    }
    memcpy(m->line, line, len);
    m->line[len] = '\0';
    return m;
}

static enum prober_error count_order(struct task_worker *w, struct prober_failure *why)
{
    size_t max = w->settings.running_max + w->settings.waiting_max;
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&w->lock);
    if (w->taken >= max)
        err = prober_fail(why, PROBER_ERR_FULL, "%zu tasks run or wait here already", w->taken);
    else if (!task_rate_take(&w->rate, clock_monotonic_ns()))
        err = prober_fail(why, PROBER_ERR_FULL, "this agent takes %u tasks a minute",
                          w->settings.per_minute);
    else
        w->taken++;
    pthread_mutex_unlock(&w->lock);
    return err;
}

enum prober_error task_worker_submit(struct task_worker *w, const char *id, const char *line,
                                     size_t len, uint64_t deadline_ns, struct prober_failure *why)
{
    uint64_t deadline_max_ns = w->settings.terms.deadline_ns;
    struct message *m;
    enum prober_error err;

    if (!id[0] || strlen(id) >= TASK_ID_MAX || len > TASK_LINE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "no id, or a command of more than %d bytes",
                           TASK_LINE_MAX);
    if (deadline_ns < CLOCK_NS_PER_MS)
        deadline_ns = CLOCK_NS_PER_MS;
    m = make_order(id, line, len, deadline_ns < deadline_max_ns ? deadline_ns : deadline_max_ns);
    if (!m)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for a task");
    err = count_order(w, why);
    if (err) {
        message_free(m);
        return err;
    }
    err = queue_push(w->messages, m);
    if (err) {
        forget_order(w, m);
        prober_fail(why, err, "no task is taken: %s", prober_error_text(err));
    }
    return err;
}

static enum prober_error say(struct task_worker *w, enum word word, const char *id)
{
    struct message *m;
    enum prober_error err;

    if (strlen(id) >= TASK_ID_MAX)
        return PROBER_OK;
    m = make_message(word, id);
    err = m ? queue_push(w->messages, m) : PROBER_ERR_NOMEM;
    if (err)
        message_free(m);
    return err;
}

enum prober_error task_worker_cancel(struct task_worker *w, const char *id)
{
    return say(w, CANCEL, id);
}

enum prober_error task_worker_told(struct task_worker *w, const char *id)
{
    return say(w, TOLD, id);
}

void task_worker_set_policy(struct task_worker *w, struct policy *policy)
{
    struct policy *before;

    policy_get(policy);
    pthread_mutex_lock(&w->lock);
    before = w->policy;
    w->policy = policy;
    pthread_mutex_unlock(&w->lock);
    policy_put(before);
}

void task_worker_close(struct task_worker *w)
{
    queue_close(w->messages); /* first: what was taken is read before the thread ends */
    atomic_store(&w->closing, true);
}

void task_worker_stop(struct task_worker *w)
{
    if (!w->started || w->stopped)
        return;
    task_worker_close(w);
    pthread_join(w->thread, NULL);
    w->stopped = true;
}

void task_worker_destroy(struct task_worker *w)
{
    void *item;

    if (!w)
        return;
    task_worker_stop(w);
    while (w->messages && queue_pop(w->messages, &item, 1, 0) == 1)
        message_free(item);
    resolver_destroy(w->resolver); /* first: its callbacks reach jobs */
    while (w->jobs) {
        struct job *next = w->jobs->next;

        job_free(w->jobs);
        w->jobs = next;
    }
    queue_destroy(w->messages);
    policy_put(w->policy);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
