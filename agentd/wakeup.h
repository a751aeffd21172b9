/*
 * wakeup - how one thread wakes another that sleeps.
 *
 * Purpose    An eventfd: signals that come while the other is awake are kept, and merged into one.
 * Threads    wakeup_signal from any thread; the rest from the one that sleeps.
 * Ownership  Owns its descriptor.
 */
#ifndef AGENTD_WAKEUP_H
#define AGENTD_WAKEUP_H

#include <stdint.h>

#include "common/error.h"

struct wakeup {
    int fd;
};

enum prober_error wakeup_open(struct wakeup *w, struct prober_failure *why);
void wakeup_signal(struct wakeup *w);
/* Sleeps until a signal came, `other_fd` (-1: none) is readable, or timeout_ns is over. */
void wakeup_wait(struct wakeup *w, int other_fd, uint64_t timeout_ns);
void wakeup_close(struct wakeup *w);

#endif
