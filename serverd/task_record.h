/*
 * task_record - what is known of a task and of its agents, to be shown.
 *
 * Threads    Plain data; pure functions.
 * Ownership  A view that was copied (task_view_copy) owns what it points to.
 */
#ifndef SERVERD_TASK_RECORD_H
#define SERVERD_TASK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"

/* What has become of a task at one agent: X(name, text). Those from DONE on are final. */
#define TASK_STATES(X)                                                                             \
    X(QUEUED, "queued") /* the agent has not asked since */                                        \
    X(SENT, "sent")     /* it was handed to the agent, which has not spoken of it yet */           \
    X(RUNNING, "running")                                                                          \
    X(DONE, "done")           /* its program ended: `end` and `value` say how */                   \
    X(REFUSED, "refused")     /* it did not run: `text` says why */                                \
    X(TIMED_OUT, "timed_out") /* stopped at its deadline, or nothing was told in time */           \
    X(CANCELLED, "cancelled")                                                                      \
    X(INTERRUPTED, "interrupted") /* it ran when the agent died */                                 \
    X(AGENT_GONE, "agent_gone")   /* the agent was not heard from in time */
#define TASK_STATE_NAME(name, text) TASK_STATE_##name,
enum task_state { TASK_STATES(TASK_STATE_NAME) TASK_STATE_COUNT };
#undef TASK_STATE_NAME

/* A constant: "timed_out". */
const char *task_state_text(enum task_state state);
bool task_state_is_final(enum task_state state);
/* How a program ended, as an agent says it (wire_task_end): "exited", "signalled", "timed_out",
 * "cancelled", "overflowed", "refused", "lost"; "unknown" for a later one, "" for TASK_END_NONE. */
#define TASK_END_NONE (-1)
const char *task_end_name(int end);

enum task_stream_kind { TASK_STREAM_STDOUT, TASK_STREAM_STDERR, TASK_STREAM_COUNT };

struct task_stream {
    uint64_t have;  /* bytes that the agent has delivered */
    uint64_t kept;  /* the first of those, which are kept here */
    uint64_t total; /* bytes that the program wrote: what it wrote beyond `have` was left out by the
                       agent. 0 until it has ended */
};

/* A task at one agent. All times are wall clock, Unix ns; 0: not (yet). */
struct task_row {
    struct prober_id agent;
    uint32_t number; /* the agent's */
    char *region;    /* the agent's when the task was made */
    char *address;   /* literal; "" if it is not known */
    enum task_state state;
    bool told;            /* the agent itself has told how it ended: nothing changes any more */
    bool filed;           /* its result file needs no more care */
    int end;              /* TASK_END_NONE, or how the program ended (task_end_name) */
    int32_t value;        /* its exit status or signal */
    uint32_t left_behind; /* processes that outlived it and were killed */
    uint64_t duration_ns;
    struct task_stream streams[TASK_STREAM_COUNT];
    char *text;  /* a sentence, or "" */
    char *notes; /* lines of the agent's: what was adjusted and looked up; or "" */
    uint64_t queued_real_ns, sent_real_ns, began_real_ns, ended_real_ns;
};

struct task_view {
    char id[WIRE_TASK_ID_MAX + 1];
    char *region, *expr; /* whom it is for */
    char *line;
    char *who, *client; /* who ordered it, and from where */
    char *cancelled_by; /* "": it is not cancelled */
    uint64_t timeout_ns;
    uint64_t made_real_ns, cancelled_real_ns;
    uint64_t ended_real_ns; /* 0: a row is not final yet */
    uint64_t version;       /* another one after each change; not the same again after a restart */
    size_t counts[TASK_STATE_COUNT]; /* rows by state */
    struct task_row *rows;           /* [row_count], by region, then agent number; NULL in lists */
    size_t row_count;
};

/* Errors: PROBER_ERR_NOMEM, with an empty *out. */
enum prober_error task_view_copy(struct task_view *out, const struct task_view *from);
/* Frees what a copy owns. */
void task_view_free(struct task_view *view);
void task_row_free(struct task_row *row); /* what it points to */

#endif
