#include "serverd/index.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_SLOTS_MIN 16

static void place(struct index_slot *slots, size_t mask, uint32_t hash, uint32_t position)
{
    size_t at = hash & mask;

    while (slots[at].position != INDEX_NONE)
        at = (at + 1) & mask;
    slots[at] = (struct index_slot){hash, position};
}

bool index_reserve(struct index *ix, size_t count)
{
    size_t slots = ix->slots ? ix->mask + 1 : 0, wanted = INDEX_SLOTS_MIN;
    struct index_slot *table;

    while (wanted / 2 < count)
        wanted *= 2;
    if (wanted <= slots)
        return true;
    table = malloc(wanted * sizeof(*table));
    if (!table)
        return false;
    memset(table, 0xff, wanted * sizeof(*table));
    for (size_t i = 0; i < slots; i++)
        if (ix->slots[i].position != INDEX_NONE)
            place(table, wanted - 1, ix->slots[i].hash, ix->slots[i].position);
    free(ix->slots);
    ix->slots = table;
    ix->mask = wanted - 1;
    return true;
}

void index_add(struct index *ix, uint32_t hash, uint32_t position)
{
    place(ix->slots, ix->mask, hash, position);
    ix->used++;
}

uint32_t index_next(const struct index *ix, uint32_t hash, size_t *cursor)
{
    if (!ix->slots)
        return INDEX_NONE;
    for (;;) {
        const struct index_slot *slot = &ix->slots[(hash + *cursor) & ix->mask];

        if (slot->position == INDEX_NONE)
            return INDEX_NONE;
        ++*cursor;
        if (slot->hash == hash)
            return slot->position;
    }
}

void index_clear(struct index *ix)
{
    if (ix->slots)
        memset(ix->slots, 0xff, (ix->mask + 1) * sizeof(*ix->slots));
    ix->used = 0;
}

void index_free(struct index *ix)
{
    free(ix->slots);
    *ix = (struct index){0};
}

uint32_t index_hash_number(uint32_t number)
{
    /* An odd factor: successive numbers fall on different slots, and no two share a hash. */
    return number * UINT32_C(2654435769);
}

uint32_t index_hash_text(const char *text)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT32_C(16777619);
    return hash;
}
