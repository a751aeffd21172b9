#include "agentd/task_rate.h"

#include "common/clock.h"

void task_rate_init(struct task_rate *rate, unsigned per_minute, unsigned burst)
{
    uint64_t interval_ns = 60 * CLOCK_NS_PER_S / per_minute;

    *rate = (struct task_rate){.interval_ns = interval_ns, .burst_ns = interval_ns * burst};
}

bool task_rate_take(struct task_rate *rate, uint64_t now_ns)
{
    uint64_t full_ns = (rate->full_ns > now_ns ? rate->full_ns : now_ns) + rate->interval_ns;

    if (full_ns - now_ns > rate->burst_ns)
        return false;
    rate->full_ns = full_ns;
    return true;
}
