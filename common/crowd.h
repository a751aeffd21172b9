/*
 * crowd - keeps one peer from holding all connections of a port.
 *
 * Purpose    civetweb gives each connection a thread from the moment it is accepted, and tells of it
 *            only when a whole request has come. So who opens many and sends nothing would keep all
 *            others out. Here the process looks at its own descriptors.
 * Threads    Any thread: descriptors that others close meanwhile do no harm.
 */
#ifndef COMMON_CROWD_H
#define COMMON_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

/* Shuts down TCP connections that came to our port `port`, so many that no peer address has more than
 * `most`. `spared` (NULL: nobody) says who may have any number. Returns how many it shut down. */
size_t crowd_thin(uint16_t port, size_t most,
                  bool (*spared)(void *context, const struct prober_addr *peer), void *context);

#endif
