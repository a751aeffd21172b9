#include "serverd/rpc_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "serverd/reply.h"

#define HINT_PORT_OFFSET 2
#define PARALLEL 256
#define QUEUE_CAPACITY 1024
#define FAULT_LOG_NS (10 * CLOCK_NS_PER_S)
#define CONNECTIONS_SPARE 64
/* Of one address: an agent has one, and for a moment after a loss the one before. */
#define PEER_CONNECTIONS_PER_AGENT 2
#define PEER_CONNECTIONS_SPARE 16

/* ---- replies ---- */

static void send_status(struct rpc *rpc, struct link_call *call,
                        enum wire_status status, const char *message)
{
    const struct wire_reply reply = {
        .protocol = WIRE_PROTOCOL,
        .server_boot_id = rpc->server_boot,
        .status = status,
        .message = message,
    };

    reply_send(call, &reply);
}

static void note_fault(struct rpc *rpc, enum fault fault, const struct link_call *call,
                       const char *what, uint64_t now_ns)
{
    char peer[PROBER_ADDR_TEXT_MAX];
    struct prober_addr address = link_call_peer(call);
    uint_fast64_t logged = atomic_load(&rpc->fault_logged_ns);

    atomic_fetch_add(&rpc->faults[fault], 1);
    if (fault == FAULT_NO_HELLO || (logged && now_ns < logged + FAULT_LOG_NS) ||
        !atomic_compare_exchange_strong(&rpc->fault_logged_ns, &logged, now_ns))
        return;
    log_warn("a peer sent what is no valid call", LOG_S("peer", prober_addr_format(&address, peer)),
             LOG_S("fault", rpc_fault_labels[fault]), LOG_S("why", what));
}

/* ---- workers ---- */

static struct peer *peer_of(struct rpc *rpc, struct link_call *call)
{
    struct peer *peer;

    pthread_mutex_lock(&rpc->peers_lock);
    peer = link_call_user(call);
    if (!peer) {
        struct prober_addr address = link_call_peer(call);
        struct guest *guest = guest_create(rpc->door, link_call_connection(call), &address);

        peer = guest ? peer_create(guest) : NULL;
        if (peer)
            link_call_set_user(call, peer);
        else
            guest_destroy(guest);
    }
    pthread_mutex_unlock(&rpc->peers_lock);
    return peer;
}

static void release_peer(void *context, void *user)
{
    (void)context;
    peer_destroy(user);
}

void rpc_task_free(struct task *t)
{
    wire_request_free(&t->request);
    free(t);
}

static void refuse_busy(struct rpc *rpc, struct link_call *call)
{
    atomic_fetch_add(&rpc->busy, 1);
    send_status(rpc, call, WIRE_BUSY, "the server is busy: call again later");
}

/* The destinations of calls take over `call` and `request`. */
static void to_control(struct rpc *rpc, struct link_call *call, struct peer *peer,
                       const struct door_entry *entry, struct wire_request *request,
                       uint64_t now_ns)
{
    struct task *t = calloc(1, sizeof(*t));

    (void)now_ns;
    if (!t) {
        wire_request_free(request);
        refuse_busy(rpc, call);
        return;
    }
    *t = (struct task){
        .call = call, .peer = peer, .request = *request, .trusted = entry->identity != NULL};
    if (queue_push(rpc->tasks, t) != PROBER_OK) {
        rpc_task_free(t);
        refuse_busy(rpc, call);
    }
}

static void to_ingest(struct rpc *rpc, struct link_call *call, struct peer *peer,
                      const struct door_entry *entry, struct wire_request *request,
                      uint64_t now_ns)
{
    struct session *session = peer_session(peer);

    (void)entry;
    if (session && atomic_load(&session->connected) &&
        prober_id_equal(&session->agent_id, &request->agent_id) &&
        prober_id_equal(&session->boot_id, &request->boot_id)) {
        atomic_store(&session->last_seen_ns, now_ns);
        ingest_submit(rpc->ingest, session, call, request, now_ns);
        return;
    }
    note_fault(rpc, FAULT_NO_HELLO, call, "", now_ns);
    send_status(rpc, call, WIRE_HELLO_NEEDED, "say hello first");
    session_put(session);
    wire_request_free(request);
}

static void to_enrolment(struct rpc *rpc, struct link_call *call, struct peer *peer,
                         const struct door_entry *entry, struct wire_request *request,
                         uint64_t now_ns)
{
    const struct enrolment_call asked = {.call = call,
                                         .request = *request,
                                         .identity = entry->identity,
                                         .peer = link_call_peer(call)};

    (void)peer;
    (void)now_ns;
    if (rpc->enrolment) {
        enrolment_submit(rpc->enrolment, &asked);
        return;
    }
    send_status(rpc, call, WIRE_REFUSED, "this server issues no certificates");
    wire_request_free(request);
}

/* A report of a task on its way. */
struct told {
    struct rpc *rpc;
    struct link_call *call;
};

static void answer_told(void *context, const struct wire_task_report_reply *outcome)
{
    struct told *told = context;
    const struct wire_reply reply = {
        .protocol = WIRE_PROTOCOL,
        .server_boot_id = told->rpc->server_boot,
        .status = WIRE_OK,
        .message = "",
        .call = WIRE_TASK_REPORT,
        .as.task_report = *outcome,
    };

    reply_send(told->call, &reply);
    free(told);
}

/* Who reports is known by the certificate: it need not say hello. Without tasks here, agents let go of
 * those they have. */
static void to_tasks(struct rpc *rpc, struct link_call *call, struct peer *peer,
                     const struct door_entry *entry, struct wire_request *request, uint64_t now_ns)
{
    const struct wire_task_report_reply unknown = {.outcome = WIRE_TASK_UNKNOWN};
    struct told *told = calloc(1, sizeof(*told));

    (void)peer;
    (void)now_ns;
    if (!told) {
        wire_request_free(request);
        refuse_busy(rpc, call);
        return;
    }
    *told = (struct told){rpc, call};
    if (rpc->orders) {
        tasks_report(rpc->orders, &entry->identity->agent_id, request, answer_told, told);
        return;
    }
    wire_request_free(request);
    answer_told(told, &unknown);
}

/* Whose calls a route takes. */
enum callers {
    FOR_AGENTS,  /* with a certificate, or plain */
    FOR_MEMBERS, /* with a certificate */
    FOR_JOINERS  /* on a secret link, without one */
};

static const struct route {
    enum wire_call call;
    enum callers callers;
    void (*take)(struct rpc *rpc, struct link_call *call, struct peer *peer,
                 const struct door_entry *entry, struct wire_request *request, uint64_t now_ns);
} routes[] = {
    {WIRE_HELLO, FOR_AGENTS, to_control},
    {WIRE_SYNC, FOR_AGENTS, to_control},
    {WIRE_REPORT, FOR_AGENTS, to_ingest},
    {WIRE_JOIN, FOR_JOINERS, to_enrolment},
    {WIRE_RENEW, FOR_MEMBERS, to_enrolment},
    {WIRE_TASK_REPORT, FOR_MEMBERS, to_tasks},
};

static const struct route *route_of(enum wire_call call)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].call == call)
            return &routes[i];
    return NULL;
}

static const enum fault door_faults[] = {
    [DOOR_FAULT_FRAME] = FAULT_FRAME,
    [DOOR_FAULT_VERSION] = FAULT_VERSION,
    [DOOR_FAULT_PLAIN] = FAULT_PLAIN,
    [DOOR_FAULT_HANDSHAKE] = FAULT_HANDSHAKE,
    [DOOR_FAULT_SESSION] = FAULT_SESSION,
    [DOOR_FAULT_CERTIFICATE] = FAULT_CERTIFICATE,
};

/* What is no call is answered as the door says, or ends the connection. */
static void turn_away(struct rpc *rpc, struct link_call *call, const struct door_entry *entry,
                      uint64_t now_ns)
{
    if (entry->err && entry->err != PROBER_ERR_NOMEM)
        note_fault(rpc, door_faults[entry->fault], call, entry->why.text, now_ns);
    if (entry->outcome == DOOR_ANSWER)
        link_call_reply(call, entry->answer.bytes, entry->answer.len);
    else
        link_call_drop(call);
}

/* Nobody speaks for another: on a trusted connection the certificate says who calls. Returns what is
 * wrong, or NULL. */
static const char *judge_caller(const struct route *route, const struct door_entry *entry,
                                const struct wire_request *request)
{
    const struct pki_identity *identity = entry->identity;
    bool is_joiner = entry->is_secret && !identity;

    if (is_joiner != (route->callers == FOR_JOINERS))
        return is_joiner ? "who has no certificate can join, and nothing else"
                         : "joining takes a connection of its own, without a certificate";
    if (route->callers == FOR_MEMBERS && !identity)
        return "this is for agents that have joined";
    if (identity && (!prober_id_equal(&identity->agent_id, &request->agent_id) ||
                     (request->call == WIRE_HELLO &&
                      strcmp(identity->region, request->as.hello.region) != 0)))
        return "the certificate is of another agent or region";
    return NULL;
}

static void take_call(struct rpc *rpc, struct link_call *call, struct peer *peer,
                      const struct door_entry *entry, uint64_t now_ns)
{
    struct wire_request request;
    struct prober_failure why = {PROBER_OK, ""};
    const struct route *route;
    const char *wrong;
    enum prober_error err = wire_request_decode(entry->body, entry->body_len, &request, &why);

    if (err == PROBER_ERR_NOMEM) {
        refuse_busy(rpc, call);
        return;
    }
    if (err) {
        note_fault(rpc, FAULT_MESSAGE, call, why.text, now_ns);
        send_status(rpc, call, WIRE_MALFORMED, why.text);
        return;
    }
    route = route_of(request.call);
    wrong = route ? judge_caller(route, entry, &request) : NULL;
    if (route && !wrong) {
        route->take(rpc, call, peer, entry, &request, now_ns);
        return;
    }
    if (wrong) {
        note_fault(rpc, FAULT_IDENTITY, call, wrong, now_ns);
        send_status(rpc, call, WIRE_REFUSED, wrong);
    } else {
        note_fault(rpc, FAULT_CALL, call, "a call that this server does not have", now_ns);
        send_status(rpc, call, WIRE_NOT_KNOWN, "this server does not have this call");
    }
    wire_request_free(&request);
}

static void handle_call(struct rpc *rpc, struct link_call *call, const struct clock_reading *now)
{
    size_t frame_len;
    const void *frame = link_call_bytes(call, &frame_len);
    struct peer *peer = peer_of(rpc, call);
    struct door_entry entry;

    if (!peer) {
        link_call_drop(call);
        return;
    }
    door_enter(peer_guest(peer), frame, frame_len, now, &entry);
    if (entry.outcome == DOOR_CALL)
        take_call(rpc, call, peer, &entry, now->mono_ns);
    else
        turn_away(rpc, call, &entry, now->mono_ns);
    strbuf_free(&entry.answer);
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    void *call;

    while (queue_pop(worker->queue, &call, 1, UINT64_MAX) == 1) {
        const struct clock_reading now = clock_read();

        handle_call(worker->rpc, call, &now);
    }
    return NULL;
}

/* On an nng thread: queue, no more. */
static void serve(void *context, struct link_call *call)
{
    struct rpc *rpc = context;
    size_t len;
    const void *frame = link_call_bytes(call, &len);

    if (queue_push(door_is_handshake(frame, len) ? rpc->greetings : rpc->calls, call) !=
        PROBER_OK) {
        atomic_fetch_add(&rpc->busy, 1);
        link_call_drop(call);
    }
}

/* ---- bounds ---- */

unsigned rpc_connections_max(const struct control_change *change)
{
    return 2 * (unsigned)change->registry.agents_max + CONNECTIONS_SPARE; /* plain and trusted */
}

/* One address must not take every connection there is. */
unsigned rpc_connections_per_peer(const struct control_change *change)
{
    return (unsigned)change->registry.agents_per_source * PEER_CONNECTIONS_PER_AGENT +
           PEER_CONNECTIONS_SPARE;
}

/* ---- life ---- */

static enum prober_error hint_address(const struct rpc_config *config, char *out, size_t room,
                                      struct prober_failure *why)
{
    char host[PROBER_HOST_MAX];
    uint16_t port;
    enum prober_error err;

    if (config->hint_listen[0]) {
        snprintf(out, room, "%s", config->hint_listen);
        return PROBER_OK;
    }
    err = prober_hostport_split(config->listen, 0, host, &port, why);
    if (err)
        return err;
    if (port > UINT16_MAX - HINT_PORT_OFFSET)
        return prober_fail(why, PROBER_ERR_RANGE,
                           "there is no port %d for hints: give -server.hint.listen.addr",
                           port + HINT_PORT_OFFSET);
    snprintf(out, room, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
             port ? port + HINT_PORT_OFFSET : 0);
    return PROBER_OK;
}

static enum prober_error open_publisher(struct rpc *rpc, const struct rpc_config *config,
                                        unsigned max, struct prober_failure *why)
{
    char address[PROBER_HOST_MAX + 16];
    struct prober_failure cause = {PROBER_OK, ""};
    enum prober_error err = hint_address(config, address, sizeof(address), why);

    if (err)
        return err;
    err = link_publisher_open(&rpc->publisher, address, max, &cause);
    if (err && !config->hint_listen[0])
        return prober_fail(why, err,
                           "cannot listen for hints on %s, the port + %d of -server.rpc.listen.addr "
                           "(-server.hint.listen.addr gives another): %.200s",
                           address, HINT_PORT_OFFSET, cause.text);
    if (err)
        return prober_fail(why, err, "cannot listen for -server.hint.listen.addr %s: %.300s",
                           address, cause.text);
    return PROBER_OK;
}

static enum prober_error open_server(struct rpc *rpc, const struct rpc_config *config, unsigned max,
                                     unsigned per_peer, struct prober_failure *why)
{
    const struct link_server_config server = {
        .listen = config->listen,
        .parallel = PARALLEL,
        .connections_max = max,
        .connections_per_peer = per_peer,
        .serve = serve,
        .release = release_peer,
        .context = rpc,
    };
    struct prober_failure cause = {PROBER_OK, ""};
    enum prober_error err = link_server_open(&rpc->server, &server, &cause);

    if (err)
        return prober_fail(why, err, "cannot listen for -server.rpc.listen.addr %s: %.300s",
                           config->listen, cause.text);
    return PROBER_OK;
}

static enum prober_error start_threads(struct rpc *rpc)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = cores < 1 ? 1 : cores > RPC_WORKERS_MAX ? RPC_WORKERS_MAX : (unsigned)cores;

    if (pthread_create(&rpc->control_thread, NULL, rpc_control_main, rpc))
        return PROBER_ERR_NOMEM;
    rpc->control_started = true;
    for (unsigned i = 0; i < RPC_GREETERS + wanted; i++) {
        struct worker *worker = &rpc->workers[i];

        worker->rpc = rpc;
        worker->queue = i < RPC_GREETERS ? rpc->greetings : rpc->calls;
        if (pthread_create(&worker->thread, NULL, worker_main, worker))
            return PROBER_ERR_NOMEM;
        rpc->worker_count++;
    }
    return PROBER_OK;
}

enum prober_error rpc_open(struct rpc **out, const struct rpc_config *config,
                           struct control_change *change, struct prober_failure *why)
{
    enum prober_error err = prober_fail(why, PROBER_ERR_NOMEM, "no memory to serve agents");
    struct clock_reading now = clock_read();
    struct control_config control = config->control;
    struct door_config door = {
        .tls = config->tls,
        .plain = change->registry.accept_plain,
        .is_revoked = config->control.revocations ? revocations_has : NULL,
        .context = config->control.revocations,
    };
    unsigned max = rpc_connections_max(change), per_peer = rpc_connections_per_peer(change);
    struct rpc *rpc = calloc(1, sizeof(*rpc));

    if (!rpc || queue_create(&rpc->calls, QUEUE_CAPACITY) ||
        queue_create(&rpc->greetings, HANDSHAKES_MAX) ||
        queue_create(&rpc->tasks, QUEUE_CAPACITY) || handshakes_create(&rpc->handshakes))
        goto out;
    pthread_mutex_init(&rpc->peers_lock, NULL);
    door.handshakes = rpc->handshakes;
    if (door_create(&rpc->door, &door))
        goto out;
    rpc->ingest = config->ingest;
    rpc->enrolment = config->enrolment;
    rpc->orders = config->control.tasks;
    rpc->server_boot = control.server_boot;
    atomic_init(&rpc->progress_ns, now.mono_ns);
    err = open_publisher(rpc, config, max, why);
    if (err)
        goto out;
    control.hint_port = link_publisher_port(rpc->publisher);
    err = control_create(&rpc->control, &control, change, &now);
    if (!err)
        err = start_threads(rpc);
    if (!err)
        err = open_server(rpc, config, max, per_peer, why);
    if (err)
        goto out;
    *out = rpc;
    rpc = NULL;
out:
    control_change_free(change);
    rpc_close(rpc);
    return err;
}

uint16_t rpc_port(const struct rpc *rpc)
{
    return link_server_port(rpc->server);
}

enum prober_error rpc_apply(struct rpc *rpc, struct control_change *change)
{
    struct apply apply = {.change = change};
    struct task *t = calloc(1, sizeof(*t));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!t)
        return err;
    t->apply = &apply;
    pthread_mutex_init(&apply.lock, NULL);
    pthread_cond_init(&apply.done_cond, NULL);
    err = queue_push(rpc->tasks, t);
    if (err) {
        free(t);
        goto out;
    }
    pthread_mutex_lock(&apply.lock);
    while (!apply.done)
        pthread_cond_wait(&apply.done_cond, &apply.lock);
    pthread_mutex_unlock(&apply.lock);
out:
    pthread_cond_destroy(&apply.done_cond);
    pthread_mutex_destroy(&apply.lock);
    return err;
}

enum prober_error rpc_set_lists(struct rpc *rpc, struct target_book *lists)
{
    struct task *t = calloc(1, sizeof(*t));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!t)
        return err;
    t->lists = lists;
    err = queue_push(rpc->tasks, t);
    if (err)
        free(t);
    return err;
}

void rpc_hint_tasks(struct rpc *rpc)
{
    atomic_fetch_add(&rpc->hints, 1);
    link_publisher_send(rpc->publisher, "task", 4);
}

void rpc_wake(struct rpc *rpc)
{
    struct task *t = calloc(1, sizeof(*t));

    if (t && queue_push(rpc->tasks, t))
        free(t);
}

void rpc_set_tls(struct rpc *rpc, struct channel_server *tls)
{
    door_set_tls(rpc->door, tls);
}

uint64_t rpc_progress_ns(const struct rpc *rpc)
{
    return atomic_load(&rpc->progress_ns);
}

void rpc_stop(struct rpc *rpc)
{
    if (!rpc)
        return;
    link_server_stop(rpc->server);
    queue_close(rpc->calls);
    queue_close(rpc->greetings);
    for (unsigned i = 0; i < rpc->worker_count; i++)
        pthread_join(rpc->workers[i].thread, NULL);
    rpc->worker_count = 0;
    atomic_store(&rpc->stopping, true);
    queue_close(rpc->tasks);
    if (rpc->control_started)
        pthread_join(rpc->control_thread, NULL);
    rpc->control_started = false;
}

void rpc_close(struct rpc *rpc)
{
    if (!rpc)
        return;
    if (rpc->calls && rpc->greetings && rpc->tasks)
        rpc_stop(rpc);
    link_server_close(rpc->server);
    link_publisher_close(rpc->publisher);
    control_destroy(rpc->control);
    door_destroy(rpc->door);
    handshakes_destroy(rpc->handshakes);
    queue_destroy(rpc->calls);
    queue_destroy(rpc->greetings);
    queue_destroy(rpc->tasks);
    free(rpc);
}
