#include "common/link_nng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/listen.h"

#define DEFAULT_CONNECTIONS_MAX 4096
#define RECONNECT_MIN_MS 250
#define RECONNECT_MAX_MS 10000
#define CUT_WAIT_MS 100
#define CUT_STEP_MS 5
#define PROTOCOL_HEADER_MAX 64 /* what req/rep puts before a message, generously */

/* ---- sockets ---- */

enum prober_error link_error(int rc)
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

struct prober_addr link_pipe_addr(nng_pipe pipe, const char *which)
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
void link_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct timespec link_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static void make_url(char *out, size_t room, const char *host, uint16_t port)
{
    snprintf(out, room, strchr(host, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u", host, port);
}

/* Every socket is bounded: a peer's message above `max` ends its connection. Keep-alive finds hosts
 * that vanished without a word. */
int link_bound_socket(nng_socket sock, size_t max)
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
enum prober_error link_listen(nng_socket sock, const char *listen, uint16_t *port,
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
            return prober_fail(why, link_error(rc), "cannot listen on %s: %s", listen,
                               nng_strerror(rc));
        if (set.any && a->addr.family == PROBER_FAMILY_IPV6)
            break; /* nng's [::] takes IPv4 too */
    }
    return PROBER_OK;
}

/* Dials in the background, and again after each loss. */
enum prober_error link_dial(nng_socket sock, const char *address, struct prober_failure *why)
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
        return prober_fail(why, link_error(rc), "cannot dial %s: %s", address, nng_strerror(rc));
    return PROBER_OK;
}

/* ---- connections ---- */

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

/* The caller holds the lock. A table is walked only when somebody connects. */
static bool has_room_for(const struct connection_table *t, const struct prober_addr *peer)
{
    unsigned held = 0;

    if (t->closing || t->open >= t->max)
        return false;
    for (size_t i = 0; t->per_peer && i < CONNECTION_BUCKETS; i++)
        for (const struct connection *c = t->buckets[i]; c; c = c->next)
            held += prober_addr_equal(&c->peer, peer);
    return t->per_peer == 0 || held < t->per_peer;
}

static void admit_connection(struct connection_table *t, nng_pipe pipe)
{
    struct connection *c = calloc(1, sizeof(*c));
    bool admitted = false;

    if (c) {
        c->pipe = (uint32_t)nng_pipe_id(pipe);
        c->number = next_connection_number();
        c->peer = link_pipe_addr(pipe, NNG_OPT_REMADDR);
    }
    pthread_mutex_lock(&t->lock);
    if (c && has_room_for(t, &c->peer)) {
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
struct connection *link_connection_hold(struct connection_table *t, nng_pipe pipe)
{
    struct connection *c;
    bool excessive = false;

    pthread_mutex_lock(&t->lock);
    c = *find_connection(t, (uint32_t)nng_pipe_id(pipe));
    if (c && c->cut) {
        c = NULL;
    } else if (c && c->calls >= LINK_CALLS_PER_CONNECTION) {
        excessive = true;
        c->cut = true;
        t->dropped++;
        c = NULL;
    }
    if (c)
        c->calls++;
    pthread_mutex_unlock(&t->lock);
    if (excessive)
        link_cut(pipe);
    return c;
}

void link_connection_drop(struct connection_table *t, struct connection *c)
{
    bool first;

    pthread_mutex_lock(&t->lock);
    first = !c->cut;
    c->cut = true;
    t->dropped += first;
    pthread_mutex_unlock(&t->lock);
    if (first)
        link_cut((nng_pipe){c->pipe});
}

static bool has_connections(struct connection_table *t)
{
    bool has;

    pthread_mutex_lock(&t->lock);
    has = t->open > 0;
    pthread_mutex_unlock(&t->lock);
    return has;
}

void link_connections_cut(struct connection_table *t, uint16_t port)
{
    const struct timespec step = {.tv_nsec = CUT_STEP_MS * 1000000L};

    pthread_mutex_lock(&t->lock);
    t->closing = true;
    pthread_mutex_unlock(&t->lock);
    if (!has_connections(t))
        return;
    link_cut_port(port);
    /* A pipe that holds a call nobody takes any more does not notice, and is at rest too. */
    for (int i = 0; i < CUT_WAIT_MS / CUT_STEP_MS && has_connections(t); i++)
        nanosleep(&step, NULL);
}

void link_connection_release(struct connection_table *t, struct connection *c)
{
    bool gone;

    pthread_mutex_lock(&t->lock);
    c->calls--;
    gone = c->ended && c->calls == 0;
    pthread_mutex_unlock(&t->lock);
    if (gone)
        free_connection(t, c);
}

int link_connections_watch(nng_socket sock, struct connection_table *t)
{
    int rc = nng_pipe_notify(sock, NNG_PIPE_EV_ADD_PRE, on_connection_event, t);

    return rc ? rc : nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, on_connection_event, t);
}

/* After the socket was closed: nng ends each pipe before that returns, but for one that it was
 * about to announce. */
void link_connections_clear(struct connection_table *t)
{
    for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
        while (t->buckets[i])
            end_connection(t, t->buckets[i]->pipe);
}

void link_connections_bound(struct connection_table *t, unsigned max, unsigned per_peer)
{
    pthread_mutex_lock(&t->lock);
    t->max = max ? max : DEFAULT_CONNECTIONS_MAX;
    t->per_peer = per_peer;
    pthread_mutex_unlock(&t->lock);
}

void link_connections_init(struct connection_table *t, unsigned max, link_release_fn release,
                           void *context)
{
    pthread_mutex_init(&t->lock, NULL);
    link_connections_bound(t, max, 0);
    t->release = release;
    t->context = context;
}
