/*
 * icmp_episodes - times in which replies may have been missed here: local drops, clock steps, suspends.
 *
 * Purpose    A probe without a reply whose reply window touches an episode is unknown, not lost.
 *            The newest episodes are remembered exactly; of older ones some are joined into one, which
 *            makes more probes unknown, never fewer.
 * Threads    Values; pure functions.
 */
#ifndef LIBPROBER_ICMP_EPISODES_H
#define LIBPROBER_ICMP_EPISODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ICMP_EPISODES_MAX 64

struct icmp_episodes {
    struct {
        uint64_t from_ns, to_ns; /* monotonic, both included */
    } list[ICMP_EPISODES_MAX];   /* ascending, apart from one another */
    size_t count;
};

/* Notes that replies may have been missed from..to. Calls come with ascending times. */
void icmp_episodes_note(struct icmp_episodes *e, uint64_t from_ns, uint64_t to_ns);
/* True when an episode touches from..to. */
bool icmp_episodes_touch(const struct icmp_episodes *e, uint64_t from_ns, uint64_t to_ns);

#endif
