/*
 * fuzz_http_token - the answer of a token server: its Content-Type on the first line, then the body. A
 * token that is read can stand in a header, and no sentence quotes one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t len = end ? (size_t)(end - data) : 0, skipped = end ? len + 1 : 0;
    struct http_fields fields = {STRBUF_INIT};
    struct http_token token = {NULL, 0};
    struct http_reply reply = {.status = 200, .fields = &fields};

    if (len > 0 && !memchr(data, 0, len))
        http_fields_add(&fields, "Content-Type", strlen("Content-Type"), (const char *)data, len);
    reply.body = size ? (const char *)data + skipped : "";
    reply.body_len = size - skipped;
    if (http_token_read(&reply, &token, NULL) == PROBER_OK)
        for (const char *c = token.authorization; *c; c++)
            if (*c == '\r' || *c == '\n' || *c == 0x7f)
                abort();
    free(token.authorization);
    strbuf_free(&fields.text);
    return 0;
}
