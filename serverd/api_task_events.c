#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "serverd/api_tasks.h"

#define LOOK_EVERY_US 50000 /* at least; a task may change much faster */
#define LOOK_STEP_NS (CLOCK_NS_PER_S / 2)
#define BEAT_NS (10 * CLOCK_NS_PER_S)
#define CHUNK 16384

/* What the client has been told of a row. */
struct told {
    bool state_told;
    enum task_state state;
    uint64_t offsets[TASK_STREAM_COUNT];
};

static const char *const streams[TASK_STREAM_COUNT] = {
    [TASK_STREAM_STDOUT] = "stdout", [TASK_STREAM_STDERR] = "stderr"};

struct follower {
    struct web_exchange *x;
    struct tasks *tasks;
    struct told *told; /* [row_count] */
    uint64_t sent_ns;  /* when it last was sent something */
};

/* Sends an event and frees its data; false when the client has gone. */
static bool send_event(struct follower *f, const char *name, struct json *data)
{
    char *text = json_print(data, false);
    struct strbuf event = STRBUF_INIT;
    bool sent;

    json_free(data);
    if (text)
        strbuf_printf(&event, "event: %s\ndata: ", name);
    strbuf_puts(&event, text ? text : "");
    strbuf_puts(&event, "\n\n");
    sent = text && strbuf_ok(&event) && web_stream_put(f->x, event.bytes, event.len);
    f->sent_ns = clock_monotonic_ns();
    strbuf_free(&event);
    free(text);
    return sent;
}

/* The beginning of bytes[len] that does not end within a character. */
static size_t whole_characters(const char *bytes, size_t len)
{
    size_t at = len;

    while (at > 0 && len - at < 4) {
        unsigned char c = (unsigned char)bytes[--at];
        size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if ((c & 0xc0) != 0x80)
            return needs > len - at ? at : len;
    }
    return len;
}

/* Reads on in a stream; a character that is not whole yet is left for later. Nothing: *text is
 * empty. */
static size_t read_on(struct follower *f, const struct task_view *view, size_t which,
                      enum task_stream_kind stream, struct strbuf *text)
{
    const struct task_row *row = &view->rows[which];
    uint64_t from = f->told[which].offsets[stream];
    struct strbuf bytes = STRBUF_INIT;
    size_t len = 0;

    strbuf_clear(text);
    if (tasks_output(f->tasks, view->id, &row->agent, stream, from, CHUNK, &bytes) == PROBER_OK &&
        strbuf_ok(&bytes) && bytes.len > 0) {
        len = task_state_is_final(row->state) && bytes.len < CHUNK
                  ? bytes.len
                  : whole_characters(bytes.bytes, bytes.len);
        api_task_put_text(text, bytes.bytes, len);
    }
    strbuf_free(&bytes);
    return len;
}

/* Sends what there is of a stream since the last time. */
static bool send_output(struct follower *f, const struct task_view *view, size_t which,
                        enum task_stream_kind stream)
{
    const struct task_row *row = &view->rows[which];
    uint64_t *offset = &f->told[which].offsets[stream];
    struct strbuf text = STRBUF_INIT;
    char id[PROBER_ID_TEXT_MAX];
    bool sent = true;
    size_t len;

    while (sent && *offset < row->streams[stream].kept &&
           (len = read_on(f, view, which, stream, &text)) > 0) {
        struct json *data = json_object();

        json_add_string(data, "agent", prober_id_format(&row->agent, id));
        json_add_string(data, "stream", streams[stream]);
        json_add_u64(data, "offset", *offset);
        json_add(data, "text", strbuf_ok(&text) ? json_new_string(text.bytes) : NULL);
        sent = send_event(f, "output", data);
        *offset += len;
    }
    strbuf_free(&text);
    return sent;
}

/* Output before state, so that nothing follows the state in which an agent has ended. */
static bool send_row(struct follower *f, const struct task_view *view, size_t which)
{
    const struct task_row *row = &view->rows[which];
    struct told *told = &f->told[which];

    if (!send_output(f, view, which, TASK_STREAM_STDOUT) ||
        !send_output(f, view, which, TASK_STREAM_STDERR))
        return false;
    if (told->state_told && told->state == row->state)
        return true;
    told->state_told = true;
    told->state = row->state;
    return send_event(f, "state", api_task_row_json(row));
}

static bool send_news(struct follower *f, const struct task_view *view)
{
    for (size_t i = 0; i < view->row_count; i++)
        if (!send_row(f, view, i))
            return false;
    return true;
}

/* Waits for another version; a beat now and then tells whether the client is still there. */
static bool wait_for_news(struct follower *f, const struct task_view *view)
{
    enum prober_error err;

    usleep(LOOK_EVERY_US);
    do {
        uint64_t now_ns = clock_monotonic_ns();

        if (now_ns - f->sent_ns >= BEAT_NS) {
            if (!web_stream_put(f->x, ": still here\n\n", 14))
                return false;
            f->sent_ns = now_ns;
        }
        err = tasks_await(f->tasks, view->id, view->version, now_ns + LOOK_STEP_NS);
        if (err == PROBER_ERR_FULL)
            usleep(LOOK_STEP_NS / 1000); /* it looks without being woken */
    } while (err == PROBER_ERR_TIMEOUT && !web_is_closing(f->x));
    return (err == PROBER_OK || err == PROBER_ERR_FULL) && !web_is_closing(f->x);
}

static void follow(struct follower *f, struct task_view *view)
{
    bool more = true;

    while (more) {
        struct task_view newer;

        more = send_news(f, view);
        if (more && api_task_has_ended(view)) {
            send_event(f, "end", api_task_json(view));
            return;
        }
        more =
            more && wait_for_news(f, view) && tasks_view(f->tasks, view->id, &newer) == PROBER_OK;
        if (more) {
            task_view_free(view);
            *view = newer;
        }
    }
}

void api_tasks_follow(struct web_exchange *x, void *context)
{
    struct follower f = {.x = x};
    struct task_view view;

    if (!api_task_find(x, context, &f.tasks, &view))
        return;
    f.told = calloc(view.row_count + 1, sizeof(*f.told));
    if (!f.told)
        web_reply_text(x, 503, "out of memory\n");
    else if (web_stream(x, "text/event-stream"))
        follow(&f, &view);
    free(f.told);
    task_view_free(&view);
}
