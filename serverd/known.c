#include "serverd/known.h"

#include <stdlib.h>
#include <string.h>

#include "serverd/index.h"
#include "serverd/plan.h"

struct known {
    const struct directory *directory;
    struct index by_id, by_number; /* positions in directory->agents */
    struct index regions;          /* positions in names */
    const char **names;
    size_t name_count;
};

static uint32_t hash_id(const struct prober_id *id)
{
    uint32_t hash;

    memcpy(&hash, id->bytes, sizeof(hash));
    return hash;
}

static uint32_t find_region(const struct known *k, const char *region, uint32_t hash)
{
    size_t cursor = 0;
    uint32_t at;

    while ((at = index_next(&k->regions, hash, &cursor)) != INDEX_NONE)
        if (strcmp(k->names[at], region) == 0)
            break;
    return at;
}

static void add_region(struct known *k, const char *region)
{
    uint32_t hash = index_hash_text(region);

    if (find_region(k, region, hash) != INDEX_NONE)
        return;
    k->names[k->name_count] = region;
    index_add(&k->regions, hash, (uint32_t)k->name_count++);
}

enum prober_error known_create(struct known **out, const struct directory *directory)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct known *k = calloc(1, sizeof(*k));
    const struct plan *plan = directory->plan;
    size_t region_count = plan ? plan->region_count : 0;
    size_t names_max = directory->agent_count + 2 * directory->pair_count + region_count;

    if (!k)
        goto out;
    k->directory = directory;
    k->names = calloc(names_max ? names_max : 1, sizeof(*k->names));
    if (!k->names || !index_reserve(&k->by_id, directory->agent_count) ||
        !index_reserve(&k->by_number, directory->agent_count) ||
        !index_reserve(&k->regions, names_max))
        goto out;
    for (size_t i = 0; i < directory->agent_count; i++) {
        const struct directory_agent *agent = &directory->agents[i];

        index_add(&k->by_id, hash_id(&agent->id), (uint32_t)i);
        index_add(&k->by_number, index_hash_number(agent->number), (uint32_t)i);
        add_region(k, agent->region);
    }
    for (size_t i = 0; i < directory->pair_count; i++) {
        add_region(k, directory->pairs[i].source);
        add_region(k, directory->pairs[i].target);
    }
    for (size_t i = 0; i < region_count; i++)
        add_region(k, plan->regions[i].name);
    err = PROBER_OK;
    *out = k;
    k = NULL;
out:
    known_destroy(k);
    return err;
}

const struct directory *known_directory(const struct known *k)
{
    return k->directory;
}

bool known_region(const struct known *k, const char *region)
{
    return find_region(k, region, index_hash_text(region)) != INDEX_NONE;
}

bool known_agent(const struct known *k, const struct prober_id *id)
{
    size_t cursor = 0;
    uint32_t at;

    while ((at = index_next(&k->by_id, hash_id(id), &cursor)) != INDEX_NONE)
        if (prober_id_equal(&k->directory->agents[at].id, id))
            return true;
    return false;
}

const char *known_region_of(const struct known *k, uint32_t agent_number)
{
    size_t cursor = 0;
    uint32_t at;

    while ((at = index_next(&k->by_number, index_hash_number(agent_number), &cursor)) != INDEX_NONE)
        if (k->directory->agents[at].number == agent_number)
            return k->directory->agents[at].region;
    return NULL;
}

void known_destroy(struct known *k)
{
    if (!k)
        return;
    index_free(&k->by_id);
    index_free(&k->by_number);
    index_free(&k->regions);
    free(k->names);
    free(k);
}
