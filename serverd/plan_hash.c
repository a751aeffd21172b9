#include "serverd/plan_hash.h"

#include <string.h>

uint64_t plan_hash(const struct siphash_key *key, uint64_t hash, const void *bytes, size_t len)
{
    const struct siphash_key chained = {key->k0 ^ hash, key->k1};

    return siphash24(&chained, bytes, len);
}

uint64_t plan_hash_text(const struct siphash_key *key, uint64_t hash, const char *text)
{
    return plan_hash(key, hash, text, strlen(text) + 1);
}

uint64_t plan_hash_u64(const struct siphash_key *key, uint64_t hash, uint64_t value)
{
    return plan_hash(key, hash, &value, sizeof(value));
}

uint64_t plan_hash_settings(const struct siphash_key *key, uint64_t hash,
                            const struct plan_entry *e)
{
    const uint64_t values[] = {(uint64_t)e->kind,   e->icmp.payload_size, e->icmp.packet_count,
                               e->icmp.interval_ns, e->icmp.timeout_ns,   (uint64_t)e->icmp.family,
                               e->timeout_ns};

    return plan_hash_text(key, plan_hash(key, hash, values, sizeof(values)), e->block);
}
