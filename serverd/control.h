/*
 * control - what the server tells its agents: the answers to hello and sync.
 *
 * Purpose    Puts registry and plan together: takes agents in, makes a new plan when who is alive
 *            changed (many changes within CONTROL_SETTLE_NS make one plan), hands each agent its
 *            own, and publishes a directory for everybody else.
 * Threads    Pure logic, time as an argument: one thread calls it. control_stats may be read by any.
 * Ownership  Owns registry and plan, holds probe spec and lists. Borrows board, store, ingest
 *            and revocations: they outlive it.
 */
#ifndef SERVERD_CONTROL_H
#define SERVERD_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/metrics.h"
#include "common/id.h"
#include "common/strbuf.h"
#include "common/wire.h"
#include "libprober/spec.h"
#include "libprober/target_book.h"
#include "serverd/directory.h"
#include "serverd/ingest.h"
#include "serverd/plan.h"
#include "serverd/registry.h"
#include "serverd/revocations.h"
#include "serverd/store.h"
#include "serverd/tasks.h"

/* From the first change to the new plan: what comes within it is one change. */
#define CONTROL_SETTLE_NS (200 * CLOCK_NS_PER_MS)

/* What a reload can change. */
struct control_change {
    struct registry_config registry;   /* save, forget and context are set by control */
    struct prober_network *networks;   /* [registry.network_count], malloc'd; taken over */
    char **migrate;                    /* [registry.migrate_count], likewise, each text too */
    struct plan_config plan;           /* but its content_key: control draws one */
    struct probe_spec *spec;           /* NULL: no file; taken over */
    struct target_book *lists;         /* what the spec's sources list; NULL: nothing; taken over */
};
void control_change_free(struct control_change *change);

struct control_config {
    struct prober_id server_id, server_boot;
    uint64_t heartbeat_ns;
    uint64_t aggregation_interval_ns;
    uint16_t hint_port;
    struct directory_board *board;
    const struct ingest *ingest; /* NULL in tests: every region is shard 0's */
    struct store *store;         /* NULL in tests: nothing is kept */
    struct tasks *tasks;         /* NULL: there are none */
    struct revocations *revocations; /* NULL: nobody is revoked */
};

struct control_stats {
    atomic_uint_fast64_t refused[REGISTRY_REFUSAL_COUNT];
    atomic_uint_fast64_t hellos, syncs, plans_sent, hello_needed;
    atomic_uint_fast64_t plan_revision, plan_targets, plan_http_targets, plan_regions;
    atomic_uint_fast64_t plan_withheld, plan_shadowed; /* entries; targets */
    atomic_uint_fast64_t plan_refused;                 /* regions */
    atomic_uint_fast64_t agents_known, agents_alive, agents_trusted; /* the last: alive ones */
    atomic_uint_fast64_t excluded; /* agents without proof that had to leave */
    atomic_uint_fast64_t failures; /* for lack of memory, or a plan too large to send */
};

struct control;

/* Makes it, with the store's agents and a first plan and directory. Takes over what `change` owns.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error control_create(struct control **out, const struct control_config *config,
                                 struct control_change *change,
                                 const struct clock_reading *now);
/* Takes new settings and a new probe file, and takes over what `change` owns. */
void control_apply(struct control *c, struct control_change *change,
                   const struct clock_reading *now);

/* Takes what the spec's sources list now: the book is taken over. */
void control_set_lists(struct control *c, struct target_book *lists,
                       const struct clock_reading *now);

struct control_call {
    const struct wire_request *request; /* a hello or a sync */
    struct prober_addr peer;
    struct session *session;  /* of the connection; NULL before hello */
    bool trusted;             /* the caller's certificate says that it is who it says */
    struct session *made;     /* out: the new session of a hello, with a reference, or NULL */
    bool may_wait;            /* in: PROBER_ERR_EXISTS may be answered */
};

/* Appends the encoded reply to *body.
 * Errors: PROBER_ERR_EXISTS, only with may_wait: the agent's id is in use; its former connection
 * may be about to end, so ask again shortly. PROBER_ERR_NOMEM: no reply. */
enum prober_error control_answer(struct control *c, struct control_call *call,
                                 const struct clock_reading *now, struct strbuf *body);
/* Does what is due at `now` (agents that were revoked since leave at once), and returns when
 * (monotonic) to call next. Sets *hint when agents have to be told that there is another plan. */
uint64_t control_step(struct control *c, const struct clock_reading *now, bool *hint);
/* The caller was kept from calling for ns, which end now (a stopped process, a starved machine): no
 * agent dies of that. */
void control_forgive(struct control *c, uint64_t ns);
const struct control_stats *control_stats(const struct control *c);
/* Writes them: the families of registry and plan. Any thread. */
void control_write_metrics(const struct control *c, struct metrics_writer *w);
void control_destroy(struct control *c);

#endif
