/*
 * joined - what ever belonged to an agent that joined: ids, regions and addresses.
 *
 * Purpose    What proved itself once takes no agent without proof any more, or whoever comes first on a
 *            plain link would speak for it. Regions that are listed are spared, while their agents
 *            join one after another; but then all that an agent claims must belong to such regions.
 *            Nothing is ever taken out.
 * Threads    One at a time.
 * Ownership  Copies what it is given.
 */
#ifndef SERVERD_JOINED_H
#define SERVERD_JOINED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/id.h"

#define JOINED_MAX 200000

enum joined_kind { JOINED_AGENT, JOINED_REGION, JOINED_ADDRESS, JOINED_KIND_COUNT };

struct joined_row {
    enum joined_kind kind;
    const char *key;    /* an id, a region or an address, as text */
    const char *region; /* of the agent that it last belonged to */
};

struct joined;

enum prober_error joined_create(struct joined **out);
/* Adds a row, or changes its region; *changed tells that the store has to know.
 * Errors: PROBER_ERR_FULL, _NOMEM. */
enum prober_error joined_add(struct joined *j, const struct joined_row *row, bool *changed);
/* The region of what joined; NULL when it never did. Valid until the next joined_add. */
const char *joined_find(const struct joined *j, enum joined_kind kind, const char *key);
size_t joined_count(const struct joined *j);

/* What an agent without proof says of itself. */
struct joined_claim {
    const struct prober_id *id;
    const char *region;
    const struct prober_addr *addresses; /* [address_count] */
    size_t address_count;
};

/* True when the claim touches what joined, and not only in regions of spared[count]. *why then tells
 * the agent's owner what to do. */
bool joined_excludes(const struct joined *j, const struct joined_claim *claim, char *const *spared,
                     size_t count, struct prober_failure *why);
void joined_destroy(struct joined *j); /* NULL is fine */

#endif
