#include "serverd/joined.h"

#include <stdlib.h>
#include <string.h>

#include "serverd/index.h"

#define REMEDY                                                                                     \
    "let this agent join as well ('serverd join-token' on the server's host, then agentd "         \
    "-agent.join TOKEN), or list the region in the server's -server.plain.migrate until it has"

struct row {
    enum joined_kind kind;
    char *key, *region;
};

struct joined {
    struct row *rows; /* [count] */
    size_t count, room;
    struct index index; /* of rows by key */
};

enum prober_error joined_create(struct joined **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? PROBER_OK : PROBER_ERR_NOMEM;
}

static struct row *find(const struct joined *j, enum joined_kind kind, const char *key)
{
    uint32_t hash = index_hash_text(key), at;
    size_t cursor = 0;

    while (j->count && (at = index_next(&j->index, hash, &cursor)) != INDEX_NONE)
        if (j->rows[at].kind == kind && strcmp(j->rows[at].key, key) == 0)
            return &j->rows[at];
    return NULL;
}

static enum prober_error move(struct row *row, const char *region, bool *changed)
{
    char *copy;

    if (strcmp(row->region, region) == 0)
        return PROBER_OK;
    copy = strdup(region);
    if (!copy)
        return PROBER_ERR_NOMEM;
    free(row->region);
    row->region = copy;
    *changed = true;
    return PROBER_OK;
}

static bool reserve(struct joined *j)
{
    size_t room = j->room ? 2 * j->room : 64;
    struct row *rows;

    if (!index_reserve(&j->index, j->count + 1))
        return false;
    if (j->count < j->room)
        return true;
    rows = realloc(j->rows, room * sizeof(*rows));
    if (!rows)
        return false;
    j->rows = rows;
    j->room = room;
    return true;
}

enum prober_error joined_add(struct joined *j, const struct joined_row *row, bool *changed)
{
    struct row *there = find(j, row->kind, row->key), added = {.kind = row->kind};

    *changed = false;
    if (there)
        return move(there, row->region, changed);
    if (j->count == JOINED_MAX)
        return PROBER_ERR_FULL;
    added.key = strdup(row->key);
    added.region = strdup(row->region);
    if (!added.key || !added.region || !reserve(j)) {
        free(added.key);
        free(added.region);
        return PROBER_ERR_NOMEM;
    }
    index_add(&j->index, index_hash_text(added.key), (uint32_t)j->count);
    j->rows[j->count++] = added;
    *changed = true;
    return PROBER_OK;
}

const char *joined_find(const struct joined *j, enum joined_kind kind, const char *key)
{
    const struct row *row = find(j, kind, key);

    return row ? row->region : NULL;
}

size_t joined_count(const struct joined *j)
{
    return j->count;
}

static bool is_spared(const char *region, char *const *spared, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(spared[i], region) == 0)
            return true;
    return false;
}

bool joined_excludes(const struct joined *j, const struct joined_claim *claim, char *const *spared,
                     size_t count, struct prober_failure *why)
{
    bool own = is_spared(claim->region, spared, count);
    char text[PROBER_ID_TEXT_MAX + PROBER_ADDR_TEXT_MAX];
    const char *region = joined_find(j, JOINED_AGENT, prober_id_format(claim->id, text));

    if (region && !(own && is_spared(region, spared, count))) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "agent %s has joined and must prove who it is: does it still have its "
                    "credentials directory? Else " REMEDY,
                    text);
        return true;
    }
    if (joined_find(j, JOINED_REGION, claim->region) && !own) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "agents of region %.100s have joined, so it takes none without proof: " REMEDY,
                    claim->region);
        return true;
    }
    for (size_t i = 0; i < claim->address_count; i++) {
        region = joined_find(j, JOINED_ADDRESS, prober_addr_format(&claim->addresses[i], text));
        if (!region || (own && is_spared(region, spared, count)))
            continue;
        prober_fail(why, PROBER_ERR_DENIED,
                    "address %s belongs to an agent that joined in region %.100s: " REMEDY, text,
                    region);
        return true;
    }
    return false;
}

void joined_destroy(struct joined *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->count; i++) {
        free(j->rows[i].key);
        free(j->rows[i].region);
    }
    free(j->rows);
    index_free(&j->index);
    free(j);
}
