#include "common/arena.h"

#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT (_Alignof(max_align_t))

struct block {
    struct block *next;
    _Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct block *blocks; /* the newest first; all of them owned */
    unsigned char *free;  /* inside the newest block */
    size_t left;          /* bytes from `free` to that block's end */
    size_t next_size;     /* of the next block: each is twice the last, so that they stay few */
    size_t taken;         /* bytes of all blocks */
    size_t limit;
    bool over_limit, no_memory;
};

struct arena *arena_create(size_t first, size_t limit)
{
    struct arena *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->next_size = first;
    a->limit = limit;
    return a;
}

static bool add_block(struct arena *a, size_t size)
{
    size_t allowed = a->limit - a->taken;
    size_t room = size > a->next_size ? size : a->next_size;
    struct block *b;

    if (size > allowed) {
        a->over_limit = true;
        return false;
    }
    if (room > allowed)
        room = allowed;
    b = malloc(sizeof(*b) + room);
    a->no_memory = !b;
    if (!b)
        return false;
    b->next = a->blocks;
    a->blocks = b;
    a->free = b->bytes;
    a->left = room;
    a->taken += room;
    a->next_size = room <= SIZE_MAX / 2 ? 2 * room : room;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    unsigned char *piece;

    if (size > SIZE_MAX - ALIGNMENT) {
        a->over_limit = true;
        return NULL;
    }
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size == 0)
        size = ALIGNMENT;
    if (size > a->left && !add_block(a, size))
        return NULL;
    piece = a->free;
    a->free += size;
    a->left -= size;
    return piece;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        a->over_limit = true;
        return NULL;
    }
    return arena_alloc(a, count * size);
}

bool arena_is_over_limit(const struct arena *a)
{
    return a->over_limit;
}

bool arena_is_out_of_memory(const struct arena *a)
{
    return a->no_memory;
}

void arena_destroy(struct arena *a)
{
    if (!a)
        return;
    while (a->blocks) {
        struct block *b = a->blocks;

        a->blocks = b->next;
        free(b);
    }
    free(a);
}
