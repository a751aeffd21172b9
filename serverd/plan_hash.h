/*
 * plan_hash - keyed hashes that chain values, for the modules of a plan alone.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef SERVERD_PLAN_HASH_H
#define SERVERD_PLAN_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/siphash.h"
#include "serverd/plan.h"

/* A hash of `hash` and what follows. */
uint64_t plan_hash(const struct siphash_key *key, uint64_t hash, const void *bytes, size_t len);
uint64_t plan_hash_text(const struct siphash_key *key, uint64_t hash, const char *text);
uint64_t plan_hash_u64(const struct siphash_key *key, uint64_t hash, uint64_t value);
/* How an entry is probed: its kind and settings, targets aside. */
uint64_t plan_hash_settings(const struct siphash_key *key, uint64_t hash,
                            const struct plan_entry *e);

#endif
