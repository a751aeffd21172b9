#include "common/compress.h"

#include <brotli/decode.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#define PIECE 16384 /* bytes of content given to the sink at once */
#define INPUT_MAX (1u << 30)

struct compress_decoder {
    const struct coding *coding;
    enum prober_error err; /* the first; it stays */
    bool may_end;          /* where the input stands, the stream is whole */
    z_stream z;
    BrotliDecoderState *brotli;
};

/* Where decoded bytes go. */
struct outlet {
    compress_sink sink;
    void *context;
};

struct coding {
    int window;   /* of zlib; 0: zlib does not decode it */
    bool members; /* more of them may follow the first */
    enum prober_error (*feed)(struct compress_decoder *d, const uint8_t *bytes, size_t len,
                              const struct outlet *outlet);
};

static enum prober_error copy(struct compress_decoder *d, const uint8_t *bytes, size_t len,
                              const struct outlet *outlet)
{
    (void)d;
    return len > 0 ? outlet->sink(outlet->context, bytes, len) : PROBER_OK;
}

/* Decodes one piece; *blocked: no more comes without further input. */
static enum prober_error inflate_piece(struct compress_decoder *d, const struct outlet *outlet,
                                       bool *blocked)
{
    uint8_t piece[PIECE];
    size_t len;
    int rc;

    d->z.next_out = piece;
    d->z.avail_out = PIECE;
    rc = inflate(&d->z, Z_NO_FLUSH);
    len = PIECE - d->z.avail_out;
    d->may_end = rc == Z_STREAM_END;
    *blocked = d->z.avail_in == 0 && d->z.avail_out > 0;
    if (len > 0) {
        enum prober_error err = outlet->sink(outlet->context, piece, len);

        if (err)
            return err;
    }
    if (rc == Z_MEM_ERROR)
        return PROBER_ERR_NOMEM;
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? PROBER_OK : PROBER_ERR_SYNTAX;
}

static enum prober_error inflate_feed(struct compress_decoder *d, const uint8_t *bytes, size_t len,
                                      const struct outlet *outlet)
{
    enum prober_error err = PROBER_OK;
    bool blocked = len == 0;

    d->z.next_in = (Bytef *)bytes;
    d->z.avail_in = (uInt)len;
    while (!err && !blocked) {
        if (d->may_end && !d->coding->members)
            return PROBER_OK;
        if (d->may_end && d->z.avail_in > 0)
            inflateReset(&d->z);
        else if (d->may_end)
            return PROBER_OK;
        err = inflate_piece(d, outlet, &blocked);
    }
    return err;
}

static enum prober_error brotli_feed(struct compress_decoder *d, const uint8_t *bytes, size_t len,
                                     const struct outlet *outlet)
{
    BrotliDecoderResult rc = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
    enum prober_error err = PROBER_OK;

    if (d->may_end)
        return len > 0 ? PROBER_ERR_SYNTAX : PROBER_OK; /* something follows the stream */
    while (!err && rc == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
        const uint8_t *piece;
        size_t room = 0, size = PIECE;

        rc = BrotliDecoderDecompressStream(d->brotli, &len, &bytes, &room, NULL, NULL);
        piece = BrotliDecoderTakeOutput(d->brotli, &size);
        if (size > 0)
            err = outlet->sink(outlet->context, piece, size);
    }
    d->may_end = rc == BROTLI_DECODER_RESULT_SUCCESS && !BrotliDecoderHasMoreOutput(d->brotli);
    if (!err && (rc == BROTLI_DECODER_RESULT_ERROR || (d->may_end && len > 0)))
        err = PROBER_ERR_SYNTAX;
    return err;
}

static const struct coding codings[] = {
    [COMPRESS_IDENTITY] = {0, false, copy},
    [COMPRESS_GZIP] = {15 + 16, true, inflate_feed},
    [COMPRESS_DEFLATE] = {-15, false, inflate_feed},
    [COMPRESS_BROTLI] = {0, false, brotli_feed},
};

enum prober_error compress_decoder_create(struct compress_decoder **out,
                                          enum compress_coding coding)
{
    struct compress_decoder *d = calloc(1, sizeof(*d));

    if (!d)
        return PROBER_ERR_NOMEM;
    d->coding = &codings[coding];
    d->may_end = coding == COMPRESS_IDENTITY;
    if (coding == COMPRESS_BROTLI)
        d->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if ((coding == COMPRESS_BROTLI && !d->brotli) ||
        (d->coding->window && inflateInit2(&d->z, d->coding->window) != Z_OK)) {
        free(d);
        return PROBER_ERR_NOMEM;
    }
    *out = d;
    return PROBER_OK;
}

enum prober_error compress_decoder_feed(struct compress_decoder *d, const void *bytes, size_t len,
                                        compress_sink sink, void *context)
{
    const struct outlet outlet = {sink, context};
    const uint8_t *at = bytes;

    while (!d->err && len > 0) {
        size_t part = len < INPUT_MAX ? len : INPUT_MAX; /* zlib counts in unsigned int */

        d->err = d->coding->feed(d, at, part, &outlet);
        at += part;
        len -= part;
    }
    return d->err;
}

enum prober_error compress_decoder_end(const struct compress_decoder *d)
{
    if (d->err)
        return d->err;
    return d->may_end ? PROBER_OK : PROBER_ERR_SYNTAX;
}

void compress_decoder_destroy(struct compress_decoder *d)
{
    if (!d)
        return;
    if (d->coding->window)
        inflateEnd(&d->z);
    if (d->brotli)
        BrotliDecoderDestroyInstance(d->brotli);
    free(d);
}
