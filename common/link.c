#include "common/link.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/listen.h"

#define DEFAULT_PARALLEL 64
#define DEFAULT_CONNECTIONS_MAX 4096
#define CONNECTION_BUCKETS 1024
#define REPLY_TIMEOUT_MS 10000
#define CLOSE_WAIT_NS UINT64_C(5000000000)
#define CALL_TIMEOUT_MAX_NS UINT64_C(3600000000000)
#define RECONNECT_MIN_MS 250
#define RECONNECT_MAX_MS 10000
#define PROTOCOL_HEADER_MAX 64 /* what req/rep puts before a message, generously */

/* ---- what servers and clients share ---- */

static enum prober_error error_of_nng(int rc)
{
    static const struct {
        int rc;
        enum prober_error err;
    } errors[] = {
        {NNG_ENOMEM, PROBER_ERR_NOMEM},
        {NNG_EADDRINUSE, PROBER_ERR_IN_USE},
        {NNG_EPERM, PROBER_ERR_DENIED},
        {NNG_EADDRINVAL, PROBER_ERR_NOT_FOUND},
        {NNG_ETIMEDOUT, PROBER_ERR_TIMEOUT},
        {NNG_ECANCELED, PROBER_ERR_CLOSED},
        {NNG_ECONNREFUSED, PROBER_ERR_UNREACHABLE},
    };

    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (errors[i].rc == rc)
            return errors[i].err;
    return rc ? PROBER_ERR_IO : PROBER_OK;
}

static struct prober_addr pipe_addr(nng_pipe pipe, const char *which)
{
    struct prober_addr addr = {.family = PROBER_FAMILY_NONE};
    nng_sockaddr sa;

    if (nng_pipe_get_addr(pipe, which, &sa))
        return addr;
    if (sa.s_family == NNG_AF_INET) {
        addr.family = PROBER_FAMILY_IPV4;
        memcpy(addr.bytes, &sa.s_in.sa_addr, 4);
    } else if (sa.s_family == NNG_AF_INET6) {
        addr.family = PROBER_FAMILY_IPV6;
        memcpy(addr.bytes, sa.s_in6.sa_addr, 16);
        addr.scope = sa.s_in6.sa_scope;
    }
    return prober_addr_unmap(&addr);
}

/* A condition whose waits end by the monotonic clock. */
static void init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static nng_duration timeout_ms(uint64_t ns)
{
    return (nng_duration)((ns + 999999) / 1000000);
}

static void make_url(char *out, size_t room, const char *host, uint16_t port)
{
    snprintf(out, room, strchr(host, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u", host, port);
}

/* Every socket is bounded: a peer's message above `max` ends its connection. Keep-alive finds hosts
 * that vanished without a word. */
static int bound_socket(nng_socket sock, size_t max)
{
    int rc = nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, max + PROTOCOL_HEADER_MAX);

    if (!rc)
        rc = nng_socket_set_bool(sock, NNG_OPT_TCP_NODELAY, true);
    if (!rc)
        rc = nng_socket_set_bool(sock, NNG_OPT_TCP_KEEPALIVE, true);
    return rc;
}

static int listen_on(nng_socket sock, const struct prober_addr *addr, uint16_t *port)
{
    char text[PROBER_ADDR_TEXT_MAX], url[PROBER_ADDR_TEXT_MAX + 16];
    nng_listener listener = NNG_LISTENER_INITIALIZER;
    int rc, bound = 0;

    make_url(url, sizeof(url), prober_addr_format(addr, text), *port);
    rc = nng_listener_create(&listener, sock, url);
    if (!rc)
        rc = nng_listener_start(listener, 0);
    if (!rc)
        rc = nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &bound);
    if (rc && nng_listener_id(listener) > 0)
        nng_listener_close(listener);
    if (!rc)
        *port = (uint16_t)bound;
    return rc;
}

/* Listens on every address of the set; *port gets the port that was bound. */
static enum prober_error listen_all(nng_socket sock, const char *listen, uint16_t *port,
                                    struct prober_failure *why)
{
    struct listen_set set;
    enum prober_error err = listen_set_parse(listen, &set, why);

    if (err)
        return err;
    *port = set.port;
    for (size_t i = 0; i < set.count; i++) {
        const struct listen_address *a = &set.addresses[i];
        uint16_t wanted = *port;
        int rc;

        err = listen_check(&a->addr, &wanted, why);
        if (a->optional && (err == PROBER_ERR_NOT_FOUND || (err == PROBER_ERR_IN_USE && !set.port)))
            continue;
        if (err)
            return err;
        rc = listen_on(sock, &a->addr, port);
        if (rc)
            return prober_fail(why, error_of_nng(rc), "cannot listen on %s: %s", listen,
                               nng_strerror(rc));
        if (set.any && a->addr.family == PROBER_FAMILY_IPV6)
            break; /* nng's [::] takes IPv4 too */
    }
    return PROBER_OK;
}

/* Dials in the background, and again after each loss. */
static enum prober_error dial(nng_socket sock, const char *address, struct prober_failure *why)
{
    char host[PROBER_HOST_MAX], url[PROBER_HOST_MAX + 16];
    uint16_t port;
    enum prober_error err = prober_hostport_split(address, 0, host, &port, why);
    int rc;

    if (err)
        return err;
    if (port == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': port 0 cannot be dialled", address);
    /* A name has one address for nng: the one that "localhost" listens on in any case. */
    if (*host == '\0' || strcmp(host, "localhost") == 0)
        snprintf(host, sizeof(host), "127.0.0.1");
    make_url(url, sizeof(url), host, port);
    rc = nng_socket_set_ms(sock, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    if (!rc)
        rc = nng_socket_set_ms(sock, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (!rc)
        rc = nng_dial(sock, url, NULL, NNG_FLAG_NONBLOCK);
    if (rc)
        return prober_fail(why, error_of_nng(rc), "cannot dial %s: %s", address, nng_strerror(rc));
    return PROBER_OK;
}

/* ---- connections: one per pipe of a listening socket ---- */

struct connection {
    struct connection *next; /* in its bucket */
    uint32_t pipe;           /* nng's id of it */
    uint64_t number;
    struct prober_addr peer;
    void *user;
    unsigned calls; /* open ones: each holds the connection */
    bool ended;     /* out of the table: it goes when no call is open */
};

struct connection_table {
    pthread_mutex_t lock;
    struct connection *buckets[CONNECTION_BUCKETS];
    unsigned max;
    uint64_t open, accepted, refused, dropped;
    link_release_fn release;
    void *context;
};

static uint64_t next_connection_number(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last;
    uint64_t number;

    pthread_mutex_lock(&lock);
    number = ++last;
    pthread_mutex_unlock(&lock);
    return number;
}

static struct connection **find_connection(struct connection_table *t, uint32_t pipe)
{
    struct connection **at = &t->buckets[pipe % CONNECTION_BUCKETS];

    while (*at && (*at)->pipe != pipe)
        at = &(*at)->next;
    return at;
}

static void free_connection(struct connection_table *t, struct connection *c)
{
    if (c->user && t->release)
        t->release(t->context, c->user);
    free(c);
}

static void admit_connection(struct connection_table *t, nng_pipe pipe)
{
    struct connection *c = calloc(1, sizeof(*c));
    bool admitted = false;

    if (c) {
        c->pipe = (uint32_t)nng_pipe_id(pipe);
        c->number = next_connection_number();
        c->peer = pipe_addr(pipe, NNG_OPT_REMADDR);
    }
    pthread_mutex_lock(&t->lock);
    if (c && t->open < t->max) {
        struct connection **at = find_connection(t, c->pipe);

        c->next = *at;
        *at = c;
        t->open++;
        t->accepted++;
        admitted = true;
    } else {
        t->refused++;
    }
    pthread_mutex_unlock(&t->lock);
    if (!admitted) {
        nng_pipe_close(pipe);
        free(c);
    }
}

static void end_connection(struct connection_table *t, uint32_t pipe)
{
    struct connection **at, *c;
    bool gone = false;

    pthread_mutex_lock(&t->lock);
    at = find_connection(t, pipe);
    c = *at;
    if (c) {
        *at = c->next;
        t->open--;
        c->ended = true;
        gone = c->calls == 0;
    }
    pthread_mutex_unlock(&t->lock);
    if (gone)
        free_connection(t, c);
}

/* nng calls this before a pipe is used, and after its end; nothing of nng's is locked then. */
static void on_connection_event(nng_pipe pipe, nng_pipe_ev event, void *table)
{
    if (event == NNG_PIPE_EV_ADD_PRE)
        admit_connection(table, pipe);
    else
        end_connection(table, (uint32_t)nng_pipe_id(pipe));
}

/* The pipe's connection, held by one more call; NULL when it has ended or has too many open. */
static struct connection *hold_connection(struct connection_table *t, nng_pipe pipe)
{
    struct connection *c;
    bool excessive = false;

    pthread_mutex_lock(&t->lock);
    c = *find_connection(t, (uint32_t)nng_pipe_id(pipe));
    if (c && c->calls >= LINK_CALLS_PER_CONNECTION) {
        excessive = true;
        t->dropped++;
        c = NULL;
    }
    if (c)
        c->calls++;
    pthread_mutex_unlock(&t->lock);
    if (excessive)
        nng_pipe_close(pipe);
    return c;
}

static void release_connection(struct connection_table *t, struct connection *c)
{
    bool gone;

    pthread_mutex_lock(&t->lock);
    c->calls--;
    gone = c->ended && c->calls == 0;
    pthread_mutex_unlock(&t->lock);
    if (gone)
        free_connection(t, c);
}

static int watch_connections(nng_socket sock, struct connection_table *t)
{
    int rc = nng_pipe_notify(sock, NNG_PIPE_EV_ADD_PRE, on_connection_event, t);

    return rc ? rc : nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, on_connection_event, t);
}

/* After the socket was closed: nng ends each pipe before that returns, but for one that it was
 * about to announce. */
static void clear_connections(struct connection_table *t)
{
    for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
        while (t->buckets[i])
            end_connection(t, t->buckets[i]->pipe);
}

/* ---- serving ---- */

/* One request at a time: received by its context, served, replied to, and the next one received. */
struct link_call {
    struct link_server *server;
    nng_ctx ctx;
    nng_aio *receive;
    nng_aio *send;
    nng_msg *request;              /* while it is open */
    struct connection *connection; /* held while it is open and until the reply is sent */
    nng_pipe pipe;
};

struct link_server {
    nng_socket sock;
    uint16_t port;
    link_serve_fn serve;
    void *context;
    struct connection_table connections;
    struct link_call *calls;
    unsigned call_count;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* no call is open */
    unsigned open_calls; /* guarded by lock */
    uint64_t requests;   /* guarded by lock */
};

static void begin_call(struct link_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->open_calls++;
    s->requests++;
    pthread_mutex_unlock(&s->lock);
}

/* The last thing that is done to a call: after it, the server may be freed. */
static void end_call(struct link_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->open_calls--;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static void receive_next(struct link_call *call)
{
    nng_ctx_recv(call->ctx, call->receive);
}

static void on_request(void *arg)
{
    struct link_call *call = arg;
    int rc = nng_aio_result(call->receive);
    nng_msg *request;

    if (rc == NNG_ECLOSED || rc == NNG_ECANCELED)
        return;
    if (rc) {
        receive_next(call);
        return;
    }
    request = nng_aio_get_msg(call->receive);
    call->pipe = nng_msg_get_pipe(request);
    call->connection = hold_connection(&call->server->connections, call->pipe);
    if (!call->connection) {
        nng_msg_free(request);
        receive_next(call);
        return;
    }
    call->request = request;
    begin_call(call->server);
    call->server->serve(call->server->context, call);
}

/* Lets go of what the call held and waits for the next request. */
static void finish_call(struct link_call *call)
{
    struct link_server *s = call->server;
    struct connection *c = call->connection;

    call->connection = NULL;
    release_connection(&s->connections, c);
    receive_next(call);
    end_call(s);
}

static void disconnect(struct link_call *call)
{
    pthread_mutex_lock(&call->server->connections.lock);
    call->server->connections.dropped++;
    pthread_mutex_unlock(&call->server->connections.lock);
    nng_pipe_close(call->pipe);
}

static void on_reply_sent(void *arg)
{
    struct link_call *call = arg;
    int rc = nng_aio_result(call->send);

    if (rc)
        nng_msg_free(nng_aio_get_msg(call->send));
    if (rc == NNG_ETIMEDOUT)
        disconnect(call);
    finish_call(call);
}

static int open_call(struct link_server *s, struct link_call *call)
{
    int rc;

    call->server = s;
    call->ctx = (nng_ctx)NNG_CTX_INITIALIZER;
    rc = nng_ctx_open(&call->ctx, s->sock);
    if (!rc)
        rc = nng_aio_alloc(&call->receive, on_request, call);
    if (!rc)
        rc = nng_aio_alloc(&call->send, on_reply_sent, call);
    if (!rc)
        nng_aio_set_timeout(call->send, REPLY_TIMEOUT_MS);
    return rc;
}

static enum prober_error open_calls(struct link_server *s, unsigned count,
                                    struct prober_failure *why)
{
    int rc = 0;

    s->calls = calloc(count, sizeof(*s->calls));
    if (!s->calls)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    for (; s->call_count < count && !rc; s->call_count++)
        rc = open_call(s, &s->calls[s->call_count]);
    return rc ? prober_fail(why, error_of_nng(rc), "cannot open the link: %s", nng_strerror(rc))
              : PROBER_OK;
}

static void init_connections(struct connection_table *t, unsigned max, link_release_fn release,
                             void *context)
{
    pthread_mutex_init(&t->lock, NULL);
    t->max = max ? max : DEFAULT_CONNECTIONS_MAX;
    t->release = release;
    t->context = context;
}

enum prober_error link_server_open(struct link_server **out,
                                   const struct link_server_config *config,
                                   struct prober_failure *why)
{
    struct link_server *s = calloc(1, sizeof(*s));
    enum prober_error err;
    int rc;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    s->sock = (nng_socket)NNG_SOCKET_INITIALIZER;
    s->serve = config->serve;
    s->context = config->context;
    pthread_mutex_init(&s->lock, NULL);
    init_monotonic(&s->idle);
    init_connections(&s->connections, config->connections_max, config->release, config->context);
    rc = nng_rep0_open(&s->sock);
    if (!rc)
        rc = bound_socket(s->sock, LINK_MESSAGE_MAX);
    if (!rc)
        rc = watch_connections(s->sock, &s->connections);
    err = rc ? prober_fail(why, error_of_nng(rc), "cannot open the link: %s", nng_strerror(rc))
             : open_calls(s, config->parallel ? config->parallel : DEFAULT_PARALLEL, why);
    if (!err)
        err = listen_all(s->sock, config->listen, &s->port, why);
    if (err)
        goto out;
    for (unsigned i = 0; i < s->call_count; i++)
        receive_next(&s->calls[i]);
    *out = s;
    s = NULL;
out:
    link_server_close(s);
    return err;
}

uint16_t link_server_port(const struct link_server *server)
{
    return server->port;
}

void link_server_counts(const struct link_server *server, struct link_server_counts *out)
{
    struct link_server *s = (struct link_server *)server; /* for its locks */

    pthread_mutex_lock(&s->connections.lock);
    out->connections = s->connections.open;
    out->accepted_total = s->connections.accepted;
    out->refused_total = s->connections.refused;
    out->dropped_total = s->connections.dropped;
    pthread_mutex_unlock(&s->connections.lock);
    pthread_mutex_lock(&s->lock);
    out->requests_total = s->requests;
    pthread_mutex_unlock(&s->lock);
}

void link_server_stop(struct link_server *server)
{
    for (unsigned i = 0; server && i < server->call_count; i++)
        nng_aio_stop(server->calls[i].receive);
}

/* False when calls are still open at the end of the wait. */
static bool wait_for_open_calls(struct link_server *s)
{
    struct timespec until = timespec_of(clock_monotonic_ns() + CLOSE_WAIT_NS);
    bool idle;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    while (s->open_calls > 0 && rc == 0)
        rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    idle = s->open_calls == 0;
    pthread_mutex_unlock(&s->lock);
    return idle;
}

void link_server_close(struct link_server *server)
{
    bool idle;

    if (!server)
        return;
    link_server_stop(server);
    idle = wait_for_open_calls(server);
    if (nng_socket_id(server->sock) > 0)
        nng_close(server->sock);
    if (!idle)
        return; /* whoever holds a call may still touch it: its memory must stay */
    for (unsigned i = 0; i < server->call_count; i++) {
        nng_aio_free(server->calls[i].receive);
        nng_aio_free(server->calls[i].send);
    }
    clear_connections(&server->connections);
    pthread_mutex_destroy(&server->connections.lock);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->idle);
    free(server->calls);
    free(server);
}

const void *link_call_bytes(const struct link_call *call, size_t *len)
{
    *len = nng_msg_len(call->request);
    return nng_msg_body(call->request);
}

struct prober_addr link_call_peer(const struct link_call *call)
{
    return call->connection->peer;
}

uint64_t link_call_connection(const struct link_call *call)
{
    return call->connection->number;
}

void *link_call_user(const struct link_call *call)
{
    struct connection_table *t = &call->server->connections;
    void *user;

    pthread_mutex_lock(&t->lock);
    user = call->connection->user;
    pthread_mutex_unlock(&t->lock);
    return user;
}

void link_call_set_user(struct link_call *call, void *user)
{
    struct connection_table *t = &call->server->connections;
    void *old;

    pthread_mutex_lock(&t->lock);
    old = call->connection->user;
    call->connection->user = user;
    pthread_mutex_unlock(&t->lock);
    if (old && old != user && t->release)
        t->release(t->context, old);
}

void link_call_reply(struct link_call *call, const void *bytes, size_t len)
{
    nng_msg *reply = NULL;

    nng_msg_free(call->request);
    call->request = NULL;
    /* Without a reply the peer times out and asks again: better than an answer cut short. */
    if (len > LINK_MESSAGE_MAX || nng_msg_alloc(&reply, 0) || nng_msg_append(reply, bytes, len)) {
        nng_msg_free(reply);
        nng_pipe_close(call->pipe);
        finish_call(call);
        return;
    }
    nng_aio_set_msg(call->send, reply);
    nng_ctx_send(call->ctx, call->send);
}

void link_call_drop(struct link_call *call)
{
    nng_msg_free(call->request);
    call->request = NULL;
    disconnect(call);
    finish_call(call);
}

/* ---- calling ---- */

struct link_client {
    nng_socket sock;
    nng_ctx ctx;
    nng_aio *aio;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* connected, or interrupted */
    uint32_t announced;     /* the pipe that nng is about to use; guarded by lock, as all below */
    uint32_t pipe;          /* of the present connection, 0 when there is none */
    struct prober_addr local;
    uint64_t connections;
    bool interrupted;
};

/* A pipe may end before nng says that it is in use: then it was announced, but is no more. */
static void on_client_event(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct link_client *c = arg;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    bool lost = false;

    pthread_mutex_lock(&c->lock);
    if (event == NNG_PIPE_EV_ADD_PRE) {
        c->announced = id;
        c->local = pipe_addr(pipe, NNG_OPT_LOCADDR);
    } else if (event == NNG_PIPE_EV_ADD_POST && c->announced == id) {
        c->pipe = id;
        c->connections++;
        pthread_cond_broadcast(&c->changed);
    } else if (event == NNG_PIPE_EV_REM_POST && c->announced == id) {
        c->announced = 0;
        c->pipe = 0;
        c->local = (struct prober_addr){.family = PROBER_FAMILY_NONE};
        lost = true;
    }
    pthread_mutex_unlock(&c->lock);
    /* nng would send the request again over the next connection, to a server that knows it not. */
    if (lost)
        nng_aio_cancel(c->aio);
}

static int watch_client(struct link_client *c)
{
    static const nng_pipe_ev events[] = {NNG_PIPE_EV_ADD_PRE, NNG_PIPE_EV_ADD_POST,
                                         NNG_PIPE_EV_REM_POST};
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(events) && !rc; i++)
        rc = nng_pipe_notify(c->sock, events[i], on_client_event, c);
    return rc;
}

enum prober_error link_client_open(struct link_client **out, const char *address,
                                   struct prober_failure *why)
{
    struct link_client *c = calloc(1, sizeof(*c));
    enum prober_error err;
    int rc;

    if (!c)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    c->sock = (nng_socket)NNG_SOCKET_INITIALIZER;
    pthread_mutex_init(&c->lock, NULL);
    init_monotonic(&c->changed);
    rc = nng_aio_alloc(&c->aio, NULL, NULL);
    if (!rc)
        rc = nng_req0_open(&c->sock);
    if (!rc)
        rc = bound_socket(c->sock, LINK_MESSAGE_MAX);
    if (!rc)
        rc = nng_socket_set_ms(c->sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (!rc)
        rc = nng_ctx_open(&c->ctx, c->sock);
    if (!rc)
        rc = watch_client(c);
    err = rc ? prober_fail(why, error_of_nng(rc), "cannot open the link: %s", nng_strerror(rc))
             : dial(c->sock, address, why);
    if (err)
        goto out;
    *out = c;
    c = NULL;
out:
    link_client_close(c);
    return err;
}

/* Waits for a connection and stores its pipe. */
static enum prober_error wait_for_connection(struct link_client *c, uint64_t until_ns,
                                             uint32_t *pipe)
{
    struct timespec until = timespec_of(until_ns);
    enum prober_error err;
    int rc = 0;

    pthread_mutex_lock(&c->lock);
    while (!c->interrupted && !c->pipe && rc == 0)
        rc = pthread_cond_timedwait(&c->changed, &c->lock, &until);
    *pipe = c->pipe;
    err = c->interrupted ? PROBER_ERR_CLOSED : c->pipe ? PROBER_OK : PROBER_ERR_UNREACHABLE;
    pthread_mutex_unlock(&c->lock);
    return err;
}

/* What has become of the call since it began over `pipe`. */
static enum prober_error check_connection(struct link_client *c, uint32_t pipe)
{
    enum prober_error err;

    pthread_mutex_lock(&c->lock);
    err = c->interrupted ? PROBER_ERR_CLOSED : c->pipe == pipe ? PROBER_OK : PROBER_ERR_UNREACHABLE;
    pthread_mutex_unlock(&c->lock);
    return err;
}

/* Runs one step, nng_ctx_send or nng_ctx_recv, to its end. Whoever interrupts sets a flag and then
 * cancels: a cancel that came too early for the step is made up for by looking at the flag after.
 */
static enum prober_error run_step(struct link_client *c, void (*step)(nng_ctx, nng_aio *),
                                  uint64_t until_ns, uint32_t pipe)
{
    uint64_t now_ns = clock_monotonic_ns();
    enum prober_error err;

    nng_aio_set_timeout(c->aio, until_ns > now_ns ? timeout_ms(until_ns - now_ns) : 1);
    step(c->ctx, c->aio);
    if (check_connection(c, pipe))
        nng_aio_cancel(c->aio);
    nng_aio_wait(c->aio);
    err = error_of_nng(nng_aio_result(c->aio));
    return err == PROBER_ERR_CLOSED || err == PROBER_ERR_IO ? PROBER_ERR_UNREACHABLE : err;
}

static enum prober_error send_request(struct link_client *c, const void *bytes, size_t len,
                                      uint64_t until_ns, uint32_t pipe)
{
    nng_msg *request = NULL;
    enum prober_error err;

    if (nng_msg_alloc(&request, 0) || nng_msg_append(request, bytes, len)) {
        nng_msg_free(request);
        return PROBER_ERR_NOMEM;
    }
    nng_aio_set_msg(c->aio, request);
    err = run_step(c, nng_ctx_send, until_ns, pipe);
    if (err) {
        nng_msg_free(nng_aio_get_msg(c->aio));
        nng_aio_set_msg(c->aio, NULL);
    }
    return err;
}

static enum prober_error take_reply(struct link_client *c, void **reply, size_t *reply_len)
{
    nng_msg *msg = nng_aio_get_msg(c->aio);
    size_t len = nng_msg_len(msg);
    void *copy = malloc(len ? len : 1);

    if (copy) {
        memcpy(copy, nng_msg_body(msg), len);
        *reply = copy;
        *reply_len = len;
    }
    nng_msg_free(msg);
    nng_aio_set_msg(c->aio, NULL);
    return copy ? PROBER_OK : PROBER_ERR_NOMEM;
}

enum prober_error link_client_call(struct link_client *client, const void *bytes, size_t len,
                                   uint64_t timeout_ns, void **reply, size_t *reply_len)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t until_ns =
        now_ns + (timeout_ns < CALL_TIMEOUT_MAX_NS ? timeout_ns : CALL_TIMEOUT_MAX_NS);
    enum prober_error err, changed;
    uint32_t pipe;

    if (len > LINK_MESSAGE_MAX)
        return PROBER_ERR_RANGE;
    err = wait_for_connection(client, until_ns, &pipe);
    if (err)
        return err;
    err = send_request(client, bytes, len, until_ns, pipe);
    if (!err)
        err = run_step(client, nng_ctx_recv, until_ns, pipe);
    if (!err)
        return take_reply(client, reply, reply_len);
    changed = check_connection(client, pipe);
    if (changed)
        return changed;
    /* The path may be dead without a sign of it; and a late reply must not meet the next call. */
    nng_pipe_close((nng_pipe){pipe});
    return err;
}

bool link_client_is_connected(const struct link_client *client)
{
    struct link_client *c = (struct link_client *)client; /* for its lock, here and below */
    bool connected;

    pthread_mutex_lock(&c->lock);
    connected = c->pipe != 0;
    pthread_mutex_unlock(&c->lock);
    return connected;
}

uint64_t link_client_connections(const struct link_client *client)
{
    struct link_client *c = (struct link_client *)client;
    uint64_t connections;

    pthread_mutex_lock(&c->lock);
    connections = c->connections;
    pthread_mutex_unlock(&c->lock);
    return connections;
}

struct prober_addr link_client_local_addr(const struct link_client *client)
{
    struct link_client *c = (struct link_client *)client;
    struct prober_addr local = {.family = PROBER_FAMILY_NONE};

    pthread_mutex_lock(&c->lock);
    if (c->pipe)
        local = c->local;
    pthread_mutex_unlock(&c->lock);
    return local;
}

void link_client_interrupt(struct link_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->interrupted = true;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    nng_aio_cancel(client->aio);
}

void link_client_close(struct link_client *client)
{
    if (!client)
        return;
    if (nng_socket_id(client->sock) > 0)
        nng_close(client->sock);
    nng_aio_free(client->aio);
    pthread_mutex_destroy(&client->lock);
    pthread_cond_destroy(&client->changed);
    free(client);
}

/* ---- hints ---- */

struct link_publisher {
    nng_socket sock;
    uint16_t port;
    struct connection_table connections;
};

enum prober_error link_publisher_open(struct link_publisher **out, const char *listen,
                                      struct prober_failure *why)
{
    struct link_publisher *p = calloc(1, sizeof(*p));
    enum prober_error err;
    int rc;

    if (!p)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    p->sock = (nng_socket)NNG_SOCKET_INITIALIZER;
    init_connections(&p->connections, 0, NULL, NULL);
    rc = nng_pub0_open(&p->sock);
    if (!rc)
        rc = bound_socket(p->sock, LINK_HINT_MAX);
    if (!rc)
        rc = watch_connections(p->sock, &p->connections);
    err = rc ? prober_fail(why, error_of_nng(rc), "cannot open the hints: %s", nng_strerror(rc))
             : listen_all(p->sock, listen, &p->port, why);
    if (err)
        goto out;
    *out = p;
    p = NULL;
out:
    link_publisher_close(p);
    return err;
}

uint16_t link_publisher_port(const struct link_publisher *publisher)
{
    return publisher->port;
}

void link_publisher_send(struct link_publisher *publisher, const void *bytes, size_t len)
{
    if (len <= LINK_HINT_MAX)
        nng_send(publisher->sock, (void *)bytes, len, NNG_FLAG_NONBLOCK);
}

void link_publisher_close(struct link_publisher *publisher)
{
    if (!publisher)
        return;
    if (nng_socket_id(publisher->sock) > 0)
        nng_close(publisher->sock);
    clear_connections(&publisher->connections);
    pthread_mutex_destroy(&publisher->connections.lock);
    free(publisher);
}

struct link_subscriber {
    nng_socket sock;
    nng_aio *aio;
    link_hint_fn hint;
    void *context;
};

static void on_hint(void *arg)
{
    struct link_subscriber *s = arg;
    int rc = nng_aio_result(s->aio);

    if (rc == NNG_ECLOSED || rc == NNG_ECANCELED)
        return;
    if (rc == 0) {
        nng_msg *msg = nng_aio_get_msg(s->aio);

        s->hint(s->context, nng_msg_body(msg), nng_msg_len(msg));
        nng_msg_free(msg);
    }
    nng_recv_aio(s->sock, s->aio);
}

enum prober_error link_subscriber_open(struct link_subscriber **out, const char *address,
                                       link_hint_fn hint, void *context, struct prober_failure *why)
{
    struct link_subscriber *s = calloc(1, sizeof(*s));
    enum prober_error err;
    int rc;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    s->sock = (nng_socket)NNG_SOCKET_INITIALIZER;
    s->hint = hint;
    s->context = context;
    rc = nng_aio_alloc(&s->aio, on_hint, s);
    if (!rc)
        rc = nng_sub0_open(&s->sock);
    if (!rc)
        rc = bound_socket(s->sock, LINK_HINT_MAX);
    if (!rc)
        rc = nng_socket_set(s->sock, NNG_OPT_SUB_SUBSCRIBE, "", 0);
    err = rc ? prober_fail(why, error_of_nng(rc), "cannot open the hints: %s", nng_strerror(rc))
             : dial(s->sock, address, why);
    if (err)
        goto out;
    nng_recv_aio(s->sock, s->aio);
    *out = s;
    s = NULL;
out:
    link_subscriber_close(s);
    return err;
}

void link_subscriber_close(struct link_subscriber *subscriber)
{
    if (!subscriber)
        return;
    if (subscriber->aio)
        nng_aio_stop(subscriber->aio);
    if (nng_socket_id(subscriber->sock) > 0)
        nng_close(subscriber->sock);
    nng_aio_free(subscriber->aio);
    free(subscriber);
}
