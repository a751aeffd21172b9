/*
 * fake_icmp_engine - an engine that sends nothing and remembers what it was told.
 *
 * Purpose    For tests of what stands above the engine. Its windows are of the length asked for; at
 *            the end of each, every target has had all its probes answered after 1 ms, those without
 *            an address have them unsent.
 */
#ifndef FAKE_ICMP_ENGINE_H
#define FAKE_ICMP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "libprober/icmp_engine.h"

#define FAKE_TARGETS_MAX 64

struct fake_target {
    struct icmp_target target; /* with the address as last set */
    bool removing;             /* its last windows are not reported yet */
    bool live;                 /* still in the engine */
};

struct icmp_engine {
    struct icmp_sink sink;
    struct fake_target targets[FAKE_TARGETS_MAX]; /* handle - 1 */
    size_t added, set_addresses;
    enum prober_error refuse_with; /* not PROBER_OK: adding fails */
    uint64_t window_ns, window_end_ns;
    uint32_t window, sender;
    bool finishing, finished;
};

/* The engine that icmp_engine_create made last. */
extern struct icmp_engine *fake_engine_last;

/* The live target with this address text that is not being removed, or NULL. */
struct fake_target *fake_engine_find(struct icmp_engine *e, const char *address);
/* How many are live and not being removed. */
size_t fake_engine_probing(const struct icmp_engine *e);
/* Reports that the removed ones are gone. */
void fake_engine_let_go(struct icmp_engine *e);

#endif
