/*
 * fuzz_wire_request - any bytes as a request: refused with a reason, or decoded to what encodes
 * again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prober_failure why = {.text = ""};
    struct strbuf again = STRBUF_INIT;
    struct wire_request request;
    enum prober_error err = wire_request_decode(data, size, &request, &why);

    if (err) {
        if (err == PROBER_ERR_PROTOCOL && why.text[0] == '\0')
            abort();
        return 0;
    }
    /* Encoding may be longer than what came: a bound on bytes is the one thing it may hit. */
    err = wire_request_encode(&request, &again);
    if (err && !(err == PROBER_ERR_RANGE && size > WIRE_BYTES_MAX / 4))
        abort();
    strbuf_free(&again);
    wire_request_free(&request);
    return 0;
}
