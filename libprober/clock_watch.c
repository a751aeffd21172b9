#include "libprober/clock_watch.h"

static bool differ(uint64_t a, uint64_t b)
{
    int64_t d = (int64_t)(a - b);

    return d > (int64_t)CLOCK_WATCH_STEP_NS || d < -(int64_t)CLOCK_WATCH_STEP_NS;
}

void clock_watch_start(struct clock_watch *w, const struct clock_reading *now)
{
    w->real_offset_ns = now->real_ns - now->mono_ns;
    w->boot_offset_ns = now->boot_ns - now->mono_ns;
    w->old_real_offset_ns = w->real_offset_ns;
    w->last_ns = w->stepped_ns = now->mono_ns;
}

struct clock_changes clock_watch_see(struct clock_watch *w, const struct clock_reading *now)
{
    uint64_t real_offset_ns = now->real_ns - now->mono_ns;
    uint64_t boot_offset_ns = now->boot_ns - now->mono_ns;
    /* A suspend moves realtime against monotonic as well: that much of it is no step. */
    uint64_t slept_ns = boot_offset_ns - w->boot_offset_ns;
    struct clock_changes changes = {
        .suspended = differ(boot_offset_ns, w->boot_offset_ns),
        .stepped = differ(real_offset_ns, w->real_offset_ns + slept_ns),
    };

    if (changes.suspended)
        w->boot_offset_ns = boot_offset_ns;
    if (changes.stepped || changes.suspended) {
        w->old_real_offset_ns = w->real_offset_ns;
        w->real_offset_ns = real_offset_ns;
        w->stepped_ns = now->mono_ns;
    }
    w->last_ns = now->mono_ns;
    return changes;
}

uint64_t clock_watch_to_mono(const struct clock_watch *w, uint64_t real_ns, uint64_t after_ns,
                             uint64_t now_ns)
{
    uint64_t mono_ns = real_ns - w->real_offset_ns, old_ns;

    /* Only what was stamped before the reading that saw the step can be in the old time. */
    if (after_ns >= w->stepped_ns || w->old_real_offset_ns == w->real_offset_ns)
        return mono_ns;
    old_ns = real_ns - w->old_real_offset_ns;
    if (old_ns >= after_ns && old_ns <= now_ns)
        return old_ns;
    return mono_ns;
}
