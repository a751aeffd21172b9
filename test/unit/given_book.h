/* Tasks, agents and reports for tests. */
#ifndef TEST_UNIT_GIVEN_BOOK_H
#define TEST_UNIT_GIVEN_BOOK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serverd/task_record.h"

#define AGENT(n) ((struct prober_id){{(uint8_t)(n), 1}})

/* A task for the agents 1..rows. */
static inline struct task_view given_task(const char *id, size_t rows, uint64_t timeout_ns,
                                          uint64_t made_real_ns)
{
    struct task_view v = {.timeout_ns = timeout_ns, .made_real_ns = made_real_ns};

    snprintf(v.id, sizeof(v.id), "%s", id);
    v.region = strdup("eu");
    v.expr = strdup("=~");
    v.line = strdup("ping a");
    v.who = strdup("token:me");
    v.client = strdup("127.0.0.1");
    v.cancelled_by = strdup("");
    v.rows = calloc(rows + 1, sizeof(*v.rows));
    v.row_count = rows;
    for (size_t i = 0; i < rows; i++)
        v.rows[i] = (struct task_row){.agent = AGENT(i + 1),
                                      .number = (uint32_t)i + 1,
                                      .region = strdup("eu"),
                                      .address = strdup("192.0.2.1"),
                                      .end = TASK_END_NONE,
                                      .text = strdup(""),
                                      .notes = strdup(""),
                                      .queued_real_ns = made_real_ns};
    return v;
}

static inline struct wire_task_report given_running(const char *id)
{
    return (struct wire_task_report){.task = id, .state = WIRE_TASK_RUNNING};
}

static inline struct wire_task_report given_end(const char *id, uint32_t state, uint32_t end,
                                                uint64_t out, uint64_t err)
{
    return (struct wire_task_report){.task = id,
                                     .state = state,
                                     .has_end = true,
                                     .end = {.end = end,
                                             .value = 3,
                                             .duration_ns = 1000,
                                             .stdout_length = out,
                                             .stderr_length = err,
                                             .stdout_total = out,
                                             .stderr_total = err,
                                             .text = "",
                                             .notes = ""}};
}

static inline struct wire_task_chunk given_chunk(uint32_t stream, uint64_t offset,
                                                 const char *bytes)
{
    return (struct wire_task_chunk){stream, offset, bytes, strlen(bytes)};
}

#endif
