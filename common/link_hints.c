#include <stdlib.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include "common/link_nng.h"

struct link_publisher {
    nng_socket sock;
    uint16_t port;
    struct connection_table connections;
};

enum prober_error link_publisher_open(struct link_publisher **out, const char *listen,
                                      unsigned connections_max, struct prober_failure *why)
{
    struct link_publisher *p = calloc(1, sizeof(*p));
    enum prober_error err;
    int rc;

    if (!p)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    p->sock = (nng_socket)NNG_SOCKET_INITIALIZER;
    link_connections_init(&p->connections, connections_max, NULL, NULL);
    rc = nng_pub0_open(&p->sock);
    if (!rc)
        rc = link_bound_socket(p->sock, LINK_HINT_MAX);
    if (!rc)
        rc = link_connections_watch(p->sock, &p->connections);
    err = rc ? prober_fail(why, link_error(rc), "cannot open the hints: %s", nng_strerror(rc))
             : link_listen(p->sock, listen, &p->port, why);
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

void link_publisher_bound(struct link_publisher *publisher, unsigned connections_max)
{
    link_connections_bound(&publisher->connections, connections_max, 0);
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
    link_connections_clear(&publisher->connections);
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
        rc = link_bound_socket(s->sock, LINK_HINT_MAX);
    if (!rc)
        rc = nng_socket_set(s->sock, NNG_OPT_SUB_SUBSCRIBE, "", 0);
    err = rc ? prober_fail(why, link_error(rc), "cannot open the hints: %s", nng_strerror(rc))
             : link_dial(s->sock, address, why);
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
