/*
 * known - quick look-ups in a directory: regions by name, agents by id and by number.
 *
 * Threads    Immutable after known_create; any thread.
 * Ownership  Borrows the directory, which must outlive it.
 */
#ifndef SERVERD_KNOWN_H
#define SERVERD_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "serverd/directory.h"

struct known;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error known_create(struct known **out, const struct directory *directory);
const struct directory *known_directory(const struct known *k);
/* True for a region that has an agent, is in the plan, or is part of a planned pair. */
bool known_region(const struct known *k, const char *region);
bool known_agent(const struct known *k, const struct prober_id *id);
/* The region of an agent by its number; NULL when there is none. */
const char *known_region_of(const struct known *k, uint32_t agent_number);
void known_destroy(struct known *k);

#endif
