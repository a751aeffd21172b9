#include "common/compress.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, with gzip's header and trailer */
#define MEMORY_LEVEL 8

enum prober_error compress_gzip(const void *bytes, size_t len, int level, void **out,
                                size_t *out_len)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    z_stream z = {0};
    void *packed = NULL;
    uLong bound;

    if (len > UINT_MAX)
        return PROBER_ERR_NOMEM;
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return PROBER_ERR_NOMEM;
    bound = deflateBound(&z, len);
    packed = bound <= UINT_MAX ? malloc(bound) : NULL;
    if (!packed)
        goto out;
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)len;
    z.next_out = packed;
    z.avail_out = (uInt)bound;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        goto out;
    *out = packed;
    *out_len = z.total_out;
    packed = NULL;
    err = PROBER_OK;
out:
    free(packed);
    deflateEnd(&z);
    return err;
}

/* Inflates into *buffer, which grows by doubling up to `max` + 1 bytes: the one more tells that
 * there would be more than max. */
static enum prober_error inflate_all(z_stream *z, size_t max, unsigned char **buffer)
{
    size_t room = 0;

    for (;;) {
        size_t more = room ? 2 * room : 4096;
        unsigned char *larger;
        int rc;

        if (room > max)
            return PROBER_ERR_RANGE;
        if (more > max + 1)
            more = max + 1;
        larger = realloc(*buffer, more);
        if (!larger)
            return PROBER_ERR_NOMEM;
        *buffer = larger;
        z->next_out = larger + room;
        z->avail_out = (uInt)(more - room);
        room = more;
        rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            return z->total_out > max ? PROBER_ERR_RANGE : PROBER_OK;
        if (rc == Z_MEM_ERROR)
            return PROBER_ERR_NOMEM;
        if (rc != Z_OK || z->avail_out > 0)
            return PROBER_ERR_SYNTAX; /* damaged, or cut short */
    }
}

enum prober_error compress_gunzip(const void *bytes, size_t len, size_t max, void **out,
                                  size_t *out_len)
{
    unsigned char *buffer = NULL;
    enum prober_error err;
    z_stream z = {0};

    if (len > UINT_MAX || max >= UINT_MAX)
        return PROBER_ERR_RANGE;
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return PROBER_ERR_NOMEM;
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)len;
    err = inflate_all(&z, max, &buffer);
    if (!err && z.avail_in > 0)
        err = PROBER_ERR_SYNTAX; /* something follows the member */
    if (err)
        goto out;
    *out = buffer;
    *out_len = z.total_out;
    buffer = NULL;
out:
    free(buffer);
    inflateEnd(&z);
    return err;
}
