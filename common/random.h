/*
 * random - bytes from the kernel's generator, and ids made of them.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>

#include "common/error.h"

/* Fills out[len] from getrandom(2). Aborts the process if the kernel cannot: an identity or a key
 * must never be guessed. */
void random_bytes(void *out, size_t len);

#endif
