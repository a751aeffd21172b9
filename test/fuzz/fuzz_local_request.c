/*
 * fuzz_local_request - lines that commands send to the server's socket.
 */
#include <stdlib.h>
#include <string.h>

#include "serverd/local_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct local_request request, again;
    struct prober_failure why = {PROBER_OK, ""};
    struct strbuf text = STRBUF_INIT;

    if (local_request_parse((const char *)data, size, &request, &why)) {
        if (!why.text[0])
            abort(); /* a refusal says why */
        return 0;
    }
    local_request_put(&text, &request);
    if (!strbuf_ok(&text) || memchr(text.bytes, '\n', text.len) ||
        local_request_parse(text.bytes, text.len, &again, &why) ||
        again.command != request.command || strcmp(again.region, request.region) != 0 ||
        strcmp(again.name, request.name) != 0 || again.ttl_s != request.ttl_s ||
        again.uses != request.uses || !prober_id_equal(&again.agent, &request.agent))
        abort();
    strbuf_free(&text);
    return 0;
}
