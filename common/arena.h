/*
 * arena - memory that is taken in small pieces and given back all at once.
 *
 * Purpose    A decoded message consists of hundreds of pieces with one life: one malloc, or a few,
 *            serve them all. What a peer can make us take is bounded by the arena's limit.
 * Threads    One thread at a time.
 * Ownership  An arena owns every piece; arena_destroy frees them all, and the arena itself.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* Makes an arena whose first block has `first` bytes, and that never takes more than `limit` bytes
 * in all. NULL for lack of memory. */
struct arena *arena_create(size_t first, size_t limit);
/* `size` bytes, aligned for any type, not cleared; NULL over the limit or for lack of memory. A
 * size of 0 yields a pointer that is not NULL. */
void *arena_alloc(struct arena *a, size_t size);
/* An array of count members of `size` bytes each; NULL as above, and when the product overflows. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* True once an allocation was refused because of the limit, rather than for lack of memory. */
bool arena_is_over_limit(const struct arena *a);
/* True when the last block that was wanted found no memory. */
bool arena_is_out_of_memory(const struct arena *a);
/* NULL is fine. */
void arena_destroy(struct arena *a);

#endif
