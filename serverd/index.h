/*
 * index - finds array elements by a hash of their key.
 *
 * Purpose    An open-addressed table of (hash, position) beside an array that somebody else owns. It
 *            knows no keys: the caller compares the candidates. Nothing is ever taken out; when the
 *            array is packed anew, the index is cleared and filled again.
 * Threads    One thread at a time.
 * Ownership  Owns its table.
 */
#ifndef SERVERD_INDEX_H
#define SERVERD_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index_slot {
    uint32_t hash;
    uint32_t position; /* INDEX_NONE: empty */
};

/* All zeros is an empty index. */
struct index {
    struct index_slot *slots;
    size_t mask; /* slots - 1; slots is a power of two */
    size_t used;
};

/* Makes room for `count` entries in all. Errors: false for lack of memory, with nothing changed. */
bool index_reserve(struct index *ix, size_t count);
/* Adds an entry; room must have been reserved. */
void index_add(struct index *ix, uint32_t hash, uint32_t position);
/* Walks the candidates of a hash: *cursor is 0 at first; INDEX_NONE after the last. */
uint32_t index_next(const struct index *ix, uint32_t hash, size_t *cursor);
/* Empties it and keeps its memory. */
void index_clear(struct index *ix);
void index_free(struct index *ix);

/* Hashes for keys that nobody outside chooses, or whose number is capped. */
uint32_t index_hash_number(uint32_t number);
uint32_t index_hash_text(const char *text);

#endif
