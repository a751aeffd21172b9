/*
 * directory - who is there and what is planned: the control thread's view for everybody else.
 *
 * Purpose    An immutable picture of the registry and the plan. The control thread publishes a new
 *            one when something changed; aggregation, exposition and the admin API read it.
 * Threads    Published by swapping one reference-counted pointer; readers take and put a reference.
 * Ownership  A directory owns its arrays and texts.
 */
#ifndef SERVERD_DIRECTORY_H
#define SERVERD_DIRECTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/id.h"
#include "serverd/session.h"

struct directory_agent {
    struct prober_id id;
    uint32_t number;
    const char *region;
    const char *version;
    const char *os;
    const char *architecture;
    struct prober_addr observed;      /* family NONE if not seen since the server's start */
    const struct prober_addr *addresses; /* [address_count]: where it is probed */
    size_t address_count;
    bool trusted;                     /* it proved who it is, at its last hello */
    bool alive;                       /* heard within ratio x aggregation interval */
    uint64_t first_seen_real_ns;      /* wall clock, Unix ns */
    uint64_t last_seen_real_ns;
    uint64_t probe_interval_ns;
    uint64_t spool_reports, spool_dropped; /* as the agent last said */
};

/* An ordered pair of regions that the plan covers. */
struct directory_pair {
    const char *source, *target; /* point into the directory */
};

struct plan;

struct directory {
    atomic_uint references;
    uint64_t plan_revision;
    const struct directory_agent *agents; /* [agent_count], by region, then number */
    size_t agent_count;
    const struct directory_pair *pairs;   /* [pair_count], by source, then target */
    size_t pair_count;
    const struct plan *plan;              /* a reference, or NULL before there is one */
    void *memory;                         /* the arrays and texts */
};

/* Makes a directory with one reference that copies all that `from` points to, sorted as above, and
 * takes a reference of its own to the plan. A pair's names may be any texts of the caller's.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error directory_create(struct directory **out, const struct directory *from);

struct directory_board; /* where the current directory hangs */

enum prober_error directory_board_create(struct directory_board **out);
/* Hangs up a new directory (taking over the caller's reference) and puts the old one. */
void directory_publish(struct directory_board *board, struct directory *directory);
/* The current one with a reference of the caller's; never NULL (an empty one at first). */
struct directory *directory_get(struct directory_board *board);
void directory_put(struct directory *directory);
void directory_board_destroy(struct directory_board *board);

#endif
