#include "libprober/timer_wheel.h"

#include <stdbool.h>
#include <stdlib.h>

#define SLOTS 16384u
#define WORDS (SLOTS / 64)

struct timer_wheel {
    struct timer *slots[SLOTS];
    uint64_t used[WORDS]; /* a bit for each slot that is not empty */
    uint64_t tick;        /* the first that was not taken yet */
};

struct timer_wheel *timer_wheel_create(uint64_t now_ns)
{
    struct timer_wheel *w = calloc(1, sizeof(*w));

    if (w)
        w->tick = now_ns >> TIMER_TICK_SHIFT;
    return w;
}

static void put(struct timer_wheel *w, struct timer *t, uint64_t tick)
{
    uint32_t slot = (uint32_t)tick % SLOTS;

    t->next = w->slots[slot];
    w->slots[slot] = t;
    w->used[slot / 64] |= UINT64_C(1) << slot % 64;
}

void timer_wheel_add(struct timer_wheel *w, struct timer *t)
{
    uint64_t tick = t->due_ns >> TIMER_TICK_SHIFT;

    put(w, t, tick < w->tick ? w->tick : tick);
}

/* Moves what is due at `tick` from its slot to *taken. */
static void take_slot(struct timer_wheel *w, uint64_t tick, struct timer **taken)
{
    uint32_t slot = (uint32_t)tick % SLOTS;
    struct timer *t = w->slots[slot];

    w->slots[slot] = NULL;
    w->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    while (t) {
        struct timer *next = t->next;

        if (t->due_ns >> TIMER_TICK_SHIFT <= tick) {
            t->next = *taken;
            *taken = t;
        } else {
            put(w, t, tick);
        }
        t = next;
    }
}

/* Slots from `slot` on to the next used one; SLOTS when there is none. */
static uint32_t distance(const struct timer_wheel *w, uint32_t slot)
{
    for (uint32_t passed = 0; passed < SLOTS;) {
        uint32_t at = (slot + passed) % SLOTS;
        uint64_t word = w->used[at / 64] >> at % 64;

        if (word)
            return passed + (uint32_t)__builtin_ctzll(word);
        passed += 64 - at % 64;
    }
    return SLOTS;
}

struct timer *timer_wheel_take(struct timer_wheel *w, uint64_t now_ns)
{
    uint64_t end = now_ns >> TIMER_TICK_SHIFT, tick = w->tick;
    struct timer *taken = NULL;

    if (end <= w->tick)
        return NULL;
    /* After a long sleep one round visits every slot; each is judged by the newest tick it stands for. */
    if (end - tick > SLOTS)
        tick = end - SLOTS;
    while (tick < end) {
        tick += distance(w, (uint32_t)tick % SLOTS);
        if (tick < end)
            take_slot(w, tick++, &taken);
    }
    w->tick = end;
    return taken;
}

uint64_t timer_wheel_next_ns(const struct timer_wheel *w)
{
    uint32_t slots = distance(w, (uint32_t)w->tick % SLOTS);

    return slots >= SLOTS ? UINT64_MAX : (w->tick + slots + 1) << TIMER_TICK_SHIFT;
}

void timer_wheel_destroy(struct timer_wheel *w)
{
    free(w);
}
