#include "serverd/applied.h"

#include <string.h>

/* The first range that ends at or after `sequence`; a->count when there is none. The newest range is
 * the likely one, so the search starts there. */
static size_t range_at(const struct applied *a, uint64_t sequence)
{
    size_t at = a->count;

    while (at > 0 && a->ranges[at - 1].last >= sequence)
        at--;
    return at;
}

enum applied_answer applied_has(const struct applied *a, uint64_t sequence)
{
    size_t at = range_at(a, sequence);

    if (sequence <= a->blurred)
        return APPLIED_UNSURE;
    return at < a->count && a->ranges[at].first <= sequence ? APPLIED_YES : APPLIED_NO;
}

static void range_remove(struct applied *a, size_t at)
{
    a->count--;
    memmove(&a->ranges[at], &a->ranges[at + 1], (a->count - at) * sizeof(a->ranges[0]));
}

static void close_oldest_gap(struct applied *a)
{
    a->blurred = a->ranges[1].first - 1;
    a->ranges[1].first = a->ranges[0].first;
    range_remove(a, 0);
}

void applied_add(struct applied *a, uint64_t sequence)
{
    size_t at = range_at(a, sequence);

    if (at > 0 && a->ranges[at - 1].last + 1 == sequence) {
        a->ranges[at - 1].last = sequence;
        if (at < a->count && a->ranges[at].first == sequence + 1) {
            a->ranges[at - 1].last = a->ranges[at].last;
            range_remove(a, at);
        }
        return;
    }
    if (at < a->count && a->ranges[at].first == sequence + 1) {
        a->ranges[at].first = sequence;
        return;
    }
    if (a->count == APPLIED_RANGES) {
        close_oldest_gap(a);
        at = range_at(a, sequence);
        if (at < a->count && a->ranges[at].first <= sequence)
            return; /* it lay in that gap */
    }
    memmove(&a->ranges[at + 1], &a->ranges[at], (a->count - at) * sizeof(a->ranges[0]));
    a->ranges[at] = (struct applied_range){sequence, sequence};
    a->count++;
}
