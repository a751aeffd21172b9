/*
 * task_rate - how many tasks may begin: a bucket of tokens.
 *
 * Threads    A value of its owner; pure functions of it and the time.
 */
#ifndef AGENTD_TASK_RATE_H
#define AGENTD_TASK_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct task_rate {
    uint64_t interval_ns; /* in which one more may begin */
    uint64_t full_ns;     /* when all of the burst may begin at once again */
    uint64_t burst_ns;    /* burst × interval */
};

/* per_minute: 1 or more; burst: how many may begin at once, 1 or more. */
void task_rate_init(struct task_rate *rate, unsigned per_minute, unsigned burst);
/* True, and counts, if one may begin at `now_ns` (monotonic clock). */
bool task_rate_take(struct task_rate *rate, uint64_t now_ns);

#endif
