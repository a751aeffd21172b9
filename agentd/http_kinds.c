#include "agentd/http_kinds.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"
#include "common/siphash.h"

struct http_kinds {
    struct http_means means;
    struct http_tls_roots *roots; /* of all kinds */
    struct siphash_key key;
    struct http_shared_kind *buckets[1024]; /* enough: most plans have a few, none has millions */
    size_t count;
};

enum prober_error http_kinds_create(struct http_kinds **out, const struct http_means *means)
{
    struct http_kinds *k = calloc(1, sizeof(*k));

    if (!k)
        return PROBER_ERR_NOMEM;
    if (http_tls_roots_create(&k->roots)) {
        free(k);
        return PROBER_ERR_NOMEM;
    }
    k->means = *means;
    k->means.roots = k->roots;
    random_bytes(&k->key, sizeof(k->key));
    *out = k;
    return PROBER_OK;
}

static struct http_shared_kind **find(struct http_kinds *k, const char *text)
{
    uint64_t hash = siphash24(&k->key, text, strlen(text));
    struct http_shared_kind **at = &k->buckets[hash % ARRAY_LEN(k->buckets)];

    while (*at && strcmp((*at)->block->text, text) != 0)
        at = &(*at)->chain;
    return at;
}

static void kind_free(struct http_shared_kind *kind)
{
    http_kind_destroy(kind->kind);
    http_block_put(kind->block);
    free(kind);
}

struct http_shared_kind *http_kinds_get(struct http_kinds *k, struct http_block *block,
                                        bool *is_new)
{
    struct http_shared_kind **at = find(k, block->text), *kind;

    *is_new = !*at;
    if (*at)
        return http_shared_kind_hold(*at);
    kind = calloc(1, sizeof(*kind));
    if (!kind)
        return NULL;
    kind->block = http_block_get(block);
    /* What is wrong with the block stays with the kind; only a lack of memory is an error. */
    if (http_kind_create(&kind->kind, block->spec, &k->means, &kind->why) == PROBER_ERR_NOMEM) {
        kind_free(kind);
        return NULL;
    }
    *at = kind;
    kind->owner = k;
    k->count++;
    return http_shared_kind_hold(kind);
}

struct http_shared_kind *http_shared_kind_hold(struct http_shared_kind *kind)
{
    kind->references++;
    return kind;
}

void http_shared_kind_release(struct http_shared_kind *kind)
{
    if (!kind || --kind->references > 0)
        return;
    *find(kind->owner, kind->block->text) = kind->chain;
    kind->owner->count--;
    kind_free(kind);
}

size_t http_kinds_count(const struct http_kinds *k)
{
    return k->count;
}

void http_kinds_destroy(struct http_kinds *k)
{
    if (!k)
        return;
    http_tls_roots_destroy(k->roots);
    free(k);
}
