/*
 * fuzz_task_body - bodies of POST /-/task: what is taken is within its bounds, what is refused is told.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "serverd/task_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t most)
{
    size_t len = strlen(text);

    if (len == 0 || len > most || !utf8_is_valid(text, len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prober_failure why = {.text = ""};
    struct task_body body;

    if (task_body_read(&body, (const char *)data, size, &why)) {
        if (!why.text[0] || body.root || strchr(why.text, '\n'))
            abort();
    } else {
        check_text(body.region, TASK_BODY_REGION_MAX);
        check_text(body.line, TASK_BODY_LINE_MAX);
        check_text(body.expr, 2);
        if (body.timeout_ns && (body.timeout_ns < TASK_BODY_TIMEOUT_MIN_NS ||
                                body.timeout_ns > TASK_BODY_TIMEOUT_MAX_NS))
            abort();
    }
    task_body_free(&body);
    return 0;
}
