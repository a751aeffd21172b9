/*
 * fuzz_http_head - heads of answers, line by line as libcurl gives them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head = HTTP_HEAD_INIT;
    const char *at = (const char *)data, *end = at + size, *value = NULL;

    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = feed ? (size_t)(feed - at) + 1 : (size_t)(end - at);

        if (!http_head_take(&head, at, len) && !head.fault)
            abort();
        at += len;
    }
    if (head.status < 0 || head.status > 999 || (head.is_whole && head.fault))
        abort();
    while ((value = http_fields_next(&head.fields, "A", value)))
        if (strchr(value, '\n'))
            abort();
    http_head_location(&head);
    http_head_clear(&head);
    return 0;
}
