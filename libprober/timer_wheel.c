#include "libprober/timer_wheel.h"

#include <stdbool.h>
#include <stdlib.h>

#define SLOTS 16384u
#define WORDS (SLOTS / 64)
#define BLOCK_TIMERS 30
#define BLOCKS_AT_ONCE 64
#define PREFETCH_AHEAD 8

/* Timers lie all over the memory: what points to them stands together, so that taking them can have
 * the next ones fetched while it looks at one. */
struct block {
    struct block *next;
    uint64_t count;
    struct timer *timers[BLOCK_TIMERS]; /* [count] */
};

struct slot {
    struct block *blocks; /* all full but the first */
    struct timer *loose;  /* for which there was no memory for a block */
};

struct timer_wheel {
    struct slot slots[SLOTS];
    uint64_t used[WORDS]; /* a bit for each slot that is not empty */
    uint64_t tick;        /* the first that was not taken yet */
    struct block *spare;
    struct block *chunks; /* the first of each BLOCKS_AT_ONCE, linked by `next`; for freeing */
};

struct timer_wheel *timer_wheel_create(uint64_t now_ns)
{
    struct timer_wheel *w = calloc(1, sizeof(*w));

    if (w)
        w->tick = now_ns >> TIMER_TICK_SHIFT;
    return w;
}

static struct block *make_blocks(struct timer_wheel *w)
{
    struct block *chunk = aligned_alloc(64, BLOCKS_AT_ONCE * sizeof(*chunk));

    if (!chunk)
        return NULL;
    chunk[0].next = w->chunks;
    w->chunks = chunk;
    for (size_t i = 1; i < BLOCKS_AT_ONCE; i++) {
        chunk[i].next = w->spare;
        w->spare = &chunk[i];
    }
    return w->spare;
}

/* The slot's first block, with room in it; NULL for lack of memory. */
static struct block *open_block(struct timer_wheel *w, struct slot *s)
{
    struct block *b = s->blocks;

    if (b && b->count < BLOCK_TIMERS)
        return b;
    b = w->spare ? w->spare : make_blocks(w);
    if (!b)
        return NULL;
    w->spare = b->next;
    b->next = s->blocks;
    b->count = 0;
    s->blocks = b;
    return b;
}

static void put(struct timer_wheel *w, struct timer *t, uint64_t tick)
{
    uint32_t number = (uint32_t)tick % SLOTS;
    struct slot *s = &w->slots[number];
    struct block *b = open_block(w, s);

    if (b) {
        b->timers[b->count++] = t;
    } else {
        t->next = s->loose;
        s->loose = t;
    }
    w->used[number / 64] |= UINT64_C(1) << number % 64;
}

void timer_wheel_add(struct timer_wheel *w, struct timer *t)
{
    uint64_t tick = t->due_ns >> TIMER_TICK_SHIFT;

    put(w, t, tick < w->tick ? w->tick : tick);
}

/* Moves the timer to *taken, or back into the wheel when it waits for another round. */
static void take_timer(struct timer_wheel *w, struct timer *t, uint64_t tick, struct timer **taken)
{
    if (t->due_ns >> TIMER_TICK_SHIFT > tick) {
        put(w, t, tick);
        return;
    }
    t->next = *taken;
    *taken = t;
}

static void prefetch(const struct block *b, size_t i)
{
    if (i >= b->count && b->next) {
        i -= b->count;
        b = b->next;
    }
    if (i < b->count)
        __builtin_prefetch(b->timers[i], 1);
}

static void take_block(struct timer_wheel *w, struct block *b, uint64_t tick, struct timer **taken)
{
    for (size_t i = 0; i < b->count; i++) {
        prefetch(b, i + PREFETCH_AHEAD);
        take_timer(w, b->timers[i], tick, taken);
    }
    b->next = w->spare;
    w->spare = b;
}

/* Moves what is due at `tick` from its slot to *taken. */
static void take_slot(struct timer_wheel *w, uint64_t tick, struct timer **taken)
{
    uint32_t number = (uint32_t)tick % SLOTS;
    struct slot s = w->slots[number];

    w->slots[number] = (struct slot){0};
    w->used[number / 64] &= ~(UINT64_C(1) << number % 64);
    while (s.blocks) {
        struct block *b = s.blocks;

        s.blocks = b->next;
        take_block(w, b, tick, taken);
    }
    while (s.loose) {
        struct timer *t = s.loose;

        s.loose = t->next;
        take_timer(w, t, tick, taken);
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
    while (w && w->chunks) {
        struct block *chunk = w->chunks;

        w->chunks = chunk->next;
        free(chunk);
    }
    free(w);
}
