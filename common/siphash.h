/*
 * siphash - SipHash-2-4, a keyed 64-bit hash.
 *
 * Source     J.-P. Aumasson, D. J. Bernstein: SipHash: a fast short-input PRF (2012).
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_SIPHASH_H
#define COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1;
};

/* The hash of bytes[len] under *key. */
uint64_t siphash24(const struct siphash_key *key, const void *bytes, size_t len);

#endif
