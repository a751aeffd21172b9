/*
 * fuzz_wire_reply - any bytes as a reply: refused with a reason, or decoded to what encodes again.
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
    struct wire_reply reply;
    enum prober_error err = wire_reply_decode(data, size, &reply, &why);

    if (err) {
        if (err == PROBER_ERR_PROTOCOL && why.text[0] == '\0')
            abort();
        return 0;
    }
    /* Encoding may be longer than what came: a bound on bytes is the one thing it may hit. */
    err = wire_reply_encode(&reply, &again);
    if (err && !(err == PROBER_ERR_RANGE && size > WIRE_BYTES_MAX / 4))
        abort();
    strbuf_free(&again);
    wire_reply_free(&reply);
    return 0;
}
