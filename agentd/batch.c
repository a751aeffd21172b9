#include "agentd/batch.h"

#include <stdlib.h>
#include <string.h>

static bool all_zero(const void *bytes, size_t len)
{
    const char *b = bytes;

    return len == 0 || (b[0] == 0 && memcmp(b, b + 1, len - 1) == 0);
}

static size_t kept_len(const struct batch_column *c)
{
    return !c->keeps_zeros && all_zero(c->from, c->len) ? 0 : c->len;
}

/* So that columns of 64 bits are aligned after those of 32. */
static size_t padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

enum prober_error batch_create(struct batch **out, struct target_name *const *names, size_t rows,
                               const struct batch_column *columns, size_t count)
{
    size_t bytes = sizeof(struct batch) + rows * sizeof(struct target_name *);
    struct batch *batch;
    char *room;

    for (size_t i = 0; i < count; i++)
        bytes += padded(kept_len(&columns[i]));
    batch = calloc(1, bytes);
    if (!batch)
        return PROBER_ERR_NOMEM;
    batch->bytes = bytes;
    batch->rows = rows;
    batch->names = (struct target_name **)(batch + 1);
    memcpy(batch->names, names, rows * sizeof(struct target_name *));
    room = (char *)(batch->names + rows);
    for (size_t i = 0; i < count; i++) {
        size_t len = kept_len(&columns[i]);

        if (len == 0)
            continue;
        memcpy(room, columns[i].from, len);
        *(void **)((char *)batch + columns[i].to) = room;
        room += padded(len);
    }
    *out = batch;
    return PROBER_OK;
}

void batch_destroy(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->rows; i++)
        target_name_put(batch->names[i]);
    free(batch);
}
