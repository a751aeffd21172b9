#include "test/unit/fakes/fake_resolver.h"

#include <stdio.h>
#include <string.h>

size_t fake_resolver_open(const struct resolver *r)
{
    size_t open = 0;

    for (size_t i = 0; i < r->count; i++)
        open += r->lookups[i].done != NULL;
    return open;
}

void fake_resolver_answer(struct resolver *r, const char *name, const char *address,
                          enum resolver_status status)
{
    struct resolver_answer answer = {.status = address ? RESOLVER_OK : status, .elapsed_ns = 1234};

    if (address)
        prober_addr_parse(address, &answer.address);
    for (size_t i = 0; i < r->count; i++) {
        resolver_done done = r->lookups[i].done;

        if (!done || strcmp(r->lookups[i].name, name) != 0)
            continue;
        r->lookups[i].done = NULL;
        done(r->lookups[i].context, &answer);
    }
}

void resolver_lookup(struct resolver *r, const char *name, enum prober_family preferred,
                     bool strict, uint64_t now_ns, resolver_done done, void *context)
{
    (void)preferred;
    (void)strict;
    (void)now_ns;
    if (r->count == FAKE_LOOKUPS_MAX)
        return;
    snprintf(r->lookups[r->count].name, sizeof(r->lookups[0].name), "%s", name);
    r->lookups[r->count].done = done;
    r->lookups[r->count].context = context;
    r->count++;
}
