#include "common/clock.h"

#include <time.h>

#define READ_APART_MAX_NS 20000
#define READ_TRIES 8

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

/* A preemption between two of the readings would look like a step of the wall clock. */
struct clock_reading clock_read(void)
{
    struct clock_reading r;
    int tries = 0;

    do {
        r.mono_ns = clock_monotonic_ns();
        r.real_ns = clock_realtime_ns();
        r.boot_ns = clock_boottime_ns();
    } while (clock_monotonic_ns() - r.mono_ns > READ_APART_MAX_NS && ++tries < READ_TRIES);
    return r;
}
