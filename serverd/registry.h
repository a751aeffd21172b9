/*
 * registry - the agents that are known: who they are, where they are probed, whether they live.
 *
 * Purpose    Takes or refuses an agent that says hello: one that proved who it is, by what it says;
 *            one without proof, by the limits of plain links, and not in the place of what ever
 *            joined. Tells who is alive; forgets who is gone for long. What has to survive a
 *            restart is handed to the store as it changes. After a restart, an agent that was alive
 *            counts as alive until it had time to call.
 * Threads    Pure logic, time as an argument: the control thread's.
 * Ownership  Owns its agents; holds a reference to the session of each.
 */
#ifndef SERVERD_REGISTRY_H
#define SERVERD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/id.h"
#include "common/network.h"
#include "common/wire.h"
#include "serverd/joined.h"
#include "serverd/session.h"

#define REGISTRY_ADDRESSES_MAX 2 /* one of each family */

struct registry_agent {
    struct prober_id id;
    uint32_t number; /* from 1; never given to another agent */
    char *region, *version, *os, *architecture;
    struct prober_addr observed; /* family NONE: not seen since the server's start */
    struct prober_addr addresses[REGISTRY_ADDRESSES_MAX];
    size_t address_count;
    uint64_t probe_interval_ns;
    uint64_t first_seen_real_ns, last_seen_real_ns;
    uint64_t last_seen_ns;       /* monotonic; of the last call, or of the load */
    uint64_t silent_before_ns;   /* how long it had been silent when it was loaded */
    bool alive;
    bool trusted;                /* it proved who it is, at its last hello */
    uint64_t spool_reports, spool_dropped;
    uint64_t saved_real_ns;      /* last_seen_real_ns as the store has it */
    struct session *session;     /* its latest, or NULL */
};

/* Why an agent was refused: X(name, label value of the metric). */
#define REGISTRY_REFUSALS(X)                                                                      \
    X(INVALID, "invalid")          /* a zero id, or a region that is no name */                   \
    X(PLAIN, "plain")              /* links without proof are not accepted */                     \
    X(JOINED, "joined")            /* without proof, in the place of what joined */                \
    X(ADDRESS, "address")          /* no address that it may register */                          \
    X(SOURCE_FULL, "source_full")  /* too many agents from its source address */                  \
    X(FULL, "full")                /* too many agents */                                          \
    X(CLONED, "cloned_id")         /* another agent with this id is connected and calling */       \
    X(REVOKED, "revoked")          /* of an id that was revoked */
#define REGISTRY_REFUSAL_NAME(name, label) REGISTRY_REFUSED_##name,
enum registry_refusal { REGISTRY_TAKEN, REGISTRY_REFUSALS(REGISTRY_REFUSAL_NAME) REGISTRY_REFUSAL_COUNT };
#undef REGISTRY_REFUSAL_NAME

/* The label value of a refusal. */
const char *registry_refusal_text(enum registry_refusal refusal);

struct registry_config {
    uint64_t alive_ns;     /* after the last call */
    uint64_t forget_ns;    /* after the last call, of an agent that is not alive */
    uint64_t clone_ns;     /* a connected agent heard within this is there: its id is taken */
    bool accept_plain;
    /* How many there may be without proof, and as many with it; and without it of one address. */
    size_t agents_max, agents_per_source;
    char *const *migrate; /* [migrate_count]: regions that are spared, see joined.h; borrowed */
    size_t migrate_count;
    const struct prober_network *networks; /* [network_count], borrowed */
    size_t network_count;
    /* What the store has to know; either may be NULL. */
    void (*save)(void *context, const struct registry_agent *agent);
    void (*forget)(void *context, const struct prober_id *id);
    void (*save_joined)(void *context, const struct joined_row *row);
    /* An agent without proof is about to be forgotten, as what it claims has joined; may be NULL. */
    void (*excluded)(void *context, const struct registry_agent *agent, const char *why);
    void *context;
};

struct registry;

enum prober_error registry_create(struct registry **out, const struct registry_config *config);
/* Takes new limits. Agents that are excluded by them leave at once. */
void registry_configure(struct registry *r, const struct registry_config *config);
/* Adds an agent from the store (copied; its session, last_seen_ns and silent_before_ns are set
 * here). Errors: PROBER_ERR_NOMEM; PROBER_ERR_EXISTS for an id or number that is there. */
enum prober_error registry_load(struct registry *r, const struct registry_agent *agent,
                                uint64_t now_ns, uint64_t now_real_ns);
/* Adds what ever joined, from the store. Errors: PROBER_ERR_FULL, _NOMEM. */
enum prober_error registry_load_joined(struct registry *r, const struct joined_row *row);
/* New agents get numbers from `next` on. */
void registry_set_next_number(struct registry *r, uint32_t next);

struct registry_caller {
    struct prober_id id, boot;
    struct prober_addr peer;
    bool trusted; /* a certificate says id and region */
};

/* An agent says hello. When it is taken, *session is its new session with a reference of the
 * caller's, and *agent the agent, valid until the next call. When it is refused, why->text tells
 * the agent's owner why, and what to do.
 * Errors: PROBER_ERR_NOMEM, with refusal REGISTRY_TAKEN; PROBER_ERR_DENIED with a refusal. */
enum prober_error registry_hello(struct registry *r, const struct registry_caller *caller,
                                 const struct wire_hello *hello, uint64_t now_ns,
                                 uint64_t now_real_ns, struct session **session,
                                 const struct registry_agent **agent,
                                 enum registry_refusal *refusal, struct prober_failure *why);
/* An agent calls on `session`. NULL when that is not its latest session, or its kind of link is no
 * longer accepted: it must say hello, and is then taken or told why not. */
struct registry_agent *registry_call(struct registry *r, struct session *session, uint64_t now_ns,
                                     uint64_t now_real_ns);
/* Notices who died, lives again, or is to be forgotten. Calls on sessions that others noted there
 * (reports) count. */
void registry_tick(struct registry *r, uint64_t now_ns, uint64_t now_real_ns);
/* The server itself stood still for ns, which end now: it could hear nobody, so that much of each
 * agent's silence says nothing about the agent. */
void registry_forgive(struct registry *r, uint64_t ns);

/* What changed since the last call of it. */
struct registry_changes {
    bool plan; /* who is alive, in which region, at which addresses, by which kind of link */
    bool any;  /* anything that a directory shows */
};
struct registry_changes registry_take_changes(struct registry *r);

/* Forgets the i-th agent at once, and ends its session. */
void registry_remove(struct registry *r, size_t i);

size_t registry_count(const struct registry *r);
/* Of those that are alive: who proved who they are. */
size_t registry_trusted(const struct registry *r);
size_t registry_alive(const struct registry *r);
/* The i-th agent, by number. */
const struct registry_agent *registry_at(const struct registry *r, size_t i);
void registry_destroy(struct registry *r);

#endif
