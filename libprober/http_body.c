#include "libprober/http_body.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM_MIN ((size_t)64 << 10) /* bytes; untouched pages take no memory */

struct http_body {
    struct compress_decoder *decoder;
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t received, decoded;
    size_t kept; /* at most */
    char *text;  /* [room], mapped: it grows without a copy, and its memory goes back whole */
    size_t len, room;
};

enum prober_error http_body_create(struct http_body **out, const struct http_body_config *config)
{
    struct http_body *b = calloc(1, sizeof(*b));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!b)
        goto out;
    b->limit = config->limit ? config->limit : UINT64_MAX;
    if (config->kept && !config->limit)
        b->limit = HTTP_BODY_KEPT_MAX;
    b->kept = config->kept ? SIZE_MAX : config->begin;
    err = compress_decoder_create(&b->decoder, config->coding);
    if (err)
        goto out;
    *out = b;
    b = NULL;
out:
    http_body_destroy(b);
    return err;
}

static bool make_room(struct http_body *b, size_t more)
{
    size_t room = b->room ? b->room : ROOM_MIN;
    void *text;

    if (more <= b->room - b->len)
        return true;
    while (room - b->len < more)
        room *= 2;
    if (b->room == 0)
        text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else
        text = mremap(b->text, b->room, room, MREMAP_MAYMOVE);
    if (text == MAP_FAILED)
        return false;
    b->text = text;
    b->room = room;
    return true;
}

static enum prober_error take(void *context, const void *bytes, size_t len)
{
    struct http_body *b = context;
    uint64_t room = b->limit - b->decoded;
    size_t taken = len <= room ? len : (size_t)room;

    b->decoded += taken;
    if (b->len < b->kept && taken > 0) {
        size_t kept = taken <= b->kept - b->len ? taken : (size_t)(b->kept - b->len);

        if (!make_room(b, kept))
            return PROBER_ERR_NOMEM;
        memcpy(b->text + b->len, bytes, kept);
        b->len += kept;
    }
    return taken < len ? PROBER_ERR_RANGE : PROBER_OK;
}

enum prober_error http_body_feed(struct http_body *b, const void *bytes, size_t len)
{
    b->received += len;
    return compress_decoder_feed(b->decoder, bytes, len, take, b);
}

enum prober_error http_body_end(const struct http_body *b)
{
    return compress_decoder_end(b->decoder);
}

uint64_t http_body_received(const struct http_body *b)
{
    return b->received;
}

uint64_t http_body_decoded(const struct http_body *b)
{
    return b->decoded;
}

const char *http_body_text(const struct http_body *b, size_t *len)
{
    *len = b->len;
    return b->len > 0 ? b->text : "";
}

void http_body_destroy(struct http_body *b)
{
    if (!b)
        return;
    compress_decoder_destroy(b->decoder);
    if (b->room > 0)
        munmap(b->text, b->room);
    free(b);
}
