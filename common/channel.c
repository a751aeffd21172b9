#include "common/channel.h"

#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"

#define FRAME_VERSION 1
#define KIND_PLAIN 0

static const unsigned char magic[4] = {'P', 'M', 'S', 'H'};

/* One more kind adds its state here, and a case to seal and open. */
struct channel {
    unsigned char kind;
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

enum prober_error channel_plain_create(struct channel **out)
{
    struct channel *c = calloc(1, sizeof(*c));

    if (!c)
        return PROBER_ERR_NOMEM;
    c->kind = KIND_PLAIN;
    *out = c;
    return PROBER_OK;
}

enum prober_error channel_seal(struct channel *c, const void *body, size_t len,
                               struct strbuf *frame)
{
    unsigned char header[CHANNEL_HEADER_LEN] = {0};

    if (len > CHANNEL_BODY_MAX)
        return PROBER_ERR_RANGE;
    memcpy(header, magic, sizeof(magic));
    header[4] = FRAME_VERSION;
    header[5] = c->kind;
    put_32(header + 8, (uint32_t)len);
    put_32(header + 12, crc32c(0, body, len));
    strbuf_clear(frame);
    strbuf_reserve(frame, sizeof(header) + len);
    strbuf_put(frame, header, sizeof(header));
    strbuf_put(frame, body, len);
    return strbuf_ok(frame) ? PROBER_OK : PROBER_ERR_NOMEM;
}

enum prober_error channel_open(struct channel *c, const void *frame, size_t frame_len,
                               const void **body, size_t *body_len)
{
    const unsigned char *p = frame;
    size_t len;

    if (frame_len < sizeof(magic) + 1 || memcmp(p, magic, sizeof(magic)) != 0)
        return PROBER_ERR_PROTOCOL;
    if (p[4] > FRAME_VERSION)
        return PROBER_ERR_VERSION;
    if (frame_len < CHANNEL_HEADER_LEN || p[4] != FRAME_VERSION || p[5] != c->kind || p[6] || p[7])
        return PROBER_ERR_PROTOCOL;
    len = get_32(p + 8);
    if (len > CHANNEL_BODY_MAX || len != frame_len - CHANNEL_HEADER_LEN ||
        get_32(p + 12) != crc32c(0, p + CHANNEL_HEADER_LEN, len))
        return PROBER_ERR_PROTOCOL;
    *body = p + CHANNEL_HEADER_LEN;
    *body_len = len;
    return PROBER_OK;
}

bool channel_is_authenticated(const struct channel *c)
{
    return c->kind != KIND_PLAIN;
}

void channel_destroy(struct channel *c)
{
    free(c);
}
