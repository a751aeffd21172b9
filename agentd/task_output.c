#include "agentd/task_output.h"

#include <stdlib.h>
#include <string.h>

void task_output_init(struct task_output *o, size_t max)
{
    *o = (struct task_output){.half = max / 2};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void add_to_tail(struct task_output *o, const char *bytes, size_t len)
{
    if (!o->tail)
        o->tail = malloc(o->half);
    if (!o->tail) {
        o->forgone += len;
        return;
    }
    if (len > o->half) {
        bytes += len - o->half;
        len = o->half;
    }
    while (len > 0) {
        size_t part = least(len, o->half - o->tail_at);

        memcpy(o->tail + o->tail_at, bytes, part);
        o->tail_at = (o->tail_at + part) % o->half;
        bytes += part;
        len -= part;
    }
}

void task_output_add(struct task_output *o, const void *bytes, size_t len)
{
    size_t part = least(len, o->half - o->head.len);

    o->total += len;
    strbuf_put(&o->head, bytes, part);
    if (!strbuf_ok(&o->head)) {
        strbuf_free(&o->head);
        o->half = 0;
    }
    if (o->half == 0)
        o->forgone += len;
    else if (len > part)
        add_to_tail(o, (const char *)bytes + part, len - part);
}

static size_t tail_len(const struct task_output *o)
{
    uint64_t behind = o->total - o->head.len;

    return !o->tail ? 0 : behind < o->half ? (size_t)behind : o->half;
}

uint64_t task_output_left_out(const struct task_output *o)
{
    return o->total - o->head.len - tail_len(o);
}

void task_output_write(const struct task_output *o, struct strbuf *to)
{
    uint64_t left_out = task_output_left_out(o);
    size_t len = tail_len(o), start;

    strbuf_put(to, o->head.bytes, o->head.len);
    if (left_out > 0)
        strbuf_printf(to, "\n[%llu bytes are left out here]\n", (unsigned long long)left_out);
    if (len == 0)
        return;
    start = (o->tail_at + o->half - len) % o->half;
    strbuf_put(to, o->tail + start, least(len, o->half - start));
    if (len > o->half - start)
        strbuf_put(to, o->tail, len - (o->half - start));
}

void task_output_free(struct task_output *o)
{
    strbuf_free(&o->head);
    free(o->tail);
    o->tail = NULL;
}
