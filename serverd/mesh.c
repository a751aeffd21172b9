#include "serverd/mesh.h"

#include <stdlib.h>
#include <string.h>

struct mesh *mesh_get(struct mesh *m)
{
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
    return m;
}

void mesh_put(struct mesh *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1)
        return;
    free(m->pairs);
    free(m->memory);
    free(m);
}

const struct mesh_pair *mesh_find(const struct mesh *m, const char *source, const char *target)
{
    size_t low = 0, high = m->pair_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct mesh_pair *pair = &m->pairs[middle];
        int order = strcmp(source, pair->source);

        if (order == 0)
            order = strcmp(target, pair->target);
        if (order == 0)
            return pair;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
