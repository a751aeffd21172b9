/*
 * agent_plan - what the server wants probed: immutable, handed over by swapping a pointer.
 *
 * Threads    A plan never changes once made. The link thread offers it on a plan_board, the icmp
 *            thread takes it there; only the newest matters.
 * Ownership  One owner at a time: who made it, then the board, then who took it down.
 */
#ifndef AGENTD_AGENT_PLAN_H
#define AGENTD_AGENT_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/siphash.h"
#include "common/wire.h"

struct agent_plan_target {
    const char *region;
    const char *target; /* name or literal address, as written */
    bool control;
    struct wire_icmp_spec icmp;
};

struct agent_plan {
    uint64_t revision;
    const struct agent_plan_target *targets; /* [target_count]: the ICMP ones, none twice */
    size_t target_count;
    size_t skipped; /* targets of kinds that this agent does not have */
    size_t doubles; /* targets that were in the message more than once */
    void *memory;
};

/* Makes a plan of a decoded message, which stays the caller's. Specs are brought into the ranges
 * that the engine takes; a target that occurs twice with the same settings is kept once.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error agent_plan_create(struct agent_plan **out, uint64_t revision,
                                    const struct wire_plan *message);
void agent_plan_destroy(struct agent_plan *plan); /* NULL is fine */

/* A keyed hash of a target and its settings, and whether two are the same in all of them. */
uint64_t agent_plan_target_hash(const struct agent_plan_target *t, const struct siphash_key *key);
bool agent_plan_target_equal(const struct agent_plan_target *a, const struct agent_plan_target *b);

struct agent_plan_board {
    _Atomic(struct agent_plan *) offered;
};

/* Puts up a plan (taking it over) in place of one that was not taken yet. */
void agent_plan_board_offer(struct agent_plan_board *board, struct agent_plan *plan);
/* Takes the plan down, which is then the caller's; NULL when there is no new one. */
struct agent_plan *agent_plan_board_take(struct agent_plan_board *board);

#endif
