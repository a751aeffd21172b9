#include <stdlib.h>
#include <string.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/link_nng.h"

#define CALL_TIMEOUT_MAX_NS UINT64_C(3600000000000)

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

static nng_duration timeout_ms(uint64_t ns)
{
    return (nng_duration)((ns + 999999) / 1000000);
}

/* A pipe may end before nng says that it is in use: then it was announced, but is no more. */
static void on_client_event(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct link_client *c = arg;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    bool lost = false;

    pthread_mutex_lock(&c->lock);
    if (event == NNG_PIPE_EV_ADD_PRE) {
        c->announced = id;
        c->local = link_pipe_addr(pipe, NNG_OPT_LOCADDR);
    } else if (event == NNG_PIPE_EV_ADD_POST && c->announced == id) {
        c->pipe = id;
        c->connections++;
        pthread_cond_broadcast(&c->changed);
    } else if (event == NNG_PIPE_EV_REM_POST && c->announced == id) {
        lost = c->pipe == id;
        c->announced = 0;
        c->pipe = 0;
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
    link_init_monotonic(&c->changed);
    rc = nng_aio_alloc(&c->aio, NULL, NULL);
    if (!rc)
        rc = nng_req0_open(&c->sock);
    if (!rc)
        rc = link_bound_socket(c->sock, LINK_MESSAGE_MAX);
    if (!rc)
        rc = nng_socket_set_ms(c->sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (!rc)
        rc = nng_ctx_open(&c->ctx, c->sock);
    if (!rc)
        rc = watch_client(c);
    err = rc ? prober_fail(why, link_error(rc), "cannot open the link: %s", nng_strerror(rc))
             : link_dial(c->sock, address, why);
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
    struct timespec until = link_timespec(until_ns);
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

/* Ends the connection, and forgets it at once: nng says that it ended only later, and the next call
 * must not be sent over it. */
static void abandon_connection(struct link_client *c, uint32_t pipe)
{
    pthread_mutex_lock(&c->lock);
    if (c->pipe == pipe)
        c->pipe = 0;
    pthread_mutex_unlock(&c->lock);
    link_cut((nng_pipe){pipe});
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
    err = link_error(nng_aio_result(c->aio));
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
    abandon_connection(client, pipe);
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

void link_client_disconnect(struct link_client *client)
{
    uint32_t pipe;

    pthread_mutex_lock(&client->lock);
    pipe = client->pipe;
    pthread_mutex_unlock(&client->lock);
    if (pipe)
        abandon_connection(client, pipe);
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
