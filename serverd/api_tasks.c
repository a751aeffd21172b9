#include "serverd/api_tasks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"
#include "common/number.h"
#include "common/utf8.h"
#include "serverd/access.h"
#include "serverd/api.h"
#include "serverd/task_body.h"

#define ID_ROOM 64
#define LIST_DEFAULT 100
#define LIST_MAX 1000
#define WAIT_MAX_NS (300 * CLOCK_NS_PER_S)
#define WAIT_STEP_NS (CLOCK_NS_PER_S / 2) /* after which the server's own end is seen */
#define OUTPUT_DEFAULT 4096               /* bytes of each stream in a task's JSON */
#define OUTPUT_MAX 65536
#define OUTPUTS_MAX (8u << 20) /* of all streams in it */
#define OUTPUT_WHOLE (64u << 20)

static const char not_open[] = "Interface not open, use -server.task to open func";
static const char no_memory[] = "out of memory\n";

static double seconds(uint64_t ns)
{
    return (double)ns / (double)CLOCK_NS_PER_S;
}

static void reply_json(struct web_exchange *x, int status, struct json *value)
{
    char *text = json_print(value, false);

    json_free(value);
    if (text)
        web_reply(x, status, "application/json", text, strlen(text));
    else
        web_reply_text(x, 500, no_memory);
    free(text);
}

/* ---- what was asked for ---- */

bool api_task_find(struct web_exchange *x, void *context, struct tasks **tasks,
                   struct task_view *view)
{
    const struct api *api = context;
    char id[ID_ROOM];
    enum prober_error err;

    if (!api->tasks) {
        web_reply_text(x, 503, not_open);
        return false;
    }
    *tasks = api->tasks;
    err = web_path_part(x, "id", id, sizeof(id)) ? tasks_view(api->tasks, id, view)
                                                 : PROBER_ERR_NOT_FOUND;
    if (err == PROBER_ERR_NOT_FOUND)
        web_reply_text(x, 404, "there is no task of this id\n");
    else if (err)
        web_reply_text(x, 503, no_memory);
    return err == PROBER_OK;
}

/* A whole number of the query, or *out as it was when it is not there. */
static bool query_number(struct web_exchange *x, const char *name, int64_t least, int64_t most,
                         int64_t *out)
{
    char text[ID_ROOM];

    return !web_query(x, name, text, sizeof(text)) ||
           (number_parse_i64(text, out) == PROBER_OK && *out >= least && *out <= most);
}

/* A version of a task of the query; *given tells whether it is there. */
static bool query_version(struct web_exchange *x, bool *given, uint64_t *out)
{
    char text[ID_ROOM], *end;

    *given = web_query(x, "seen", text, sizeof(text));
    if (!*given)
        return true;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

/* How long to wait; 0 when the query does not say. False: the client was told. */
static bool query_wait(struct web_exchange *x, uint64_t *wait_ns)
{
    char text[ID_ROOM];

    *wait_ns = 0;
    if (!web_query(x, "wait", text, sizeof(text)) ||
        (duration_parse(text, wait_ns) == PROBER_OK && *wait_ns <= WAIT_MAX_NS))
        return true;
    web_reply_text(x, 400, "wait is a duration of up to 5m\n");
    return false;
}

/* ---- tasks as JSON ---- */

bool api_task_has_ended(const struct task_view *view)
{
    return view->ended_real_ns != 0;
}

static void add_time(struct json *object, const char *key, uint64_t real_ns)
{
    if (real_ns)
        json_add_double(object, key, seconds(real_ns));
    else
        json_add_null(object, key);
}

struct json *api_task_json(const struct task_view *view)
{
    struct json *object = json_object(), *counts = json_object();
    size_t ended = 0;

    for (int state = 0; state < TASK_STATE_COUNT; state++) {
        json_add_u64(counts, task_state_text((enum task_state)state), view->counts[state]);
        if (task_state_is_final((enum task_state)state))
            ended += view->counts[state];
    }
    json_add_string(object, "id", view->id);
    json_add_string(object, "region", view->region);
    json_add_string(object, "expr", view->expr);
    json_add_string(object, "cmd", view->line);
    json_add_string(object, "who", view->who);
    json_add_string(object, "client", view->client);
    add_time(object, "made", view->made_real_ns);
    add_time(object, "cancelled_at", view->cancelled_real_ns);
    json_add_string(object, "cancelled_by", view->cancelled_by);
    add_time(object, "ended_at", view->ended_real_ns);
    json_add_double(object, "timeout", seconds(view->timeout_ns));
    json_add_u64(object, "version", view->version);
    json_add_bool(object, "ended", api_task_has_ended(view));
    json_add_u64(object, "agent_count", view->row_count);
    json_add_u64(object, "ended_count", ended);
    json_add(object, "counts", counts);
    return object;
}

static void add_value(struct json *object, const char *key, bool known, int64_t value)
{
    if (known)
        json_add_double(object, key, (double)value);
    else
        json_add_null(object, key);
}

static bool ended_by(const struct task_row *row, const char *end)
{
    return row->state == TASK_STATE_DONE && strcmp(task_end_name(row->end), end) == 0;
}

/* How much is kept of a stream, and how much there was in all. */
static void add_size(struct json *object, const char *name, const struct task_row *row,
                     enum task_stream_kind stream)
{
    const struct task_stream *s = &row->streams[stream];
    char key[32];

    snprintf(key, sizeof(key), "%s_bytes", name);
    json_add_u64(object, key, s->kept);
    snprintf(key, sizeof(key), "%s_written", name);
    if (task_state_is_final(row->state))
        json_add_u64(object, key, s->total);
    else
        json_add_null(object, key);
}

struct json *api_task_row_json(const struct task_row *row)
{
    struct json *object = json_object();
    char id[PROBER_ID_TEXT_MAX];

    json_add_string(object, "agent", prober_id_format(&row->agent, id));
    json_add_u64(object, "number", row->number);
    json_add_string(object, "region", row->region);
    json_add_string(object, "address", row->address);
    json_add_string(object, "state", task_state_text(row->state));
    json_add_bool(object, "ended", task_state_is_final(row->state));
    if (row->end == TASK_END_NONE)
        json_add_null(object, "end");
    else
        json_add_string(object, "end", task_end_name(row->end));
    add_value(object, "exit_code", ended_by(row, "exited"), row->value);
    add_value(object, "signal", ended_by(row, "signalled"), row->value);
    if (row->end != TASK_END_NONE)
        json_add_double(object, "duration", seconds(row->duration_ns));
    else
        json_add_null(object, "duration");
    json_add_u64(object, "left_behind", row->left_behind);
    json_add_string(object, "text", row->text);
    json_add_string(object, "notes", row->notes);
    add_time(object, "queued_at", row->queued_real_ns);
    add_time(object, "sent_at", row->sent_real_ns);
    add_time(object, "began_at", row->began_real_ns);
    add_time(object, "ended_at", row->ended_real_ns);
    add_size(object, "stdout", row, TASK_STREAM_STDOUT);
    add_size(object, "stderr", row, TASK_STREAM_STDERR);
    return object;
}

void api_task_put_text(struct strbuf *out, const char *bytes, size_t len)
{
    while (len > 0) {
        uint32_t rune = 0;
        size_t used = utf8_decode(bytes, len, &rune);

        if (used && rune)
            strbuf_put(out, bytes, used);
        else
            strbuf_puts(out, "\xef\xbf\xbd");
        bytes += used ? used : 1;
        len -= used ? used : 1;
    }
}

/* What outputs a task's JSON takes in. */
struct outputs {
    struct tasks *tasks;
    const char *id;
    uint64_t most; /* of each */
    uint64_t left; /* of all */
};

/* The text of a stream; null when there is no room for it. */
static void add_output(struct json *object, const char *key, struct outputs *o,
                       const struct task_row *row, enum task_stream_kind stream)
{
    uint64_t kept = row->streams[stream].kept, most = kept < o->most ? kept : o->most;
    struct strbuf bytes = STRBUF_INIT, text = STRBUF_INIT;

    if (o->most == 0 || most > o->left ||
        (most > 0 && tasks_output(o->tasks, o->id, &row->agent, stream, 0, most, &bytes))) {
        json_add_null(object, key);
    } else {
        o->left -= most;
        strbuf_puts(&text, "");
        api_task_put_text(&text, bytes.bytes, bytes.len);
        json_add(object, key,
                 strbuf_ok(&text) ? json_new_string(text.bytes ? text.bytes : "") : NULL);
    }
    strbuf_free(&bytes);
    strbuf_free(&text);
}

static struct json *whole_json(struct tasks *tasks, const struct task_view *view, uint64_t most)
{
    struct json *object = api_task_json(view), *agents = json_array();
    struct outputs o = {tasks, view->id, most, OUTPUTS_MAX};

    for (size_t i = 0; i < view->row_count; i++) {
        const struct task_row *row = &view->rows[i];
        struct json *shown = api_task_row_json(row);

        add_output(shown, "stdout", &o, row, TASK_STREAM_STDOUT);
        add_output(shown, "stderr", &o, row, TASK_STREAM_STDERR);
        json_append(agents, shown);
    }
    json_add(object, "agents", agents);
    return object;
}

/* ---- waiting ---- */

/* Looks at the task anew until it has ended or, with `any`, has changed, or the time is up, or
 * nobody more may wait. *view is always the newest that could be had. */
static void await(struct web_exchange *x, struct tasks *tasks, struct task_view *view, bool any,
                  uint64_t wait_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + wait_ns, now_ns, seen = view->version;
    enum prober_error err = PROBER_OK;

    while (!api_task_has_ended(view) && (!any || view->version == seen) && !web_is_closing(x) &&
           (now_ns = clock_monotonic_ns()) < until_ns && web_linger(x)) {
        uint64_t step_ns = until_ns - now_ns < WAIT_STEP_NS ? until_ns : now_ns + WAIT_STEP_NS;
        struct task_view newer;

        err = tasks_await(tasks, view->id, view->version, step_ns);
        if (err == PROBER_ERR_TIMEOUT)
            continue;
        if (err || tasks_view(tasks, view->id, &newer))
            return;
        task_view_free(view);
        *view = newer;
    }
}

/* ---- the original's request ---- */

/* The original's reply, to which the caller may add. */
static struct json *original_reply(int code, const char *msg, const char *data)
{
    struct json *object = json_object();

    json_add_double(object, "code", code);
    json_add_string(object, "msg", msg);
    json_add_string(object, "data", data);
    return object;
}

static void refuse_task(struct web_exchange *x, enum prober_error err,
                        const struct prober_failure *why)
{
    static const struct {
        enum prober_error err;
        int status;
        const char *msg;
    } answers[] = {
        {PROBER_ERR_SYNTAX, 400, "task refused"},
        {PROBER_ERR_RANGE, 400, "task refused"},
        {PROBER_ERR_NOT_FOUND, 404, "no agent matches"},
        {PROBER_ERR_FULL, 503, "too many tasks"},
    };

    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        if (answers[i].err == err) {
            reply_json(x, answers[i].status,
                       original_reply(answers[i].status, answers[i].msg, why->text));
            return;
        }
    reply_json(x, 503, original_reply(503, "task not taken", why->text));
}

static void give(struct web_exchange *x, struct tasks *tasks, const struct task_body *body,
                 uint64_t wait_ns)
{
    const struct access_caller *caller = web_caller(x);
    char client[PROBER_ADDR_TEXT_MAX] = "";
    struct tasks_order order = {.region = body->region,
                                .expr = body->expr,
                                .line = body->line,
                                .timeout_ns = body->timeout_ns,
                                .who = caller ? caller->who : "",
                                .client =
                                    caller ? prober_addr_format(&caller->client, client) : ""};
    struct prober_failure why;
    struct task_view view;
    struct json *reply;
    enum prober_error err = tasks_create(tasks, &order, &view, &why);

    if (err) {
        refuse_task(x, err, &why);
        return;
    }
    reply = original_reply(200, "success", "success");
    json_add_string(reply, "task", view.id);
    json_add_u64(reply, "agents", view.row_count);
    if (wait_ns) {
        await(x, tasks, &view, false, wait_ns);
        json_add(reply, "result", whole_json(tasks, &view, OUTPUT_MAX));
    }
    task_view_free(&view);
    reply_json(x, 200, reply);
}

void api_tasks_post(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct prober_failure why;
    struct task_body body;
    uint64_t wait_ns;
    const char *text;
    size_t len;

    if (!api->tasks) {
        reply_json(x, 503, original_reply(-1, "error", not_open));
        return;
    }
    if (!query_wait(x, &wait_ns))
        return;
    text = web_body(x, &len);
    if (task_body_read(&body, text, len, &why))
        reply_json(x, 400, original_reply(400, "task req json decode failed", why.text));
    else
        give(x, api->tasks, &body, wait_ns);
    task_body_free(&body);
}

/* ---- looking ---- */

static void add_task(void *context, const struct task_view *view)
{
    json_append(context, api_task_json(view));
}

void api_tasks_list(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    char before[ID_ROOM];
    int64_t limit = LIST_DEFAULT;
    struct json *object, *list;

    if (!api->tasks) {
        web_reply_text(x, 503, not_open);
        return;
    }
    if (!query_number(x, "limit", 1, LIST_MAX, &limit)) {
        web_reply_text(x, 400, "limit is from 1 to 1000\n");
        return;
    }
    object = json_object();
    list = json_array();
    if (tasks_list(api->tasks, web_query(x, "before", before, sizeof(before)) ? before : NULL,
                   (size_t)limit, add_task, list)) {
        json_free(object);
        json_free(list);
        web_reply_text(x, 404, "there is no task of the id that before names\n");
        return;
    }
    json_add(object, "tasks", list);
    reply_json(x, 200, object);
}

void api_tasks_get(struct web_exchange *x, void *context)
{
    int64_t output = OUTPUT_DEFAULT;
    struct tasks *tasks;
    struct task_view view;
    uint64_t wait_ns, seen = 0;
    bool has_seen;

    if (!query_number(x, "output", 0, OUTPUT_MAX, &output) || !query_version(x, &has_seen, &seen)) {
        web_reply_text(x, 400, "output is from 0 to 65536, seen is a version\n");
        return;
    }
    if (!query_wait(x, &wait_ns) || !api_task_find(x, context, &tasks, &view))
        return;
    if (!has_seen || view.version == seen)
        await(x, tasks, &view, has_seen, wait_ns);
    reply_json(x, 200, whole_json(tasks, &view, (uint64_t)output));
    task_view_free(&view);
}

/* ---- outputs ---- */

static bool is_text(const struct strbuf *bytes)
{
    return !bytes->len ||
           (utf8_is_valid(bytes->bytes, bytes->len) && !memchr(bytes->bytes, '\0', bytes->len));
}

static bool query_stream(struct web_exchange *x, enum task_stream_kind *stream)
{
    static const struct {
        const char *name;
        enum task_stream_kind stream;
    } streams[] = {{"stdout", TASK_STREAM_STDOUT}, {"stderr", TASK_STREAM_STDERR}};
    char text[ID_ROOM];

    *stream = TASK_STREAM_STDOUT;
    if (!web_query(x, "stream", text, sizeof(text)))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        if (strcmp(text, streams[i].name) == 0) {
            *stream = streams[i].stream;
            return true;
        }
    web_reply_text(x, 400, "stream is stdout or stderr\n");
    return false;
}

static const struct task_row *find_row(const struct task_view *view, const struct prober_id *agent)
{
    for (size_t i = 0; i < view->row_count; i++)
        if (prober_id_equal(&view->rows[i].agent, agent))
            return &view->rows[i];
    return NULL;
}

void api_tasks_output(struct web_exchange *x, void *context)
{
    struct strbuf bytes = STRBUF_INIT;
    char text[PROBER_ID_TEXT_MAX + 1];
    struct prober_id agent;
    struct task_view view;
    struct tasks *tasks;
    enum task_stream_kind stream;

    if (!query_stream(x, &stream) || !api_task_find(x, context, &tasks, &view))
        return;
    if (!web_path_part(x, "agent", text, sizeof(text)) || prober_id_parse(text, &agent) ||
        !find_row(&view, &agent))
        web_reply_text(x, 404, "this task has no agent of this id\n");
    else if (tasks_output(tasks, view.id, &agent, stream, 0, OUTPUT_WHOLE, &bytes) ||
             !strbuf_ok(&bytes))
        web_reply_text(x, 503, "the output cannot be read now\n");
    else
        web_reply(x, 200,
                  is_text(&bytes) ? "text/plain; charset=utf-8" : "application/octet-stream",
                  bytes.bytes ? bytes.bytes : "", bytes.len);
    strbuf_free(&bytes);
    task_view_free(&view);
}

/* ---- cancelling ---- */

void api_tasks_cancel(struct web_exchange *x, void *context)
{
    const struct access_caller *caller = web_caller(x);
    struct prober_failure why;
    struct task_view view;
    struct tasks *tasks;
    struct json *reply;
    size_t open = 0;

    if (!api_task_find(x, context, &tasks, &view))
        return;
    for (int state = 0; state < TASK_STATE_COUNT; state++)
        if (!task_state_is_final((enum task_state)state))
            open += view.counts[state];
    if (tasks_cancel(tasks, view.id, caller ? caller->who : "", &why)) {
        web_reply_text(x, 503, why.text);
    } else {
        reply = json_object();
        json_add_string(reply, "task", view.id);
        json_add_u64(reply, "cancelled", open);
        reply_json(x, 200, reply);
    }
    task_view_free(&view);
}
