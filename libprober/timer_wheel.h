/*
 * timer_wheel - many timers, cheap to add and to take, on a grid of about four milliseconds.
 *
 * Purpose    A hashed wheel (Varghese and Lauck 1987, scheme 6). A timer is never early, and late by
 *            up to TIMER_TICK_NS and what the caller adds. Timers further away than the wheel's
 *            horizon (69 s) wait for another round.
 * Threads    None of its own; one thread owns it.
 * Ownership  The wheel owns its slots. A struct timer is embedded in what it times; it must stay where
 *            it is until it was taken.
 */
#ifndef LIBPROBER_TIMER_WHEEL_H
#define LIBPROBER_TIMER_WHEEL_H

#include <stdint.h>

#define TIMER_TICK_SHIFT 22
#define TIMER_TICK_NS (UINT64_C(1) << TIMER_TICK_SHIFT)

struct timer {
    struct timer *next;
    uint64_t due_ns; /* set by the caller before timer_wheel_add; monotonic */
};

struct timer_wheel;

/* NULL for lack of memory. */
struct timer_wheel *timer_wheel_create(uint64_t now_ns);
/* A timer that is already due is taken by the next call. */
void timer_wheel_add(struct timer_wheel *w, struct timer *t);
/* Takes out the timers whose tick is over at now_ns, and returns them as a list, in no order. */
struct timer *timer_wheel_take(struct timer_wheel *w, uint64_t now_ns);
/* When timer_wheel_take will next have something, or a little before; UINT64_MAX when it is empty. */
uint64_t timer_wheel_next_ns(const struct timer_wheel *w);
/* The timers in it are forgotten. NULL is fine. */
void timer_wheel_destroy(struct timer_wheel *w);

#endif
