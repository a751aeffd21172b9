/*
 * rpc - the server's end of the link: takes calls in and sees that each is answered.
 *
 * Purpose    nng's threads queue calls; workers open and decode them; hello and sync go to the
 *            control thread, reports to the ingest shards. A frame that cannot be opened ends the
 *            connection; what is malformed inside a good frame is told to the peer. Both are
 *            counted. When agents have another plan, a hint wakes them.
 * Threads    Its own: workers, and the control thread, which alone owns the control logic.
 * Ownership  Owns both sockets and the control logic. Borrows ingest, enrolment, board and store.
 */
#ifndef SERVERD_RPC_H
#define SERVERD_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/channel_tls.h"
#include "common/error.h"
#include "common/metrics.h"
#include "serverd/control.h"
#include "serverd/enrolment.h"
#include "serverd/ingest.h"

struct rpc;

struct rpc_config {
    const char *listen;
    const char *hint_listen; /* "": the host of `listen` and its port + 2 */
    struct channel_server *tls; /* for trusted connections, borrowed; NULL: there are none */
    struct ingest *ingest;
    struct enrolment *enrolment; /* NULL: nobody joins here, nor renews */
    struct control_config control; /* hint_port is set here */
};

/* Opens both sockets and starts to serve; takes over what `change` owns.
 * Errors: PROBER_ERR_IN_USE, _SYNTAX, _DENIED, _IO, _NOMEM with a sentence in *why. */
enum prober_error rpc_open(struct rpc **out, const struct rpc_config *config,
                           struct control_change *change, struct prober_failure *why);
uint16_t rpc_port(const struct rpc *rpc);
/* Has the control thread take new settings (and takes over what `change` owns); returns when the
 * new plan is published. Any thread. Errors: PROBER_ERR_CLOSED, _NOMEM, _FULL: nothing changed. */
enum prober_error rpc_apply(struct rpc *rpc, struct control_change *change);
/* Has the control thread take what the probe file's sources list now, and takes over the book. Any
 * thread, never waits. Errors: PROBER_ERR_CLOSED, _NOMEM, _FULL: the book is still the caller's. */
enum prober_error rpc_set_lists(struct rpc *rpc, struct target_book *lists);
/* Tells agents that there are tasks for them, or tasks to be cancelled. Any thread, never waits. */
void rpc_hint_tasks(struct rpc *rpc);
/* Has the control thread look at once at what others may have changed: revocations. Any thread, never
 * waits; if it cannot be told, it looks within a second. */
void rpc_wake(struct rpc *rpc);
/* Has later handshakes use this configuration (of a renewed certificate); the former is not used any
 * more when it returns. Any thread. */
void rpc_set_tls(struct rpc *rpc, struct channel_server *tls);
/* Monotonic time of the control thread's last turn, for the watchdog. */
uint64_t rpc_progress_ns(const struct rpc *rpc);
/* Writes the families of link, registry and plan. Any thread. */
void rpc_write_metrics(const struct rpc *rpc, struct metrics_writer *w);
/* Stops taking calls; what was taken is answered. Then reports may still wait in ingest and in the
 * tasks, and who joins in enrolment: destroy the one and stop the others before rpc_close, which waits for
 * every call to be answered. */
void rpc_stop(struct rpc *rpc);
/* NULL is fine. */
void rpc_close(struct rpc *rpc);

#endif
