#include "common/channel_frame.h"

#include <string.h>

#include "common/array.h"
#include "common/crc32c.h"

#define FRAME_VERSION 1

static const unsigned char magic[4] = {'P', 'M', 'S', 'H'};

static const size_t body_max[] = {
    [CHANNEL_PLAIN] = CHANNEL_BODY_MAX,
    [CHANNEL_HANDSHAKE] = CHANNEL_HANDSHAKE_MAX,
    [CHANNEL_DATA] = CHANNEL_BODY_MAX + CHANNEL_RECORDS_MAX,
    [CHANNEL_HANDSHAKE_NEEDED] = 0,
};

static void put_32(unsigned char *p, uint32_t value)
{
    p[0] = (unsigned char)(value >> 24);
    p[1] = (unsigned char)(value >> 16);
    p[2] = (unsigned char)(value >> 8);
    p[3] = (unsigned char)value;
}

static uint32_t get_32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void channel_frame_begin(struct strbuf *frame, size_t expected)
{
    static const unsigned char header[CHANNEL_HEADER_LEN];

    strbuf_clear(frame);
    strbuf_reserve(frame, sizeof(header) + expected);
    strbuf_put(frame, header, sizeof(header));
}

enum prober_error channel_frame_end(struct strbuf *frame, enum channel_kind kind)
{
    unsigned char *header = (unsigned char *)frame->bytes;
    size_t len;

    if (!strbuf_ok(frame))
        return PROBER_ERR_NOMEM;
    len = frame->len - CHANNEL_HEADER_LEN;
    memcpy(header, magic, sizeof(magic));
    header[4] = FRAME_VERSION;
    header[5] = (unsigned char)kind;
    put_32(header + 8, (uint32_t)len);
    put_32(header + 12, crc32c(0, header + CHANNEL_HEADER_LEN, len));
    return PROBER_OK;
}

enum prober_error channel_frame_parse(const void *frame, size_t frame_len, enum channel_kind *kind,
                                      const void **body, size_t *body_len)
{
    const unsigned char *p = frame;
    size_t len;

    if (frame_len < sizeof(magic) + 1 || memcmp(p, magic, sizeof(magic)) != 0)
        return PROBER_ERR_PROTOCOL;
    if (p[4] > FRAME_VERSION)
        return PROBER_ERR_VERSION;
    if (frame_len < CHANNEL_HEADER_LEN || p[4] != FRAME_VERSION || p[5] >= ARRAY_LEN(body_max) ||
        p[6] || p[7])
        return PROBER_ERR_PROTOCOL;
    len = get_32(p + 8);
    if (len > body_max[p[5]] || len != frame_len - CHANNEL_HEADER_LEN ||
        get_32(p + 12) != crc32c(0, p + CHANNEL_HEADER_LEN, len))
        return PROBER_ERR_PROTOCOL;
    *kind = (enum channel_kind)p[5];
    *body = p + CHANNEL_HEADER_LEN;
    *body_len = len;
    return PROBER_OK;
}
