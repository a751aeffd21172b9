#include "libprober/http_body.h"

#include <stdlib.h>

#include "common/strbuf.h"

struct http_body {
    struct compress_decoder *decoder;
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t received, decoded;
    size_t kept; /* at most */
    struct strbuf text;
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

static enum prober_error take(void *context, const void *bytes, size_t len)
{
    struct http_body *b = context;
    uint64_t room = b->limit - b->decoded;
    size_t taken = len <= room ? len : (size_t)room;

    b->decoded += taken;
    if (b->text.len < b->kept) {
        strbuf_put(&b->text, bytes, taken <= b->kept - b->text.len ? taken : b->kept - b->text.len);
        if (!strbuf_ok(&b->text))
            return PROBER_ERR_NOMEM;
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
    *len = b->text.len;
    return b->text.len > 0 ? b->text.bytes : "";
}

void http_body_destroy(struct http_body *b)
{
    if (!b)
        return;
    compress_decoder_destroy(b->decoder);
    strbuf_free(&b->text);
    free(b);
}
