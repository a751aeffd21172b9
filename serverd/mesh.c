#include "serverd/mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const mesh_url_bounds[MESH_URL_BUCKETS] = {
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0"};
const uint64_t mesh_url_bounds_ns[MESH_URL_BUCKETS] = {
    UINT64_C(5000000),    UINT64_C(10000000),   UINT64_C(25000000),    UINT64_C(50000000),
    UINT64_C(100000000),  UINT64_C(250000000),  UINT64_C(500000000),   UINT64_C(1000000000),
    UINT64_C(2500000000), UINT64_C(5000000000), UINT64_C(10000000000), UINT64_C(30000000000)};

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
    free(m->urls);
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

const char *mesh_http_version_text(uint32_t version, char text[MESH_HTTP_VERSION_MAX])
{
    if (version % 10 == 0 && version > 10)
        snprintf(text, MESH_HTTP_VERSION_MAX, "%u", version / 10);
    else
        snprintf(text, MESH_HTTP_VERSION_MAX, "%u.%u", version / 10, version % 10);
    return text;
}

const char *mesh_tls_version_text(uint32_t version)
{
    static const char *const texts[] = {"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"};

    return version >= 0x0301 && version <= 0x0304 ? texts[version - 0x0301] : "unknown";
}
