/*
 * wire_task - the messages about tasks; a part of common/wire.h.
 *
 * Purpose    A reply to `sync` brings the tasks that an agent has not spoken of yet, and the ids of
 *            those to be cancelled. `task_report` tells what became of one: what its program wrote,
 *            piece by piece, and in the end how it ended. All of it may be sent again: a task is
 *            known by its id, a byte of output by (task, agent, stream, offset).
 * Threads    Plain data; pure functions.
 * Ownership  As in wire.h: a decoded message owns what these point to.
 */
#ifndef COMMON_WIRE_TASK_H
#define COMMON_WIRE_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_TASK_ID_MAX 63 /* bytes, without an end */
#define WIRE_TASK_LINE_MAX 4096
#define WIRE_TASK_DEADLINE_MAX_NS (UINT64_C(86400) * 1000000000)
#define WIRE_TASKS_MAX 64 /* of a reply */
#define WIRE_CANCELS_MAX 256
#define WIRE_TASK_CHUNKS_MAX 16
#define WIRE_TASK_CHUNK_BYTES_MAX (256u << 10) /* of all chunks of a report */
#define WIRE_TASK_STREAM_MAX (64u << 20)       /* bytes of a stream that may be delivered */
#define WIRE_TASK_NOTES_MAX 4096

struct wire_task {
    const char *id;
    const char *line; /* [line_len], 1..WIRE_TASK_LINE_MAX bytes, no NUL among them */
    size_t line_len;
    uint64_t deadline_ns; /* 1..WIRE_TASK_DEADLINE_MAX_NS, from its start */
};

enum wire_task_state {
    WIRE_TASK_RUNNING = 1,
    WIRE_TASK_ENDED = 2,       /* it ran; the end says how that ended */
    WIRE_TASK_REFUSED = 3,     /* it did not run; end.text says why */
    WIRE_TASK_INTERRUPTED = 4, /* it ran when its agent died */
    WIRE_TASK_RAN_BEFORE = 5 /* it ended in an earlier life of the agent, and its result is lost */
};

#define WIRE_TASK_STDOUT 1
#define WIRE_TASK_STDERR 2

/* bytes[len] of a stream, from `offset` on; offset + len is at most WIRE_TASK_STREAM_MAX. */
struct wire_task_chunk {
    uint32_t stream; /* WIRE_TASK_STDOUT or WIRE_TASK_STDERR */
    uint64_t offset;
    const char *bytes;
    size_t len; /* from 1 */
};

struct wire_task_end {
    uint32_t end; /* enum task_end of the agent (agentd/task_run.h); there may be later ones.
                     Means something in WIRE_TASK_ENDED only, as do the numbers below */
    int32_t value;
    uint64_t duration_ns;
    uint32_t left_behind;
    uint64_t stdout_length, stderr_length; /* bytes of the stream that are delivered by chunks */
    uint64_t stdout_total, stderr_total;   /* bytes that the program wrote */
    const char *text;  /* a sentence for people, WIRE_MESSAGE_MAX bytes; or "" */
    const char *notes; /* lines for people, WIRE_TASK_NOTES_MAX bytes; or "" */
};

struct wire_task_report {
    const char *task;
    uint32_t state;                       /* enum wire_task_state */
    const struct wire_task_chunk *chunks; /* [chunk_count], 0..WIRE_TASK_CHUNKS_MAX */
    size_t chunk_count;
    bool has_end; /* in all states but WIRE_TASK_RUNNING */
    struct wire_task_end end;
};

enum wire_task_outcome {
    WIRE_TASK_TAKEN = 0,
    WIRE_TASK_UNKNOWN = 1, /* the server does not know it for this agent: let it go */
    WIRE_TASK_AGAIN = 2    /* it could not be kept now: again later */
};

/* With WIRE_TASK_TAKEN: a state with an end is kept for good when both streams are as long as the
 * end says; else the agent goes on from what the server has, and sends the end again. */
struct wire_task_report_reply {
    enum wire_task_outcome outcome;
    uint64_t stdout_have, stderr_have; /* bytes of each stream that the server has */
};

/* True for 1..WIRE_TASK_ID_MAX letters, digits, '-' and '_'. */
bool wire_task_id_is_valid(const char *id);

#endif
