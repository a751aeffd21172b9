/*
 * agent_plan - what the server wants probed: immutable, shared by those who probe.
 *
 * Threads    A plan never changes once made, and may be read by any thread. The link thread offers it
 *            on a plan_board of each thread that probes, which takes it there; only the newest
 *            matters.
 * Ownership  Reference-counted, atomically: what a plan points to is valid until the last reference
 *            is put.
 */
#ifndef AGENTD_AGENT_PLAN_H
#define AGENTD_AGENT_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/http_block.h"
#include "common/error.h"
#include "common/siphash.h"
#include "common/wire.h"

struct agent_plan_target {
    const char *region;
    const char *target; /* name or literal address, as written */
    bool control;
    struct wire_icmp_spec icmp;
};

/* A URL and how it is probed. Where the server sent credentials they are in the block, and perhaps in
 * target: neither is to be logged as it is. */
struct agent_plan_http_target {
    const char *region;
    const char *target; /* as written */
    struct http_block
        *block;          /* the plan's reference; the same one for all targets of equal blocks */
    uint64_t timeout_ns; /* 1 ms to 1 h; 0: the agent's */
};

struct agent_plan {
    uint64_t revision;
    const struct agent_plan_target *targets; /* [target_count]: the ICMP ones, none twice */
    size_t target_count;
    const struct agent_plan_http_target *http_targets; /* [http_target_count] */
    size_t http_target_count;  /* no two of the same region and target: that is one series */
    size_t skipped;            /* targets of kinds that this agent does not have */
    size_t doubles;            /* targets that were in the message more than once */
    size_t bad_entries;        /* HTTP entries left out because their block cannot be read */
    struct prober_failure bad; /* the first of them, in words that hold no secret */
};

/* Makes a plan of a decoded message, which stays the caller's, with one reference. Settings are
 * brought into the ranges that the engines take; an ICMP target that occurs twice with the same
 * settings is kept once, of an HTTP target that occurs twice in a region the first is kept.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error agent_plan_create(struct agent_plan **out, uint64_t revision,
                                    const struct wire_plan *message);
struct agent_plan *agent_plan_get(struct agent_plan *plan);
void agent_plan_put(struct agent_plan *plan); /* NULL is fine */

/* A keyed hash of a target and its settings, and whether two are the same in all of them. */
uint64_t agent_plan_target_hash(const struct agent_plan_target *t, const struct siphash_key *key);
bool agent_plan_target_equal(const struct agent_plan_target *a, const struct agent_plan_target *b);

struct agent_plan_board {
    _Atomic(struct agent_plan *) offered;
};

/* Puts up a plan (taking over a reference) in place of one that was not taken yet. */
void agent_plan_board_offer(struct agent_plan_board *board, struct agent_plan *plan);
/* Takes the plan down, and the reference is then the caller's; NULL when there is no new one. */
struct agent_plan *agent_plan_board_take(struct agent_plan_board *board);

#endif
