/*
 * fake_resolver - look-ups that end when the test says so.
 */
#ifndef FAKE_RESOLVER_H
#define FAKE_RESOLVER_H

#include <stddef.h>

#include "libprober/resolver.h"

#define FAKE_LOOKUPS_MAX 256

struct resolver {
    struct {
        char name[64];
        resolver_done done; /* NULL: ended */
        void *context;
    } lookups[FAKE_LOOKUPS_MAX];
    size_t count; /* ever started */
};

/* How many are open. */
size_t fake_resolver_open(const struct resolver *r);
/* Ends the open look-ups of `name`: with this address, or, when NULL, with this status. */
void fake_resolver_answer(struct resolver *r, const char *name, const char *address,
                          enum resolver_status status);

#endif
