/*
 * fuzz_channel - any bytes as a plain frame: refused, or opened to what a seal gives again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel *channel;
    struct strbuf frame = STRBUF_INIT;
    const void *body;
    size_t len;

    if (channel_plain_create(&channel))
        return 0;
    if (channel_open(channel, data, size, &body, &len) == PROBER_OK &&
        (channel_seal(channel, body, len, &frame) || frame.len != size ||
         memcmp(frame.bytes, data, size) != 0))
        abort();
    strbuf_free(&frame);
    channel_destroy(channel);
    return 0;
}
