/*
 * plan - who probes what: discovery, and the assignment of targets to agents.
 *
 * Purpose    A plan is made from the probe file and the live agents. In dynamic discovery the
 *            addresses that a region's live agents registered take the place of the file's ICMP
 *            targets of that region; the settings (packet count and so on) of the file's first ICMP
 *            entry of the region then hold for them, source_regions too. HTTP entries are always
 *            the file's. Every agent gets the targets of every region but its own, or of all with
 *            probe_self, where source_regions does not leave it out; never its own address.
 *
 *            With `full_below` agents or more, discovered targets are thinned out: each ordered pair
 *            of regions is covered by agents_per_pair agents x targets_per_pair targets, chosen by
 *            rendezvous hashing, another choice every rotate_ns. Targets that the file names are
 *            never thinned out: who wrote them down wants them all.
 *
 *            A target is one series of results for each agent, by what is shown of it. So of several
 *            entries of one region and kind that name it, the first one that takes the agent's region
 *            is the one it gets. Entries that are confidential go only to agents with a private link.
 *            With more URLs, over all source regions, than are allowed, the regions whose first
 *            agents came last get none.
 * Threads    Made by the control thread; immutable from then on, read by any.
 * Ownership  Reference-counted; owns its regions and texts. A view points into its plan.
 */
#ifndef SERVERD_PLAN_H
#define SERVERD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/id.h"
#include "common/siphash.h"
#include "common/wire.h"
#include "libprober/spec.h"

/* Pairs change their choice in this many groups, one after another, never all at once. */
#define PLAN_ROTATION_SLOTS 12

struct plan_config {
    bool dynamic;
    bool probe_self;
    uint64_t full_below;       /* live agents; 0: thin out always */
    uint64_t agents_per_pair;  /* 1.. */
    uint64_t targets_per_pair; /* 1.. */
    uint64_t rotate_ns;        /* 0: never */
    uint64_t urls_max;         /* over all source regions; 0: no limit */
    /* Of digests and revisions. A secret: agents show the revision, and a hash that anybody can
     * compute would let them try passwords. */
    struct siphash_key content_key;
};

/* A live agent, as the plan sees it. */
struct plan_agent {
    struct prober_id id;
    const char *region;
    const struct prober_addr *addresses; /* [address_count] */
    size_t address_count;
    bool is_private; /* nobody else can read or forge what it is sent */
};

struct plan_target {
    const char *text;           /* as it is probed and named; of HTTP it may hold a password */
    const char *shown;          /* as it may be shown: without user information */
    struct prober_addr address; /* family NONE: text is a name, or a URL */
    uint32_t group; /* the same for all that are shown alike in a region; 0: there are no others */
};

struct plan_entry {
    enum probe_kind kind;
    const char *name;      /* the file's; may be "" */
    int line;              /* in the file; 0: not from it */
    struct icmp_spec icmp; /* of PROBE_ICMP */
    const char *block;     /* of PROBE_HTTP: as wire_http_spec has it, with secrets; else "" */
    uint64_t timeout_ns;   /* of PROBE_HTTP; 0: the agent's */
    bool discovered;
    bool confidential;           /* only for agents with a private link */
    uint64_t *sources;           /* a bit for each region whose agents probe it; NULL: all */
    struct plan_target *targets; /* [target_count] */
    size_t target_count;
    size_t withheld;   /* agents that would get it, if their links were private */
    uint64_t identity; /* of region, name and settings: the same from plan to plan */
};

struct plan_region {
    const char *name;
    struct plan_entry *entries; /* [entry_count]: what there is to probe in the region */
    size_t entry_count;
    struct prober_id *agents; /* [agent_count]: its live agents, in the order they were given */
    size_t agent_count;
    size_t private_count; /* of those: with a private link */
    size_t url_count;     /* that its agents probe, or would */
    bool urls_refused;    /* they would be too many, with those of the other regions */
};

/* Where an address is a target. */
struct plan_place {
    struct prober_addr address;
    size_t region;
};
/* The order of places, for qsort. */
int plan_place_compare(const void *x, const void *y);

struct plan {
    struct plan_config config;
    uint64_t made_real_ns;
    uint64_t digest;             /* equal digests: equal plans */
    bool thinned;                /* the mesh bounds are at work */
    struct plan_region *regions; /* [region_count], by name */
    size_t region_count;
    struct plan_place *places; /* [place_count], sorted */
    size_t place_count;
    size_t target_count;      /* of all regions, ICMP */
    size_t http_target_count; /* likewise */
    size_t refused_count;     /* regions whose agents get no URLs, for they would be too many */
    size_t agent_count;
    size_t withheld_entries; /* confidential ones that some agents do not get */
    /* Targets that an earlier entry names too, with other settings: some or all agents probe them
     * as the earlier entry says. The first of them, or NULL. */
    size_t shadowed;
    const struct plan_entry *shadowed_entry;
    const char *shadowed_target;
    uint32_t group_count;        /* of targets; groups are numbered from 1 */
    uint64_t rotates_at_real_ns; /* when to make the next plan; UINT64_MAX: on a change alone */
};

/* Makes a plan at wall-clock time now_real_ns, with one reference. `spec` may be NULL: no file.
 * agents[count]: the live ones, in an order that stays (by number): targets keep that order.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error plan_create(struct plan **out, const struct plan_config *config,
                              const struct probe_spec *spec, const struct plan_agent *agents,
                              size_t count, uint64_t now_real_ns);
/* Another reference to the plan; a plan is const to all who hold one. */
const struct plan *plan_get(const struct plan *plan);
void plan_put(const struct plan *plan);

/* The region called `name`, or NULL. */
const struct plan_region *plan_region_find(const struct plan *plan, const char *name);
/* True when agents of `source` are to probe `e`, an entry of `target`. They may not get all its
 * targets: see plan_target.group. `source` NULL: a region that the plan does not know. */
bool plan_takes(const struct plan *plan, const struct plan_region *source,
                const struct plan_region *target, const struct plan_entry *e);
/* True when there are agents of `source` that get `e`: confidential entries are for some. */
bool plan_reaches(const struct plan *plan, const struct plan_region *source,
                  const struct plan_region *target, const struct plan_entry *e);
/* True when agents of `source` probe ICMP targets in `target`. */
bool plan_covers(const struct plan *plan, const struct plan_region *source,
                 const struct plan_region *target);
/* True when the plan of `agent` is that of every agent of its region with the same kind of link. */
bool plan_is_common(const struct plan *plan, const struct plan_agent *agent);

/* What one agent has to probe. */
struct plan_view {
    uint64_t revision;     /* a hash of the content, never 0: the same content, the same number */
    struct wire_plan wire; /* points into the plan, and into `memory` */
    void *memory[2];
};

/* Errors: PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error plan_view_create(struct plan_view *out, const struct plan *plan,
                                   const struct plan_agent *agent);
void plan_view_free(struct plan_view *view);

#endif
