#include "common/link.h"

#include <stdlib.h>
#include <string.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "common/clock.h"
#include "common/link_nng.h"

#define DEFAULT_PARALLEL 64
#define REPLY_TIMEOUT_MS 10000
#define CLOSE_WAIT_NS UINT64_C(5000000000)

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
    call->connection = link_connection_hold(&call->server->connections, call->pipe);
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
    link_connection_release(&s->connections, c);
    receive_next(call);
    end_call(s);
}

static void disconnect(struct link_call *call)
{
    link_connection_drop(&call->server->connections, call->connection);
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
    return rc ? prober_fail(why, link_error(rc), "cannot open the link: %s", nng_strerror(rc))
              : PROBER_OK;
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
    link_init_monotonic(&s->idle);
    link_connections_init(&s->connections, config->connections_max, config->release,
                          config->context);
    link_connections_bound(&s->connections, config->connections_max, config->connections_per_peer);
    rc = nng_rep0_open(&s->sock);
    if (!rc)
        rc = link_bound_socket(s->sock, LINK_MESSAGE_MAX);
    if (!rc)
        rc = link_connections_watch(s->sock, &s->connections);
    err = rc ? prober_fail(why, link_error(rc), "cannot open the link: %s", nng_strerror(rc))
             : open_calls(s, config->parallel ? config->parallel : DEFAULT_PARALLEL, why);
    if (!err)
        err = link_listen(s->sock, config->listen, &s->port, why);
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

void link_server_bound(struct link_server *server, unsigned connections_max,
                       unsigned connections_per_peer)
{
    link_connections_bound(&server->connections, connections_max, connections_per_peer);
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
    struct timespec until = link_timespec(clock_monotonic_ns() + CLOSE_WAIT_NS);
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
    if (nng_socket_id(server->sock) > 0) {
        link_connections_cut(&server->connections, server->port);
        nng_close(server->sock);
    }
    if (!idle)
        return; /* whoever holds a call may still touch it: its memory must stay */
    for (unsigned i = 0; i < server->call_count; i++) {
        nng_aio_free(server->calls[i].receive);
        nng_aio_free(server->calls[i].send);
    }
    link_connections_clear(&server->connections);
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
        disconnect(call);
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
