/*
 * session - an agent as one connection of the link knows it.
 *
 * Purpose    Made by rpc when an agent says hello, found again through the connection's user pointer
 *            on every later call, so that a report needs no look-up in the registry.
 * Threads    Reference-counted, atomically. The members are immutable, but the atomic ones.
 * Ownership  The connection holds one reference; each report on its way holds another.
 */
#ifndef SERVERD_SESSION_H
#define SERVERD_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/id.h"

struct session {
    atomic_uint references;
    struct prober_id agent_id;
    struct prober_id boot_id;
    uint32_t agent_number;       /* the registry's, unique, stable over restarts */
    bool trusted;                /* the agent proved who it is */
    char *region;
    struct prober_addr observed; /* the peer's address */
    uint64_t probe_interval_ns;
    uint64_t probe_timeout_ns;
    unsigned shard;              /* of the ingest: the same for every agent of a region */
    atomic_uint_fast64_t last_seen_ns; /* monotonic: the last good call */
    atomic_bool connected;       /* false for good once its connection has ended */
    atomic_bool expelled;        /* true for good: what is still queued of it is not taken either */
};

/* Makes a connected session with one reference; copies region. NULL for lack of memory. */
struct session *session_create(const struct prober_id *agent_id, const struct prober_id *boot_id,
                               uint32_t agent_number, const char *region);
struct session *session_get(struct session *s);
/* Takes no call of it any more, nor what was queued before. */
void session_expel(struct session *s);
void session_put(struct session *s);

#endif
