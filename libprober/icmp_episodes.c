#include "libprober/icmp_episodes.h"

#include <string.h>

void icmp_episodes_note(struct icmp_episodes *e, uint64_t from_ns, uint64_t to_ns)
{
    if (e->count > 0 && from_ns <= e->list[e->count - 1].to_ns) {
        if (to_ns > e->list[e->count - 1].to_ns)
            e->list[e->count - 1].to_ns = to_ns;
        return;
    }
    if (e->count == ICMP_EPISODES_MAX) {
        e->list[1].from_ns = e->list[0].from_ns;
        memmove(&e->list[0], &e->list[1], (ICMP_EPISODES_MAX - 1) * sizeof(e->list[0]));
        e->count--;
    }
    e->list[e->count].from_ns = from_ns;
    e->list[e->count].to_ns = to_ns;
    e->count++;
}

bool icmp_episodes_touch(const struct icmp_episodes *e, uint64_t from_ns, uint64_t to_ns)
{
    for (size_t i = e->count; i-- > 0 && e->list[i].to_ns >= from_ns;)
        if (e->list[i].from_ns <= to_ns)
            return true;
    return false;
}
