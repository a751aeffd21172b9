#include "serverd/rpc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/link.h"
#include "common/log.h"
#include "common/queue.h"
#include "serverd/peer.h"
#include "serverd/reply.h"

#define HINT_PORT_OFFSET 2
#define PARALLEL 256
#define QUEUE_CAPACITY 1024
#define BATCH_MAX 64
#define WORKERS_MAX 4
#define GREETERS 1 /* workers that do nothing but shake hands */
#define DEFERRED_MAX 64
#define DEFER_NS CLOCK_NS_PER_S
#define DEFER_RETRY_NS (50 * CLOCK_NS_PER_MS)
/* Longer than any turn of the control thread takes on a machine that works. */
#define STALL_NS (2 * CLOCK_NS_PER_S)
#define FAULT_LOG_NS (10 * CLOCK_NS_PER_S)
#define CONNECTIONS_SPARE 64
/* Of one address: an agent has one, and for a moment after a loss the one before. */
#define PEER_CONNECTIONS_PER_AGENT 2
#define PEER_CONNECTIONS_SPARE 16

/* What a peer can get wrong: X(name, label value of the metric). */
#define FAULTS(X)                                                                                  \
    X(FRAME, "frame")         /* cut short, wrong magic, length or checksum */                     \
    X(VERSION, "version")     /* a frame of a later version */                                     \
    X(MESSAGE, "message")     /* a good frame around what is no request, or breaks a bound */      \
    X(CALL, "call")           /* a call that this server does not have */                          \
    X(NO_HELLO, "no_hello")   /* a call before hello; ordinary after a restart of the server */
#define FAULT_NAME(name, label) FAULT_##name,
enum fault { FAULTS(FAULT_NAME) FAULT_COUNT };
#undef FAULT_NAME
#define FAULT_LABEL(name, label) [FAULT_##name] = (label),
static const char *const fault_labels[FAULT_COUNT] = {FAULTS(FAULT_LABEL)};
#undef FAULT_LABEL

/* What the control thread is asked. */
struct task {
    struct link_call *call; /* NULL: `apply` or `lists`, or just to wake */
    struct peer *peer;      /* the call's */
    struct wire_request request;
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
    struct control *control;   /* the control thread's, but its statistics */
    struct prober_id server_boot;
    struct handshakes *handshakes;
    struct door *door;
    struct queue *calls;       /* struct link_call, from nng to the workers */
    struct queue *greetings;   /* the same of handshakes, which take long: for greeters alone */
    struct queue *tasks;       /* struct task, to the control thread */
    pthread_mutex_t peers_lock; /* a connection gets one peer, whoever comes first */
    struct worker workers[GREETERS + WORKERS_MAX];
    unsigned worker_count; /* started */
    pthread_t control_thread;
    bool control_started;
    atomic_bool stopping;
    struct task *deferred[DEFERRED_MAX]; /* the control thread's */
    size_t deferred_count;
    atomic_uint_fast64_t faults[FAULT_COUNT], busy, hints, progress_ns, step_max_ns;
    uint64_t turn_ns; /* the last reading of the clock; owned by the control thread */
    atomic_uint_fast64_t fault_logged_ns;
};

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
             LOG_S("fault", fault_labels[fault]), LOG_S("why", what));
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

static void task_free(struct task *t)
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
                       struct wire_request *request, uint64_t now_ns)
{
    struct task *t = calloc(1, sizeof(*t));

    (void)now_ns;
    if (!t) {
        wire_request_free(request);
        refuse_busy(rpc, call);
        return;
    }
    *t = (struct task){.call = call, .peer = peer, .request = *request};
    if (queue_push(rpc->tasks, t) != PROBER_OK) {
        task_free(t);
        refuse_busy(rpc, call);
    }
}

static void to_ingest(struct rpc *rpc, struct link_call *call, struct peer *peer,
                      struct wire_request *request, uint64_t now_ns)
{
    struct session *session = peer_session(peer);

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

static const struct route {
    enum wire_call call;
    void (*take)(struct rpc *rpc, struct link_call *call, struct peer *peer,
                 struct wire_request *request, uint64_t now_ns);
} routes[] = {
    {WIRE_HELLO, to_control},
    {WIRE_SYNC, to_control},
    {WIRE_REPORT, to_ingest},
};

/* What is no call is answered as the door says, or ends the connection. */
static void turn_away(struct rpc *rpc, struct link_call *call, const struct door_entry *entry,
                      uint64_t now_ns)
{
    if (entry->err && entry->err != PROBER_ERR_NOMEM)
        note_fault(rpc, entry->err == PROBER_ERR_VERSION ? FAULT_VERSION : FAULT_FRAME, call,
                   entry->why.text, now_ns);
    if (entry->outcome == DOOR_ANSWER)
        link_call_reply(call, entry->answer.bytes, entry->answer.len);
    else
        link_call_drop(call);
}

/* Nobody speaks for another: on a trusted connection the certificate says who calls. */
static bool is_own(const struct door_entry *entry, const struct wire_request *request)
{
    const struct pki_identity *identity = entry->identity;

    if (!entry->is_secret)
        return true;
    return identity && prober_id_equal(&identity->agent_id, &request->agent_id) &&
           (request->call != WIRE_HELLO ||
            strcmp(identity->region, request->as.hello.region) == 0);
}

static void take_call(struct rpc *rpc, struct link_call *call, struct peer *peer,
                      const struct door_entry *entry, uint64_t now_ns)
{
    struct wire_request request;
    struct prober_failure why = {PROBER_OK, ""};
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
    if (!is_own(entry, &request)) {
        note_fault(rpc, FAULT_MESSAGE, call, "a call in another's name", now_ns);
        send_status(rpc, call, WIRE_REFUSED, "the certificate is of another agent or region");
        wire_request_free(&request);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].call == request.call) {
            routes[i].take(rpc, call, peer, &request, now_ns);
            return;
        }
    note_fault(rpc, FAULT_CALL, call, "a call that this server does not have", now_ns);
    send_status(rpc, call, WIRE_NOT_KNOWN, "this server does not have this call");
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

static unsigned connections_max(const struct control_change *change)
{
    return (unsigned)change->registry.agents_max + CONNECTIONS_SPARE;
}

/* One address must not take every connection there is. */
static unsigned connections_per_peer(const struct control_change *change)
{
    return (unsigned)change->registry.agents_per_source * PEER_CONNECTIONS_PER_AGENT +
           PEER_CONNECTIONS_SPARE;
}

/* ---- the control thread ---- */

/* The connection's session if it is the one that the request names, with a reference. */
static struct session *session_of(const struct task *t)
{
    struct session *session = peer_session(t->peer);

    if (session && prober_id_equal(&session->agent_id, &t->request.agent_id) &&
        prober_id_equal(&session->boot_id, &t->request.boot_id))
        return session;
    session_put(session);
    return NULL;
}

/* Answers, and frees the task; or keeps it for later. */
static void answer(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    struct strbuf body = STRBUF_INIT;
    struct control_call call = {
        .request = &t->request,
        .peer = link_call_peer(t->call),
        .session = session_of(t),
        .may_wait = t->give_up_ns ? now->mono_ns < t->give_up_ns
                                  : rpc->deferred_count < DEFERRED_MAX,
    };
    enum prober_error err = control_answer(rpc->control, &call, now, &body);

    session_put(call.session);
    if (err == PROBER_ERR_EXISTS) {
        if (!t->give_up_ns)
            t->give_up_ns = now->mono_ns + DEFER_NS;
        rpc->deferred[rpc->deferred_count++] = t;
        return;
    }
    /* The session hangs on the connection before the agent can hear of it. */
    if (call.made)
        peer_set_session(t->peer, call.made);
    if (err)
        link_call_drop(t->call);
    else
        reply_send_body(t->call, &body);
    strbuf_free(&body);
    task_free(t);
}

static void retry_deferred(struct rpc *rpc, const struct clock_reading *now)
{
    struct task *waiting[DEFERRED_MAX];
    size_t count = rpc->deferred_count;

    memcpy(waiting, rpc->deferred, count * sizeof(waiting[0]));
    rpc->deferred_count = 0;
    for (size_t i = 0; i < count; i++)
        answer(rpc, waiting[i], now);
}

static void drop_deferred(struct rpc *rpc)
{
    for (size_t i = 0; i < rpc->deferred_count; i++) {
        link_call_drop(rpc->deferred[i]->call);
        task_free(rpc->deferred[i]);
    }
    rpc->deferred_count = 0;
}

/* Reads the clock. When so much more than wait_ns passed since the last reading, the whole process
 * stood still: that is seen before anybody is judged by the new time. */
static struct clock_reading read_clock(struct rpc *rpc, uint64_t wait_ns)
{
    struct clock_reading now = clock_read();
    uint64_t took_ns = now.mono_ns - rpc->turn_ns;

    rpc->turn_ns = now.mono_ns;
    if (took_ns > wait_ns && took_ns - wait_ns >= STALL_NS) {
        control_forgive(rpc->control, took_ns - wait_ns);
        log_warn("the server stood still and heard nobody; that counts against no agent",
                 LOG_D("for", took_ns - wait_ns));
    }
    return now;
}

static uint64_t step(struct rpc *rpc)
{
    struct clock_reading now = read_clock(rpc, 0);
    bool hint;
    uint64_t due_ns = control_step(rpc->control, &now, &hint), ended_ns;

    if (hint) {
        atomic_fetch_add(&rpc->hints, 1);
        link_publisher_send(rpc->publisher, "plan", 4);
    }
    ended_ns = clock_monotonic_ns();
    atomic_store(&rpc->progress_ns, ended_ns);
    if (ended_ns - now.mono_ns > atomic_load(&rpc->step_max_ns))
        atomic_store(&rpc->step_max_ns, ended_ns - now.mono_ns);
    if (rpc->deferred_count && due_ns > ended_ns + DEFER_RETRY_NS)
        due_ns = ended_ns + DEFER_RETRY_NS;
    return due_ns > ended_ns ? due_ns - ended_ns : 0;
}

/* What is asked for is planned and published before its asker hears of it. */
static void apply_change(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    struct apply *apply = t->apply;

    link_server_bound(rpc->server, connections_max(apply->change),
                      connections_per_peer(apply->change));
    link_publisher_bound(rpc->publisher, connections_max(apply->change));
    control_apply(rpc->control, apply->change, now);
    step(rpc);
    pthread_mutex_lock(&apply->lock);
    apply->done = true;
    pthread_cond_signal(&apply->done_cond);
    pthread_mutex_unlock(&apply->lock);
    free(t);
}

static void set_lists(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    control_set_lists(rpc->control, t->lists, now);
    free(t);
}

static void *control_main(void *context)
{
    struct rpc *rpc = context;
    void *tasks[BATCH_MAX];
    bool stopped = false;

    rpc->turn_ns = clock_monotonic_ns();
    while (!stopped) {
        uint64_t wait_ns = step(rpc);
        size_t count = queue_pop(rpc->tasks, tasks, BATCH_MAX, wait_ns);
        struct clock_reading now = read_clock(rpc, wait_ns);

        stopped = count == 0 && atomic_load(&rpc->stopping);
        retry_deferred(rpc, &now);
        for (size_t i = 0; i < count; i++) {
            struct task *t = tasks[i];

            if (t->apply)
                apply_change(rpc, t, &now);
            else if (t->lists)
                set_lists(rpc, t, &now);
            else if (t->call)
                answer(rpc, t, &now);
            else
                free(t);
        }
    }
    drop_deferred(rpc);
    return NULL;
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
    unsigned wanted = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;

    if (pthread_create(&rpc->control_thread, NULL, control_main, rpc))
        return PROBER_ERR_NOMEM;
    rpc->control_started = true;
    for (unsigned i = 0; i < GREETERS + wanted; i++) {
        struct worker *worker = &rpc->workers[i];

        worker->rpc = rpc;
        worker->queue = i < GREETERS ? rpc->greetings : rpc->calls;
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
    struct door_config door = {.tls = config->tls, .plain = true};
    unsigned max = connections_max(change), per_peer = connections_per_peer(change);
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

void rpc_wake(struct rpc *rpc)
{
    struct task *t = calloc(1, sizeof(*t));

    if (t && queue_push(rpc->tasks, t))
        free(t);
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

/* ---- metrics ---- */

static void write_link(const struct rpc *rpc, struct metrics_writer *w)
{
    static const struct metric_family connections = {
        "prober_server_link_connections_total", METRIC_COUNTER, NULL,
        "Connections of agents: accepted, refused over the limit, dropped for misbehaviour."};
    static const struct metric_family faults = {
        "prober_server_link_faults_total", METRIC_COUNTER, NULL,
        "Calls that were not what they should be, by what was wrong with them."};
    static const struct metric_family longest = {
        "prober_server_control_step_max_seconds", METRIC_GAUGE, "seconds",
        "The longest turn of the control thread so far: registry, plan and directory."};
    static const char *const results[] = {"accepted", "refused", "dropped"};
    struct link_server_counts counts;
    uint64_t numbers[FAULT_COUNT];

    link_server_counts(rpc->server, &counts);
    metrics_one(w, "prober_server_link_connections", METRIC_GAUGE, "Connections of agents, open now.",
              counts.connections);
    metrics_by(w, &connections, "result", results,
             (const uint64_t[]){counts.accepted_total, counts.refused_total, counts.dropped_total},
             ARRAY_LEN(results));
    metrics_one(w, "prober_server_link_requests_total", METRIC_COUNTER, "Requests of agents.",
              counts.requests_total);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        numbers[i] = atomic_load(&rpc->faults[i]);
    metrics_by(w, &faults, "reason", fault_labels, numbers, FAULT_COUNT);
    metrics_one(w, "prober_server_link_busy_total", METRIC_COUNTER,
              "Calls refused because a queue of the link was full.", atomic_load(&rpc->busy));
    metrics_one(w, "prober_server_link_queue_depth", METRIC_GAUGE,
              "Calls that wait for a worker or for the control thread.",
              queue_depth(rpc->calls) + queue_depth(rpc->tasks));
    metrics_one(w, "prober_server_hints_total", METRIC_COUNTER,
              "Hints to agents that the plan has changed.", atomic_load(&rpc->hints));
    metrics_family(w, &longest);
    metrics_sample_ns(w, NULL, 0, atomic_load(&rpc->step_max_ns));
}

void rpc_write_metrics(const struct rpc *rpc, struct metrics_writer *w)
{
    write_link(rpc, w);
    control_write_metrics(rpc->control, w);
}
