#include "agentd/http_block.h"

#include <stdlib.h>
#include <string.h>

enum prober_error http_block_create(struct http_block **out, const char *text,
                                    struct problems *problems)
{
    size_t len = strlen(text);
    struct http_block *block = calloc(1, sizeof(*block) + len + 1);
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!block)
        return err;
    atomic_init(&block->references, 1);
    memcpy(block->text, text, len);
    err = http_spec_read_text(&block->spec, "http", text, len, problems);
    if (err)
        free(block);
    else
        *out = block;
    return err;
}

struct http_block *http_block_get(struct http_block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void http_block_put(struct http_block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    http_spec_destroy(block->spec);
    free(block);
}
