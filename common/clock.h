/*
 * clock - the only reader of clocks.
 *
 * Purpose    Logic takes the time as an argument; loops ask here once a turn. Intervals use the
 *            monotonic clock, RTT the realtime clock (kernel timestamps are in it), ages across
 *            a suspend the boottime clock; wall time otherwise only labels things for people.
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S UINT64_C(1000000000)
#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_US UINT64_C(1000)

/* One reading of the three clocks, nanoseconds. A step of the wall clock shows as a change of
 * real_ns - mono_ns, a suspend as a change of boot_ns - mono_ns. */
struct clock_reading {
    uint64_t mono_ns; /* CLOCK_MONOTONIC */
    uint64_t real_ns; /* CLOCK_REALTIME, since the Unix epoch */
    uint64_t boot_ns; /* CLOCK_BOOTTIME */
};

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);
uint64_t clock_boottime_ns(void);

/* Reads the three clocks as close together as user space can. */
struct clock_reading clock_read(void);

#endif
