#include "common/wire_pb.h"

typedef Probermesh__Wire__Task pb_task;
typedef Probermesh__Wire__TaskReport pb_task_report;
typedef Probermesh__Wire__TaskChunk pb_task_chunk;
typedef Probermesh__Wire__TaskEnd pb_task_end;

enum prober_error wire_pb_put_tasks(const struct wire_sync_reply *from, pb_sync_reply *to,
                                    struct arena *arena)
{
    pb_task *tasks = arena_array(arena, from->task_count, sizeof(*tasks));

    to->tasks = arena_array(arena, from->task_count, sizeof(pb_task *));
    if (!tasks || !to->tasks)
        return PROBER_ERR_NOMEM;
    to->n_tasks = from->task_count;
    for (size_t i = 0; i < from->task_count; i++) {
        probermesh__wire__task__init(&tasks[i]);
        tasks[i].id = wire_pb_text(from->tasks[i].id);
        tasks[i].line = wire_pb_bytes(from->tasks[i].line, from->tasks[i].line_len);
        tasks[i].deadline_ns = from->tasks[i].deadline_ns;
        to->tasks[i] = &tasks[i];
    }
    to->n_cancels = from->cancel_count;
    to->cancels = (char **)from->cancels;
    return PROBER_OK;
}

static enum prober_error put_chunks(const struct wire_task_report *from, pb_task_report *to,
                                    struct arena *arena)
{
    pb_task_chunk *chunks = arena_array(arena, from->chunk_count, sizeof(*chunks));

    to->chunks = arena_array(arena, from->chunk_count, sizeof(pb_task_chunk *));
    if (!chunks || !to->chunks)
        return PROBER_ERR_NOMEM;
    to->n_chunks = from->chunk_count;
    for (size_t i = 0; i < from->chunk_count; i++) {
        probermesh__wire__task_chunk__init(&chunks[i]);
        chunks[i].stream = from->chunks[i].stream;
        chunks[i].offset = from->chunks[i].offset;
        chunks[i].bytes = wire_pb_bytes(from->chunks[i].bytes, from->chunks[i].len);
        to->chunks[i] = &chunks[i];
    }
    return PROBER_OK;
}

static void put_end(const struct wire_task_end *from, pb_task_end *to)
{
    to->end = from->end;
    to->value = from->value;
    to->duration_ns = from->duration_ns;
    to->left_behind = from->left_behind;
    to->stdout_length = from->stdout_length;
    to->stderr_length = from->stderr_length;
    to->stdout_total = from->stdout_total;
    to->stderr_total = from->stderr_total;
    to->text = wire_pb_text(from->text);
    to->notes = wire_pb_text(from->notes);
}

enum prober_error wire_pb_put_task_report(const struct wire_task_report *from, pb_request *to,
                                          struct arena *arena)
{
    pb_task_report *report;

    WIRE_PB_NEW(report, task_report, arena);
    if (!report)
        return PROBER_ERR_NOMEM;
    to->task_report = report;
    report->task = wire_pb_text(from->task);
    report->state = from->state;
    if (from->has_end) {
        WIRE_PB_NEW(report->end, task_end, arena);
        if (!report->end)
            return PROBER_ERR_NOMEM;
        put_end(&from->end, report->end);
    }
    return put_chunks(from, report, arena);
}

enum prober_error wire_pb_put_task_report_reply(const struct wire_task_report_reply *from,
                                                pb_reply *to, struct arena *arena)
{
    WIRE_PB_NEW(to->task_report, task_report_reply, arena);
    if (!to->task_report)
        return PROBER_ERR_NOMEM;
    to->task_report->outcome = from->outcome;
    to->task_report->stdout_have = from->stdout_have;
    to->task_report->stderr_have = from->stderr_have;
    return PROBER_OK;
}

enum prober_error wire_pb_get_tasks(const pb_sync_reply *from, struct wire_sync_reply *to,
                                    struct arena *arena, struct prober_failure *why)
{
    struct wire_task *tasks;

    if (from->n_tasks > WIRE_TASKS_MAX)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "sync.tasks: %zu of them, %d allowed",
                           from->n_tasks, WIRE_TASKS_MAX);
    tasks = arena_array(arena, from->n_tasks, sizeof(*tasks));
    if (!tasks)
        return prober_fail(why, PROBER_ERR_NOMEM, "sync.tasks: out of memory");
    for (size_t i = 0; i < from->n_tasks; i++) {
        const pb_task *task = from->tasks[i];

        tasks[i] = (struct wire_task){task->id, (const char *)task->line.data, task->line.len,
                                      task->deadline_ns};
    }
    to->tasks = tasks;
    to->task_count = from->n_tasks;
    to->cancels = (const char *const *)from->cancels;
    to->cancel_count = from->n_cancels;
    return PROBER_OK;
}

static void get_end(const pb_task_end *from, struct wire_task_end *to)
{
    *to = (struct wire_task_end){.end = from->end,
                                 .value = from->value,
                                 .duration_ns = from->duration_ns,
                                 .left_behind = from->left_behind,
                                 .stdout_length = from->stdout_length,
                                 .stderr_length = from->stderr_length,
                                 .stdout_total = from->stdout_total,
                                 .stderr_total = from->stderr_total,
                                 .text = from->text,
                                 .notes = from->notes};
}

enum prober_error wire_pb_get_task_report(const pb_task_report *from, struct wire_task_report *to,
                                          struct arena *arena, struct prober_failure *why)
{
    struct wire_task_chunk *chunks;

    if (from->n_chunks > WIRE_TASK_CHUNKS_MAX)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "task_report.chunks: %zu of them, %d allowed",
                           from->n_chunks, WIRE_TASK_CHUNKS_MAX);
    chunks = arena_array(arena, from->n_chunks, sizeof(*chunks));
    if (!chunks)
        return prober_fail(why, PROBER_ERR_NOMEM, "task_report.chunks: out of memory");
    for (size_t i = 0; i < from->n_chunks; i++) {
        const pb_task_chunk *chunk = from->chunks[i];

        chunks[i] = (struct wire_task_chunk){chunk->stream, chunk->offset,
                                             (const char *)chunk->bytes.data, chunk->bytes.len};
    }
    *to = (struct wire_task_report){.task = from->task,
                                    .state = from->state,
                                    .chunks = chunks,
                                    .chunk_count = from->n_chunks,
                                    .has_end = from->end != NULL};
    if (from->end)
        get_end(from->end, &to->end);
    return PROBER_OK;
}

enum prober_error wire_pb_get_task_report_reply(const Probermesh__Wire__TaskReportReply *from,
                                                struct wire_task_report_reply *to,
                                                struct prober_failure *why)
{
    if (from->outcome > WIRE_TASK_AGAIN)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "task_report.outcome: %u is not known",
                           from->outcome);
    *to = (struct wire_task_report_reply){(enum wire_task_outcome)from->outcome, from->stdout_have,
                                          from->stderr_have};
    return PROBER_OK;
}
