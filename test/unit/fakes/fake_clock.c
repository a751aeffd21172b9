#include "test/unit/fakes/fake_clock.h"

struct clock_reading fake_clock;

uint64_t clock_monotonic_ns(void)
{
    return fake_clock.mono_ns;
}

uint64_t clock_realtime_ns(void)
{
    return fake_clock.real_ns;
}

uint64_t clock_boottime_ns(void)
{
    return fake_clock.boot_ns;
}

struct clock_reading clock_read(void)
{
    return fake_clock;
}

void fake_clock_advance(uint64_t ns)
{
    fake_clock.mono_ns += ns;
    fake_clock.real_ns += ns;
    fake_clock.boot_ns += ns;
}
