#include "test/unit/fakes/fake_tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

#define ROWS 2

struct fake_tasks_asked fake_tasks_asked;
enum prober_error fake_tasks_error;
atomic_int fake_tasks_await_error;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t version;
    struct task_row rows[ROWS];
    struct strbuf outputs[ROWS][2];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void bump(void)
{
    fake.version++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void fake_tasks_reset(void)
{
    static char regions[][4] = {"eu", "us"}, addresses[][16] = {"192.0.2.1", "192.0.2.2"},
                none[] = "";

    pthread_mutex_lock(&fake.lock);
    fake_tasks_error = PROBER_OK;
    fake_tasks_await_error = PROBER_OK;
    fake_tasks_asked = (struct fake_tasks_asked){.created = 0};
    for (size_t i = 0; i < ROWS; i++) {
        strbuf_free(&fake.outputs[i][0]);
        strbuf_free(&fake.outputs[i][1]);
        fake.rows[i] = (struct task_row){.number = (uint32_t)i + 1,
                                         .region = regions[i],
                                         .address = addresses[i],
                                         .text = none,
                                         .notes = none,
                                         .end = TASK_END_NONE,
                                         .queued_real_ns = CLOCK_NS_PER_S};
        for (uint8_t b = 0; b < PROBER_ID_LEN; b++)
            fake.rows[i].agent.bytes[b] = b;
        fake.rows[i].agent.bytes[PROBER_ID_LEN - 1] = (uint8_t)(0x0f + i);
    }
    bump();
}

void fake_tasks_set(size_t row, enum task_state state, int64_t value)
{
    pthread_mutex_lock(&fake.lock);
    fake.rows[row].state = state;
    fake.rows[row].value = (int32_t)value;
    fake.rows[row].end = state == TASK_STATE_DONE ? 0 : TASK_END_NONE;
    fake.rows[row].duration_ns = state == TASK_STATE_DONE ? 1500 * CLOCK_NS_PER_MS : 0;
    bump();
}

void fake_tasks_write(size_t row, enum task_stream_kind stream, const void *bytes, size_t len)
{
    pthread_mutex_lock(&fake.lock);
    strbuf_put(&fake.outputs[row][stream], bytes, len);
    fake.rows[row].streams[stream].have = fake.outputs[row][stream].len;
    fake.rows[row].streams[stream].kept = fake.outputs[row][stream].len;
    bump();
}

/* ---- serverd/tasks.h ---- */

static char texts[][16] = {"eu|us", "=~", "ping x", "uid:0", "127.0.0.1", ""};

static void fill(struct task_view *out)
{
    struct task_view view = {.id = FAKE_TASK,
                             .region = texts[0],
                             .expr = texts[1],
                             .line = texts[2],
                             .who = texts[3],
                             .client = texts[4],
                             .cancelled_by = texts[5],
                             .made_real_ns = 2 * CLOCK_NS_PER_S,
                             .timeout_ns = 60 * CLOCK_NS_PER_S,
                             .version = fake.version,
                             .row_count = ROWS,
                             .rows = fake.rows};
    bool ended = true;

    for (size_t i = 0; i < ROWS; i++) {
        view.counts[fake.rows[i].state]++;
        ended = ended && task_state_is_final(fake.rows[i].state);
    }
    view.ended_real_ns = ended ? 9 * CLOCK_NS_PER_S : 0;
    task_view_copy(out, &view);
}

enum prober_error tasks_create(struct tasks *tasks, const struct tasks_order *order,
                               struct task_view *out, struct prober_failure *why)
{
    struct fake_tasks_asked *asked = &fake_tasks_asked;

    (void)tasks;
    if (fake_tasks_error)
        return prober_fail(why, fake_tasks_error, "the fake says no");
    pthread_mutex_lock(&fake.lock);
    asked->created++;
    asked->timeout_ns = order->timeout_ns;
    snprintf(asked->region, sizeof(asked->region), "%s", order->region);
    snprintf(asked->expr, sizeof(asked->expr), "%s", order->expr);
    snprintf(asked->line, sizeof(asked->line), "%s", order->line);
    snprintf(asked->who, sizeof(asked->who), "%s", order->who);
    fill(out);
    pthread_mutex_unlock(&fake.lock);
    return PROBER_OK;
}

enum prober_error tasks_view(struct tasks *tasks, const char *id, struct task_view *out)
{
    (void)tasks;
    if (strcmp(id, FAKE_TASK) != 0)
        return PROBER_ERR_NOT_FOUND;
    pthread_mutex_lock(&fake.lock);
    fill(out);
    pthread_mutex_unlock(&fake.lock);
    return PROBER_OK;
}

enum prober_error tasks_list(struct tasks *tasks, const char *before, size_t limit,
                             void (*each)(void *context, const struct task_view *view),
                             void *context)
{
    struct task_view view;

    if (before && strcmp(before, FAKE_TASK) != 0)
        return PROBER_ERR_NOT_FOUND;
    if (before || tasks_view(tasks, FAKE_TASK, &view))
        return PROBER_OK;
    for (size_t i = 0; i < limit && i < 3; i++)
        each(context, &view);
    task_view_free(&view);
    return PROBER_OK;
}

enum prober_error tasks_output(struct tasks *tasks, const char *id, const struct prober_id *agent,
                               enum task_stream_kind stream, uint64_t from, uint64_t max,
                               struct strbuf *out)
{
    const struct strbuf *bytes;

    (void)tasks;
    (void)id;
    pthread_mutex_lock(&fake.lock);
    bytes = &fake.outputs[agent->bytes[PROBER_ID_LEN - 1] - 0x0f][stream];
    if (from < bytes->len)
        strbuf_put(out, bytes->bytes + from, bytes->len - from < max ? bytes->len - from : max);
    pthread_mutex_unlock(&fake.lock);
    return PROBER_OK;
}

enum prober_error tasks_cancel(struct tasks *tasks, const char *id, const char *who,
                               struct prober_failure *why)
{
    (void)tasks;
    (void)id;
    if (fake_tasks_error)
        return prober_fail(why, fake_tasks_error, "the fake says no");
    fake_tasks_asked.cancels++;
    snprintf(fake_tasks_asked.cancelled_by, sizeof(fake_tasks_asked.cancelled_by), "%s", who);
    return PROBER_OK;
}

enum prober_error tasks_await(struct tasks *tasks, const char *id, uint64_t seen,
                              uint64_t deadline_ns)
{
    enum prober_error err = PROBER_ERR_TIMEOUT;

    (void)tasks;
    (void)id;
    if (fake_tasks_await_error)
        return (enum prober_error)fake_tasks_await_error;
    pthread_mutex_lock(&fake.lock);
    while (fake.version == seen && clock_monotonic_ns() < deadline_ns) {
        struct timespec soon;

        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 5000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&fake.changed, &fake.lock, &soon);
    }
    if (fake.version != seen)
        err = PROBER_OK;
    pthread_mutex_unlock(&fake.lock);
    return err;
}

/* ---- for agents ---- */

const struct wire_task *fake_tasks_due;
const char *fake_tasks_due_cancel;
static struct wire_task due_task;
static const char *due_cancel;

void tasks_pending(struct tasks *tasks, const struct prober_id *agent,
                   const struct clock_reading *now, struct tasks_pending *out)
{
    (void)tasks;
    (void)agent;
    (void)now;
    *out = (struct tasks_pending){.tasks = &due_task, .cancels = &due_cancel};
    if (fake_tasks_due) {
        due_task = *fake_tasks_due;
        out->task_count = 1;
    }
    if (fake_tasks_due_cancel) {
        due_cancel = fake_tasks_due_cancel;
        out->cancel_count = 1;
    }
}

void tasks_pending_free(struct tasks_pending *pending)
{
    (void)pending;
}

void tasks_report(struct tasks *tasks, const struct prober_id *agent, struct wire_request *request,
                  tasks_answer_fn answer, void *context)
{
    const struct wire_task_report_reply unknown = {.outcome = WIRE_TASK_UNKNOWN};

    (void)tasks;
    (void)agent;
    wire_request_free(request);
    answer(context, &unknown);
}
