/*
 * forwarder - the network between the lab's hosts, in user space.
 *
 * Purpose    Reads IP packets from a TUN device in each host's namespace, and writes them, later or
 *            never, to another's: see path.h for what can happen to them. Told what to do by line
 *            commands on a Unix socket: see control.h. It needs no netem and no other kernel module
 *            than tun.
 * Threads    One: a loop that sleeps until a packet comes or is due, to the nanosecond that
 *            epoll_pwait2(2) takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "test/lab/control.h"
#include "test/lab/delay_queue.h"
#include "test/lab/network.h"
#include "test/lab/tun.h"

#define CLIENTS_MAX 16
#define PACKETS_UNDER_WAY_MAX 400000
#define READS_A_TURN 64
#define EVENTS_MAX 64

struct client {
    int fd; /* -1: free */
    char line[CONTROL_LINE_MAX];
    size_t line_len;
    struct strbuf answer;
    size_t answered;
};

/* What an epoll event is about: a kind and a number in data.u64. */
enum { EVENT_SIGNAL, EVENT_LISTENER, EVENT_CLIENT, EVENT_DEVICE };

struct forwarder {
    int epoll, signals, listener;
    bool stopping;
    const char *socket_path;
    struct network *network;
    struct delay_queue *queue;
    struct control control;
    struct client clients[CLIENTS_MAX];
    int devices[NETWORK_HOSTS_MAX]; /* by host; -1: none */
    uint8_t buffer[PACKET_MAX];
};

static bool watch(struct forwarder *f, int fd, uint32_t events, uint32_t kind, uint32_t number)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | number};

    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
           (errno == EEXIST && epoll_ctl(f->epoll, EPOLL_CTL_MOD, fd, &event) == 0);
}

/* ---- packets ---- */

static void write_packet(struct forwarder *f, uint32_t to, struct path *p, enum packet_class class,
                         const uint8_t *data, size_t len)
{
    bool written = f->devices[to] >= 0 && write(f->devices[to], data, len) == (ssize_t)len;

    if (!p)
        return;
    if (written)
        p->counters[class].delivered++;
    else
        p->counters[class].failed++;
}

static void on_deliver(void *context, uint32_t to, struct path *p, enum packet_class class,
                       uint64_t due_ns, const uint8_t *data, size_t len)
{
    struct forwarder *f = context;
    struct delayed_packet like = {.due_ns = due_ns, .to = to, .path = p, .class = (uint8_t) class};

    if (delay_queue_push(f->queue, &like, data, len) && p)
        p->counters[class].overflowed++;
}

static void deliver_due(struct forwarder *f)
{
    struct delayed_packet *packet;

    while ((packet = delay_queue_pop(f->queue, clock_monotonic_ns()))) {
        write_packet(f, packet->to, packet->path, packet->class, packet->data, packet->len);
        free(packet);
    }
}

static void read_device(struct forwarder *f, uint32_t host)
{
    for (int i = 0; i < READS_A_TURN && f->devices[host] >= 0; i++) {
        ssize_t len = read(f->devices[host], f->buffer, sizeof(f->buffer));

        if (len <= 0)
            break;
        network_forward(f->network, host, f->buffer, (size_t)len, clock_monotonic_ns());
    }
    deliver_due(f);
}

static void close_device(void *context, uint32_t host)
{
    struct forwarder *f = context;

    if (f->devices[host] >= 0)
        close(f->devices[host]);
    f->devices[host] = -1;
}

static enum prober_error open_device(void *context, uint32_t host, const char *netns,
                                     const char *device, struct prober_failure *why)
{
    struct forwarder *f = context;
    enum prober_error err = tun_open(netns, device, &f->devices[host], why);

    if (err)
        return err;
    if (watch(f, f->devices[host], EPOLLIN, EVENT_DEVICE, host))
        return PROBER_OK;
    close_device(f, host);
    return prober_fail(why, PROBER_ERR_IO, "cannot watch %s: %s", device, strerror(errno));
}

/* ---- clients ---- */

static void drop_client(struct client *c)
{
    close(c->fd);
    strbuf_free(&c->answer);
    *c = (struct client){.fd = -1};
}

static void accept_client(struct forwarder *f)
{
    int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        if (f->clients[i].fd >= 0)
            continue;
        f->clients[i].fd = fd;
        if (!watch(f, fd, EPOLLIN, EVENT_CLIENT, i))
            drop_client(&f->clients[i]);
        return;
    }
    close(fd);
}

/* Sends what the socket takes; false when the client is gone. */
static bool send_answer(struct forwarder *f, uint32_t number)
{
    struct client *c = &f->clients[number];
    bool done;

    while (c->answered < c->answer.len) {
        ssize_t sent =
            send(c->fd, c->answer.bytes + c->answered, c->answer.len - c->answered, MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            break;
        c->answered += (size_t)sent;
    }
    done = c->answered == c->answer.len;
    if (done) {
        strbuf_clear(&c->answer);
        c->answered = 0;
    }
    return watch(f, c->fd, done ? EPOLLIN : EPOLLOUT, EVENT_CLIENT, number);
}

static bool read_commands(struct forwarder *f, struct client *c)
{
    ssize_t len = recv(c->fd, c->line + c->line_len, sizeof(c->line) - c->line_len, 0);
    char *start = c->line, *end;

    if (len < 0)
        return errno == EAGAIN;
    if (len == 0)
        return false;
    c->line_len += (size_t)len;
    while ((end = memchr(start, '\n', c->line_len))) {
        *end = 0;
        control_execute(&f->control, start, &c->answer);
        c->line_len -= (size_t)(end + 1 - start);
        start = end + 1;
    }
    memmove(c->line, start, c->line_len);
    return c->line_len < sizeof(c->line);
}

static void serve_client(struct forwarder *f, uint32_t number, uint32_t events)
{
    struct client *c = &f->clients[number];

    if (c->fd < 0)
        return;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !read_commands(f, c)) {
        drop_client(c);
        return;
    }
    if (!send_answer(f, number))
        drop_client(c);
}

/* ---- life ---- */

static bool listen_at(struct forwarder *f, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(addr.sun_path, path);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return false;
    f->socket_path = path;
    return listen(f->listener, CLIENTS_MAX) == 0 &&
           watch(f, f->listener, EPOLLIN, EVENT_LISTENER, 0);
}

static bool start(struct forwarder *f, const char *path, uint64_t seed)
{
    struct network_sink sink = {.deliver = on_deliver, .context = f};
    sigset_t mask;

    for (size_t i = 0; i < ARRAY_LEN(f->devices); i++)
        f->devices[i] = -1;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        f->clients[i].fd = -1;
    if (network_create(&f->network, seed, &sink) ||
        delay_queue_create(&f->queue, PACKETS_UNDER_WAY_MAX))
        return false;
    f->control = (struct control){f->network, open_device, close_device, f};
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    /* Punctual delays are the point: no slack, and ahead of the daemons where we may. */
    prctl(PR_SET_TIMERSLACK, 1UL);
    setpriority(PRIO_PROCESS, 0, -20);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    return f->epoll >= 0 && f->signals >= 0 && watch(f, f->signals, EPOLLIN, EVENT_SIGNAL, 0) &&
           listen_at(f, path);
}

static void handle(struct forwarder *f, const struct epoll_event *event)
{
    uint32_t number = (uint32_t)event->data.u64;

    switch (event->data.u64 >> 32) {
    case EVENT_DEVICE:
        read_device(f, number);
        break;
    case EVENT_CLIENT:
        serve_client(f, number, event->events);
        break;
    case EVENT_LISTENER:
        accept_client(f);
        break;
    default:
        f->stopping = true;
    }
}

static void run(struct forwarder *f)
{
    struct epoll_event events[EVENTS_MAX];

    while (!f->stopping) {
        uint64_t next = delay_queue_next(f->queue), now = clock_monotonic_ns();
        uint64_t wait = next > now ? next - now : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait / CLOCK_NS_PER_S),
                                   .tv_nsec = (long)(wait % CLOCK_NS_PER_S)};
        int count =
            epoll_pwait2(f->epoll, events, EVENTS_MAX, next == UINT64_MAX ? NULL : &timeout, NULL);

        deliver_due(f);
        for (int i = 0; i < count; i++)
            handle(f, &events[i]);
    }
}

static void stop(struct forwarder *f)
{
    if (f->socket_path)
        unlink(f->socket_path);
    delay_queue_destroy(f->queue);
    network_destroy(f->network);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (f->clients[i].fd >= 0)
            drop_client(&f->clients[i]);
}

int main(int argc, char **argv)
{
    static struct forwarder f;
    char *end = NULL;
    uint64_t seed = argc == 3 ? strtoull(argv[2], &end, 10) : 1;

    if (argc < 2 || argc > 3 || (end && *end)) {
        fprintf(stderr, "usage: forwarder SOCKET [SEED]\n");
        return 2;
    }
    if (!start(&f, argv[1], seed)) {
        fprintf(stderr, "forwarder: cannot start at %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    run(&f);
    stop(&f);
    return 0;
}
