/*
 * rpc_state - what the parts of rpc share: rpc.c (workers, life), rpc_control.c (the control thread)
 * and rpc_metrics.c.
 *
 * Purpose    Only these include it.
 * Threads    Said of each member.
 */
#ifndef SERVERD_RPC_STATE_H
#define SERVERD_RPC_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/link.h"
#include "common/queue.h"
#include "serverd/door.h"
#include "serverd/peer.h"
#include "serverd/rpc.h"

#define RPC_WORKERS_MAX 4
#define RPC_GREETERS 1 /* workers that do nothing but shake hands */
#define RPC_DEFERRED_MAX 64

/* What a peer can get wrong: X(name, label value of the metric). */
#define FAULTS(X)                                                                                  \
    X(FRAME, "frame")         /* cut short, wrong magic, length or checksum */                     \
    X(VERSION, "version")     /* a frame of a later version */                                     \
    X(PLAIN, "plain")         /* a plain call where none are taken */                              \
    X(HANDSHAKE, "handshake") /* a handshake that failed, or one too many */                       \
    X(SESSION, "session")     /* a sealed call without a session that opens it */                  \
    X(CERTIFICATE, "certificate") /* expired or revoked since the handshake */                     \
    X(IDENTITY, "identity")   /* a call in another's name, or of one who has yet to join */        \
    X(MESSAGE, "message")     /* a good frame around what is no request, or breaks a bound */      \
    X(CALL, "call")           /* a call that this server does not have */                          \
    X(NO_HELLO, "no_hello")   /* a call before hello; ordinary after a restart of the server */
#define FAULT_NAME(name, label) FAULT_##name,
enum fault { FAULTS(FAULT_NAME) FAULT_COUNT };
#undef FAULT_NAME

extern const char *const rpc_fault_labels[FAULT_COUNT];

/* What the control thread is asked. */
struct task {
    struct link_call *call; /* NULL: `apply` or `lists`, or just to wake */
    struct peer *peer;      /* the call's */
    struct wire_request request;
    bool trusted;           /* the caller's certificate says who it is */
    uint64_t give_up_ns;    /* when deferred */
    struct apply *apply;
    struct target_book *lists; /* a reference */
};

/* A change on its way to the control thread; on the stack of who waits for it. */
struct apply {
    struct control_change *change;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done; /* guarded by lock */
};

struct worker {
    struct rpc *rpc;
    struct queue *queue; /* whose calls it takes */
    pthread_t thread;
};

struct rpc {
    struct link_server *server;
    struct link_publisher *publisher;
    struct ingest *ingest;
    struct enrolment *enrolment;
    struct tasks *orders;      /* to whom reports of tasks go; NULL: there are none */
    struct control *control;   /* the control thread's, but its statistics */
    struct prober_id server_boot;
    struct handshakes *handshakes;
    struct door *door;
    struct queue *calls;       /* struct link_call, from nng to the workers */
    struct queue *greetings;   /* the same of handshakes, which take long: for greeters alone */
    struct queue *tasks;       /* struct task, to the control thread */
    pthread_mutex_t peers_lock; /* a connection gets one peer, whoever comes first */
    struct worker workers[RPC_GREETERS + RPC_WORKERS_MAX];
    unsigned worker_count; /* started */
    pthread_t control_thread;
    bool control_started;
    atomic_bool stopping;
    struct task *deferred[RPC_DEFERRED_MAX]; /* the control thread's */
    size_t deferred_count;
    atomic_uint_fast64_t faults[FAULT_COUNT], busy, hints, progress_ns, step_max_ns;
    uint64_t turn_ns; /* the last reading of the clock; owned by the control thread */
    atomic_uint_fast64_t fault_logged_ns;
};

/* Frees a task and what it owns, but for its call. */
void rpc_task_free(struct task *t);
/* How many connections there may be, in all and of one address. */
unsigned rpc_connections_max(const struct control_change *change);
unsigned rpc_connections_per_peer(const struct control_change *change);
/* The control thread; `context` is the struct rpc. */
void *rpc_control_main(void *context);

#endif
