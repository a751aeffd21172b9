/*
 * fake_clock - replaces common/clock: time stands still until a test moves it.
 *
 * Threads    Set by the test before the threads that read it.
 */
#ifndef TEST_UNIT_FAKES_FAKE_CLOCK_H
#define TEST_UNIT_FAKES_FAKE_CLOCK_H

#include "common/clock.h"

extern struct clock_reading fake_clock;

/* Moves all three clocks on. */
void fake_clock_advance(uint64_t ns);

#endif
