#include "agentd/task_desk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/utf8.h"

#define STREAMS 2
#define PAUSE_MIN_NS CLOCK_NS_PER_S
#define PAUSE_MAX_NS (30 * CLOCK_NS_PER_S)

struct entry {
    struct entry *next;
    char id[TASK_ID_MAX];
    bool capped; /* it was ordered for longer than it may run here */
    /* guarded by lock: the worker's thread writes them, until `ended` */
    bool began, ended;
    bool signalled;                 /* since the link thread looked at it */
    struct strbuf streams[STREAMS]; /* by enum task_stream */
    bool cut[STREAMS];              /* no more is taken before its end */
    uint32_t state;                 /* enum wire_task_state, of its end */
    struct wire_task_end end;
    struct strbuf text, notes;
    /* owned by the link thread */
    bool begin_told, cancelled, unwanted;
    uint64_t have[STREAMS]; /* bytes that the server has */
    uint64_t follow_ns;     /* when what it writes is reported next */
    uint64_t not_before_ns, pause_ns;
};

struct task_desk {
    struct task_ledger *ledger;
    struct task_worker *worker;
    struct wakeup *wakeup;
    size_t held_max;
    uint64_t deadline_max_ns;
    pthread_mutex_t lock;
    struct entry *entries;          /* guarded by lock; changed by the link thread, or with none */
    size_t count;                   /* of them */
    struct task_desk_counts totals; /* guarded by lock */
    bool closing, stopped;          /* guarded by lock */
    /* owned by the link thread */
    struct entry *current; /* that was reported last */
    bool current_ended;    /* the report told its end */
    struct strbuf scratch; /* bytes of that report */
    struct wire_task_chunk chunks[STREAMS];
    struct entry *settled; /* known to the server, but that was not noted */
};

static void entry_free(struct entry *e)
{
    for (int i = 0; i < STREAMS; i++)
        strbuf_free(&e->streams[i]);
    strbuf_free(&e->text);
    strbuf_free(&e->notes);
    free(e);
}

static void free_list(struct entry *list)
{
    while (list) {
        struct entry *next = list->next;

        entry_free(list);
        list = next;
    }
}

static struct entry *find(const struct task_desk *d, const char *id)
{
    struct entry *e = d->entries;

    while (e && strcmp(e->id, id) != 0)
        e = e->next;
    return e;
}

static void append(struct task_desk *d, struct entry *e)
{
    struct entry **at = &d->entries;

    e->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = e;
}

static void unlink_entry(struct task_desk *d, struct entry *e)
{
    struct entry **at = &d->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (d->current == e)
        d->current = NULL;
}

static void add(struct task_desk *d, struct entry *e)
{
    append(d, e);
    d->count++;
    d->totals.held++;
}

static void take_out(struct task_desk *d, struct entry *e)
{
    unlink_entry(d, e);
    d->count--;
    d->totals.held--;
    for (int i = 0; i < STREAMS; i++) {
        d->totals.bytes -= e->streams[i].len;
        strbuf_free(&e->streams[i]);
    }
}

/* ---- what the worker tells ---- */

static void signal_once(struct task_desk *d, struct entry *e)
{
    if (e->signalled)
        return;
    e->signalled = true;
    wakeup_signal(d->wakeup);
}

/* Text as a report may hold it: what is no text is escaped, what is too long cut. */
static void put_text(struct strbuf *to, const char *text, size_t max)
{
    size_t len = 0, step;
    uint32_t rune;

    for (; *text; text += strcspn(text, "\n")) {
        size_t line = strspn(text, "\n");

        strbuf_put(to, text, line);
        text += line;
        utf8_put_escaped(to, text, strcspn(text, "\n"));
    }
    if (!strbuf_ok(to))
        strbuf_free(to);
    while (len < to->len && (step = utf8_decode(to->bytes + len, to->len - len, &rune)) &&
           len + step <= max)
        len += step;
    to->len = len;
    if (to->bytes)
        to->bytes[len] = '\0';
}

static void put_sentence(struct strbuf *to, const char *text)
{
    put_text(to, text, WIRE_MESSAGE_MAX);
    for (char *p = to->bytes; p && (p = strchr(p, '\n'));)
        *p = ' ';
}

static size_t room(const struct task_desk *d)
{
    return d->totals.bytes < d->held_max ? d->held_max - d->totals.bytes : 0;
}

static void on_began(void *context, const char *id)
{
    struct task_desk *d = context;
    struct entry *e;

    pthread_mutex_lock(&d->lock);
    e = find(d, id);
    if (e) {
        e->began = true;
        d->totals.running++;
        signal_once(d, e);
    }
    pthread_mutex_unlock(&d->lock);
}

static void on_wrote(void *context, const char *id, enum task_stream stream, uint64_t offset,
                     const char *bytes, size_t len)
{
    struct task_desk *d = context;
    struct strbuf *to;
    struct entry *e;

    pthread_mutex_lock(&d->lock);
    e = find(d, id);
    if (!e || e->cut[stream])
        goto out;
    to = &e->streams[stream];
    e->cut[stream] = offset != to->len || len > room(d);
    if (e->cut[stream])
        goto out;
    strbuf_put(to, bytes, len);
    e->cut[stream] = !strbuf_ok(to);
    d->totals.bytes += to->len - offset;
    signal_once(d, e);
out:
    pthread_mutex_unlock(&d->lock);
}

/* The whole of a stream goes in the place of what was told of it, which is its beginning. Without
 * room, that stays, with a line for the rest. */
static void take_output(struct task_desk *d, struct entry *e, enum task_stream stream,
                        const struct task_output *output)
{
    struct strbuf whole = STRBUF_INIT, *told = &e->streams[stream];
    size_t had = told->len;

    task_output_write(output, &whole);
    if (strbuf_ok(&whole) && whole.len >= had && whole.len - had <= room(d)) {
        strbuf_free(told);
        *told = whole;
        whole = (struct strbuf)STRBUF_INIT;
    } else if (output->total > had) {
        told->failed = false;
        strbuf_printf(told, "\n[%llu bytes are left out here: there was no room for them]\n",
                      (unsigned long long)(output->total - had));
    }
    d->totals.bytes += told->len - had;
    strbuf_free(&whole);
}

static void take_outcome(struct task_desk *d, struct entry *e, const struct task_outcome *o)
{
    take_output(d, e, TASK_STDOUT, &o->out);
    take_output(d, e, TASK_STDERR, &o->err);
    e->end.end = (uint32_t)o->end;
    e->end.value = o->value;
    e->end.duration_ns =
        o->duration_ns < WIRE_DURATION_MAX_NS ? o->duration_ns : WIRE_DURATION_MAX_NS;
    e->end.left_behind = o->left_behind;
    e->end.stdout_total = o->out.total;
    e->end.stderr_total = o->err.total;
}

static void end_entry(struct task_desk *d, struct entry *e, uint32_t state, const char *text,
                      const char *notes)
{
    put_sentence(&e->text, text);
    put_text(&e->notes, notes, WIRE_TASK_NOTES_MAX);
    e->end.stdout_length = e->streams[TASK_STDOUT].len;
    e->end.stderr_length = e->streams[TASK_STDERR].len;
    e->end.text = e->text.len ? e->text.bytes : "";
    e->end.notes = e->notes.len ? e->notes.bytes : "";
    d->totals.running -= e->began;
    d->totals.ran += state == WIRE_TASK_ENDED;
    d->totals.refused += state == WIRE_TASK_REFUSED;
    d->totals.interrupted += state == WIRE_TASK_INTERRUPTED;
    e->state = state;
    e->ended = true;
    signal_once(d, e);
}

/* Why a task was ended that nobody has called off. */
static const char *text_of(const struct task_desk *d, const struct task_result *result)
{
    bool cancelled = result->outcome && result->outcome->end == TASK_END_CANCELLED;

    return cancelled && d->closing && !result->text[0] ? "the agent was stopped" : result->text;
}

static void on_done(void *context, const struct task_result *result)
{
    static const uint32_t states[] = {[TASK_RAN] = WIRE_TASK_ENDED,
                                      [TASK_REFUSED] = WIRE_TASK_REFUSED,
                                      [TASK_INTERRUPTED] = WIRE_TASK_INTERRUPTED,
                                      [TASK_RAN_BEFORE] = WIRE_TASK_RAN_BEFORE};
    struct task_desk *d = context;
    struct strbuf notes = STRBUF_INIT;
    struct entry *e;

    pthread_mutex_lock(&d->lock);
    e = find(d, result->id);
    if (e && !e->ended) {
        if (e->capped && result->fate == TASK_RAN)
            strbuf_printf(&notes, "deadline: it was made %llu s, this agent allows no more\n",
                          (unsigned long long)(d->deadline_max_ns / CLOCK_NS_PER_S));
        strbuf_puts(&notes, result->notes);
        if (result->outcome)
            take_outcome(d, e, result->outcome);
        end_entry(d, e, states[result->fate], text_of(d, result),
                  strbuf_ok(&notes) && notes.len ? notes.bytes : "");
    }
    pthread_mutex_unlock(&d->lock);
    strbuf_free(&notes);
}

/* ---- making ---- */

static struct entry *make_entry(const char *id)
{
    struct entry *e = calloc(1, sizeof(*e));

    if (e)
        strcpy(e->id, id);
    return e;
}

/* What an earlier life has left untold. */
static enum prober_error recall(struct task_desk *d)
{
    size_t count = task_ledger_count(d->ledger);

    for (size_t i = 0; i < count && d->count < TASK_DESK_MAX; i++) {
        const struct task_ledger_entry *former = task_ledger_at(d->ledger, i);
        bool interrupted = former->state == TASK_LEDGER_INTERRUPTED;
        struct entry *e;

        if (!interrupted && former->state != TASK_LEDGER_ENDED)
            continue;
        e = make_entry(former->id);
        if (!e)
            return PROBER_ERR_NOMEM;
        add(d, e);
        end_entry(d, e, interrupted ? WIRE_TASK_INTERRUPTED : WIRE_TASK_RAN_BEFORE,
                  interrupted ? "the agent died while it ran" : "it ran before; its result is gone",
                  "");
    }
    return PROBER_OK;
}

enum prober_error task_desk_create(struct task_desk **out, const struct task_desk_config *config,
                                   struct prober_failure *why)
{
    struct task_desk *d = calloc(1, sizeof(*d));
    const struct task_listener listener = {
        .began = on_began, .wrote = on_wrote, .done = on_done, .context = d};
    enum prober_error err;

    if (!d)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for tasks");
    pthread_mutex_init(&d->lock, NULL);
    d->ledger = config->ledger;
    d->wakeup = config->wakeup;
    d->held_max = config->held_max;
    d->deadline_max_ns = config->settings.terms.deadline_ns;
    err = recall(d);
    if (err)
        prober_fail(why, err, "no memory for tasks");
    else
        err = task_worker_create(&d->worker, &config->settings, config->ledger, config->policy,
                                 &listener, why);
    if (err)
        goto out;
    *out = d;
    d = NULL;
out:
    task_desk_destroy(d);
    return err;
}

/* ---- orders ---- */

static void take_order(struct task_desk *d, const struct wire_task *task)
{
    struct entry *e = make_entry(task->id);
    struct prober_failure why;
    enum prober_error err;

    if (!e) {
        log_error("no memory for a task", LOG_S("task", task->id));
        return;
    }
    e->capped = task->deadline_ns > d->deadline_max_ns;
    pthread_mutex_lock(&d->lock);
    add(d, e); /* first: its result may come before the call returns */
    pthread_mutex_unlock(&d->lock);
    err = task_worker_submit(d->worker, task->id, task->line, task->line_len, task->deadline_ns,
                             &why);
    pthread_mutex_lock(&d->lock);
    if (!err) {
        d->totals.taken++;
    } else if (err == PROBER_ERR_FULL || err == PROBER_ERR_RANGE) {
        end_entry(d, e, WIRE_TASK_REFUSED, why.text, "");
    } else { /* the server gives it again */
        take_out(d, e);
        entry_free(e);
    }
    pthread_mutex_unlock(&d->lock);
}

void task_desk_take(struct task_desk *d, const struct wire_sync_reply *sync)
{
    for (size_t i = 0; i < sync->task_count; i++) {
        if (d->count >= TASK_DESK_MAX)
            break;
        if (!find(d, sync->tasks[i].id))
            take_order(d, &sync->tasks[i]);
    }
    for (size_t i = 0; i < sync->cancel_count; i++) {
        struct entry *e = find(d, sync->cancels[i]);

        if (e && !e->cancelled)
            e->cancelled = task_worker_cancel(d->worker, e->id) == PROBER_OK;
    }
}

/* ---- reports ---- */

/* The server knows all of it, or nothing. */
static void settle(struct task_desk *d, struct entry *e)
{
    bool noted = !e->ended || task_worker_told(d->worker, e->id) == PROBER_OK;

    pthread_mutex_lock(&d->lock);
    take_out(d, e);
    pthread_mutex_unlock(&d->lock);
    if (noted) {
        entry_free(e);
        return;
    }
    e->next = d->settled;
    d->settled = e;
}

/* It is of use to nobody: it is ended, and goes when it has. */
static void give_up(struct task_desk *d, struct entry *e)
{
    bool ended;

    pthread_mutex_lock(&d->lock);
    ended = e->ended;
    e->unwanted = true;
    pthread_mutex_unlock(&d->lock);
    if (ended)
        settle(d, e);
    else
        e->cancelled = task_worker_cancel(d->worker, e->id) == PROBER_OK;
}

/* When the entry has something to tell; UINT64_MAX: not yet. */
static uint64_t due_of(const struct entry *e)
{
    bool wrote = e->streams[TASK_STDOUT].len > e->have[TASK_STDOUT] ||
                 e->streams[TASK_STDERR].len > e->have[TASK_STDERR];

    if (e->ended || (e->began && !e->begin_told))
        return e->not_before_ns;
    if (!wrote)
        return UINT64_MAX;
    return e->follow_ns > e->not_before_ns ? e->follow_ns : e->not_before_ns;
}

static size_t fill_chunks(struct task_desk *d, struct entry *e)
{
    size_t count = 0, left = WIRE_TASK_CHUNK_BYTES_MAX, at = 0;

    strbuf_clear(&d->scratch);
    strbuf_reserve(&d->scratch, left);
    for (int i = 0; i < STREAMS && strbuf_ok(&d->scratch); i++) {
        size_t len = e->streams[i].len - e->have[i];

        len = len < left ? len : left;
        if (len == 0)
            continue;
        strbuf_put(&d->scratch, e->streams[i].bytes + e->have[i], len);
        d->chunks[count++] = (struct wire_task_chunk){.stream = i == TASK_STDOUT ? WIRE_TASK_STDOUT
                                                                                 : WIRE_TASK_STDERR,
                                                      .offset = e->have[i],
                                                      .bytes = d->scratch.bytes + at,
                                                      .len = len};
        at += len;
        left -= len;
    }
    return count;
}

/* The one that is due first, and in what is gone: no longer wanted, and over. */
static struct entry *look(struct task_desk *d, uint64_t *due_ns, struct entry **gone)
{
    struct entry *first = NULL;

    *due_ns = UINT64_MAX;
    for (struct entry *e = d->entries; e; e = e->next) {
        e->signalled = false;
        if (e->unwanted) {
            if (e->ended || d->stopped)
                *gone = e;
            continue;
        }
        if (due_of(e) < *due_ns) {
            *due_ns = due_of(e);
            first = e;
        }
    }
    return first;
}

bool task_desk_next(struct task_desk *d, uint64_t now_ns, struct wire_task_report *out,
                    uint64_t *due_ns)
{
    struct entry *e, *gone;

    do {
        gone = NULL;
        pthread_mutex_lock(&d->lock);
        e = look(d, due_ns, &gone);
        if (!gone)
            break;
        pthread_mutex_unlock(&d->lock);
        settle(d, gone);
    } while (true);
    d->current = NULL;
    if (e && *due_ns <= now_ns) {
        d->current = e;
        d->current_ended = e->ended;
        *out = (struct wire_task_report){.task = e->id,
                                         .state = e->ended ? e->state : WIRE_TASK_RUNNING,
                                         .chunks = d->chunks,
                                         .chunk_count = fill_chunks(d, e),
                                         .has_end = e->ended,
                                         .end = e->end};
    }
    pthread_mutex_unlock(&d->lock);
    return d->current != NULL;
}

static void back_off(struct entry *e, uint64_t now_ns)
{
    e->pause_ns = e->pause_ns ? 2 * e->pause_ns : PAUSE_MIN_NS;
    if (e->pause_ns > PAUSE_MAX_NS)
        e->pause_ns = PAUSE_MAX_NS;
    e->not_before_ns = now_ns + e->pause_ns;
}

/* What the server has counts, more or less than was sent. True when it has all. */
static bool take_offsets(struct entry *e, const struct wire_task_report_reply *reply, bool *moved)
{
    const uint64_t have[STREAMS] = {reply->stdout_have, reply->stderr_have};
    bool whole = true;

    *moved = false;
    for (int i = 0; i < STREAMS; i++) {
        uint64_t len = e->streams[i].len, now = have[i] < len ? have[i] : len;

        *moved |= now > e->have[i];
        whole &= now == len;
        e->have[i] = now;
    }
    return whole;
}

static bool take_progress(struct task_desk *d, struct entry *e,
                          const struct wire_task_report_reply *reply, uint64_t now_ns)
{
    bool moved, whole;

    pthread_mutex_lock(&d->lock);
    whole = take_offsets(e, reply, &moved);
    if (d->current_ended && !whole && !moved) {
        back_off(e, now_ns);
    } else {
        e->pause_ns = 0;
        e->follow_ns = now_ns + TASK_DESK_FOLLOW_NS;
    }
    e->begin_told = true;
    /* The others come first next time. */
    unlink_entry(d, e);
    append(d, e);
    pthread_mutex_unlock(&d->lock);
    return d->current_ended && whole;
}

void task_desk_answer(struct task_desk *d, const struct wire_task_report_reply *reply,
                      uint64_t now_ns)
{
    struct entry *e = d->current;

    if (!e)
        return;
    switch (reply->outcome) {
    case WIRE_TASK_UNKNOWN:
        give_up(d, e);
        break;
    case WIRE_TASK_AGAIN:
        back_off(e, now_ns);
        break;
    case WIRE_TASK_TAKEN:
        if (take_progress(d, e, reply, now_ns))
            settle(d, e);
        break;
    }
    d->current = NULL;
}

void task_desk_reject(struct task_desk *d, const char *cause)
{
    struct entry *e = d->current;

    if (!e)
        return;
    log_error("what came of a task cannot be delivered", LOG_S("task", e->id),
              LOG_S("cause", cause));
    give_up(d, e);
    d->current = NULL;
}

bool task_desk_is_empty(struct task_desk *d)
{
    bool empty = true;

    pthread_mutex_lock(&d->lock);
    for (const struct entry *e = d->entries; e && empty; e = e->next)
        empty = e->unwanted;
    pthread_mutex_unlock(&d->lock);
    return empty;
}

void task_desk_counts(struct task_desk *d, struct task_desk_counts *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->totals;
    pthread_mutex_unlock(&d->lock);
}

void task_desk_set_policy(struct task_desk *d, struct policy *policy)
{
    task_worker_set_policy(d->worker, policy);
}

/* ---- the end ---- */

void task_desk_close(struct task_desk *d)
{
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    pthread_mutex_unlock(&d->lock);
    task_worker_close(d->worker);
}

void task_desk_stop(struct task_desk *d)
{
    task_worker_stop(d->worker);
    pthread_mutex_lock(&d->lock);
    d->stopped = true;
    for (struct entry *e = d->entries; e; e = e->next)
        e->unwanted |= !e->ended;
    pthread_mutex_unlock(&d->lock);
    wakeup_signal(d->wakeup);
}

void task_desk_destroy(struct task_desk *d)
{
    if (!d)
        return;
    task_worker_destroy(d->worker);
    for (const struct entry *e = d->settled; e; e = e->next)
        task_ledger_tell(d->ledger, e->id, NULL); /* else it is told once more */
    free_list(d->settled);
    free_list(d->entries);
    strbuf_free(&d->scratch);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
