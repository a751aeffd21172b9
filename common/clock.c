#include "common/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t which)
{
    struct timespec ts;

    clock_gettime(which, &ts);
    return (uint64_t)ts.tv_sec * CLOCK_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_boottime_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

struct clock_reading clock_read(void)
{
    return (struct clock_reading){
        .mono_ns = clock_monotonic_ns(),
        .real_ns = clock_realtime_ns(),
        .boot_ns = clock_boottime_ns(),
    };
}
