#include "agentd/trouble.h"

#include <stddef.h>

#include "common/array.h"
#include "common/log.h"

static const struct {
    size_t offset; /* of the count in struct icmp_totals */
    const char *begins, *ends;
} kinds[] = {
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

void trouble_add(struct trouble *t, const struct icmp_counts *counts)
{
    icmp_totals_add(&t->window, counts);
}

void trouble_window_end(struct trouble *t)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        uint64_t count = *(const uint64_t *)((const char *)&t->window + kinds[i].offset);
        unsigned bit = 1u << i;

        if (count && !(t->present & bit))
            log_warn(kinds[i].begins, LOG_U("unsent", count));
        else if (!count && (t->present & bit))
            log_warn(kinds[i].ends);
        t->present = count ? t->present | bit : t->present & ~bit;
    }
    t->window = (struct icmp_totals){0};
}

void trouble_engine(struct trouble *t, const struct icmp_engine_counts *counts)
{
    if (counts->clock_steps != t->clock_steps)
        log_warn("the wall clock was stepped; replies of that time count as unknown",
                 LOG_U("steps", counts->clock_steps));
    if (counts->suspends != t->suspends)
        log_warn("the machine was suspended; probes of that time count as unknown",
                 LOG_U("suspends", counts->suspends));
    if (counts->receive_drops != t->receive_drops && !t->dropping)
        log_warn(
            "the kernel dropped replies for lack of buffer; they count as unknown, not as lost",
            LOG_U("dropped", counts->receive_drops));
    t->dropping = counts->receive_drops != t->receive_drops;
    t->clock_steps = counts->clock_steps;
    t->suspends = counts->suspends;
    t->receive_drops = counts->receive_drops;
}
