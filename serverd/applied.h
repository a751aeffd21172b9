/*
 * applied - which sequence numbers of an agent's boot have been applied.
 *
 * Purpose    Keeps the numbers as ranges, so that it is exact in any order of arrival: one range as a
 *            rule, one more for each gap. With more gaps than APPLIED_RANGES the oldest gap closes:
 *            what is missing in it can then no more be told from what was applied, and is refused.
 * Threads    Values; pure functions.
 */
#ifndef SERVERD_APPLIED_H
#define SERVERD_APPLIED_H

#include <stddef.h>
#include <stdint.h>

#define APPLIED_RANGES 32

struct applied_range {
    uint64_t first, last;
};

/* All zeros is empty. */
struct applied {
    struct applied_range ranges[APPLIED_RANGES]; /* [count], ascending, never touching */
    size_t count;
    uint64_t blurred; /* up to here a number may or may not have been applied */
};

enum applied_answer { APPLIED_NO, APPLIED_YES, APPLIED_UNSURE };

enum applied_answer applied_has(const struct applied *a, uint64_t sequence);
/* Adds a number for which applied_has said APPLIED_NO. */
void applied_add(struct applied *a, uint64_t sequence);

#endif
