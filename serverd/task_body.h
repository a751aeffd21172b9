/*
 * task_body - the body of POST /-/task, as the original took it.
 *
 * Purpose    {"region": …, "expr": …, "cmd": …} and optionally "timeout": whom to ask, by which of
 *            the operators = != =~ !~, and the command line. Also with the comma behind the last
 *            member that the original's documentation prints. Everything else is refused with a
 *            sentence that names the key: unknown and double keys, values that are no strings or of
 *            no use, NUL and other control characters, what is not UTF-8, what is too long.
 * Threads    Pure function; any thread.
 * Ownership  The body owns its texts.
 */
#ifndef SERVERD_TASK_BODY_H
#define SERVERD_TASK_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

#define TASK_BODY_REGION_MAX 1024 /* bytes */
#define TASK_BODY_LINE_MAX 4096
#define TASK_BODY_TIMEOUT_MIN_NS UINT64_C(1000000000)
#define TASK_BODY_TIMEOUT_MAX_NS UINT64_C(86400000000000)

struct task_body {
    const char *region;  /* 1..TASK_BODY_REGION_MAX */
    const char *expr;    /* "=", "!=", "=~", "!~" */
    const char *line;    /* 1..TASK_BODY_LINE_MAX; only tab and newline of the control characters */
    uint64_t timeout_ns; /* 0: it does not say */
    struct json *root;
};

/* Reads text[len], any bytes. Errors: PROBER_ERR_SYNTAX, _RANGE with a sentence in *why; _NOMEM.
 * *out is then empty, and may be freed. */
enum prober_error task_body_read(struct task_body *out, const char *text, size_t len,
                                 struct prober_failure *why);
void task_body_free(struct task_body *body);

#endif
