/*
 * clock_watch - sees steps of the wall clock and suspends, and turns kernel timestamps into the
 *               monotonic clock.
 *
 * Purpose    The difference of the realtime and the monotonic clock is constant but for steps (slewing
 *            moves both); that of the boottime clock but for suspends. Kernel timestamps are
 *            realtime; with the difference they were made under they become monotonic, and the
 *            difference of two of them is exact.
 * Threads    Values; pure functions.
 */
#ifndef LIBPROBER_CLOCK_WATCH_H
#define LIBPROBER_CLOCK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

/* A change below this is noise of the reading. */
#define CLOCK_WATCH_STEP_NS CLOCK_NS_PER_MS

struct clock_watch {
    uint64_t real_offset_ns, boot_offset_ns; /* minus the monotonic clock; wraps */
    uint64_t old_real_offset_ns;             /* before the last step */
    uint64_t last_ns;                        /* monotonic: of the last reading */
    uint64_t stepped_ns; /* monotonic: of the first reading after the last step */
};

struct clock_changes {
    bool stepped, suspended;
};

void clock_watch_start(struct clock_watch *w, const struct clock_reading *now);
/* Takes the next reading. A change happened between the last reading and this. */
struct clock_changes clock_watch_see(struct clock_watch *w, const struct clock_reading *now);
/* A realtime timestamp on the monotonic clock. after_ns, the monotonic time that it cannot precede,
 * tells which side of a step it is from, if the step is larger than the doubt. */
uint64_t clock_watch_to_mono(const struct clock_watch *w, uint64_t real_ns, uint64_t after_ns,
                             uint64_t now_ns);

#endif
