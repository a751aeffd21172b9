#include "agentd/trouble.h"

#include <stddef.h>

#include "common/array.h"
#include "common/log.h"

/* The troubles that windows tell of. */
static const struct unsent_kind {
    size_t offset; /* of the count in struct icmp_totals */
    const char *begins, *ends;
} unsent_kinds[] = {
    {offsetof(struct icmp_totals, unsent_local),
     "the kernel refuses probes (no route, no address, or the interface is down)",
     "the kernel takes all probes again"},
    {offsetof(struct icmp_totals, unsent_queue),
     "probes find no room in a queue: too many in flight, or the device queue is full",
     "probes find room in the queues again"},
    {offsetof(struct icmp_totals, unsent_late),
     "the agent gets too little CPU to send its probes on time",
     "the agent sends its probes on time again"},
    {offsetof(struct icmp_totals, unsent_cap),
     "probes are held back by -agent.icmp.max.pps or -agent.icmp.target.max.pps",
     "no probes are held back by a cap any more"},
    {offsetof(struct icmp_totals, unsent_name), "names of targets do not resolve",
     "the names of all targets resolve again"},
};
#define DROPS (TROUBLE_KINDS - 1) /* and the one that the engine tells of */

_Static_assert(ARRAY_LEN(unsent_kinds) == DROPS, "every trouble has its place");

void trouble_add(struct trouble *t, const struct icmp_counts *counts)
{
    icmp_totals_add(&t->window, counts);
}

enum trouble_change trouble_see(struct trouble_kind *kind, uint64_t count, uint64_t now_ns,
                                uint64_t quiet_ns)
{
    bool told = kind->told;

    if (count)
        kind->seen_ns = now_ns;
    kind->told = count || (told && now_ns - kind->seen_ns < quiet_ns);
    if (kind->told == told)
        return TROUBLE_GOES_ON;
    return kind->told ? TROUBLE_BEGINS : TROUBLE_ENDS;
}

static void tell_unsent(struct trouble *t, uint64_t now_ns)
{
    for (size_t i = 0; i < ARRAY_LEN(unsent_kinds); i++) {
        const struct unsent_kind *kind = &unsent_kinds[i];
        uint64_t count = *(const uint64_t *)((const char *)&t->window + kind->offset);
        enum trouble_change change = trouble_see(&t->kinds[i], count, now_ns, TROUBLE_QUIET_NS);

        if (change == TROUBLE_BEGINS)
            log_warn(kind->begins, LOG_U("unsent", count));
        else if (change == TROUBLE_ENDS)
            log_warn(kind->ends);
    }
}

static void tell_engine(struct trouble *t, const struct icmp_engine_counts *counts, uint64_t now_ns)
{
    uint64_t drops = counts->receive_drops - t->receive_drops;

    if (counts->clock_steps != t->clock_steps)
        log_warn("the wall clock was stepped; replies of that time count as unknown",
                 LOG_U("steps", counts->clock_steps));
    if (counts->suspends != t->suspends)
        log_warn("the machine was suspended; probes of that time count as unknown",
                 LOG_U("suspends", counts->suspends));
    if (trouble_see(&t->kinds[DROPS], drops, now_ns, TROUBLE_QUIET_NS) == TROUBLE_BEGINS)
        log_warn(
            "the kernel dropped replies for lack of buffer; they count as unknown, not as lost",
            LOG_U("dropped", counts->receive_drops));
    t->clock_steps = counts->clock_steps;
    t->suspends = counts->suspends;
    t->receive_drops = counts->receive_drops;
}

void trouble_window_end(struct trouble *t, const struct icmp_engine_counts *counts, uint64_t now_ns)
{
    tell_engine(t, counts, now_ns);
    tell_unsent(t, now_ns);
    t->window = (struct icmp_totals){0};
}
