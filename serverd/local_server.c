#include "serverd/local_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "serverd/local_request.h"
#include "serverd/local_socket.h"

#define PAUSE_NS (100 * CLOCK_NS_PER_MS)  /* after a client that could not be taken */
#define LINE_ROOM (LOCAL_REQUEST_MAX + 1) /* with its end */

/* A client writes its line, and then takes its answer. */
struct client {
    int sock; /* -1: no client */
    uid_t uid;
    uint64_t deadline_ns; /* of the present half */
    char line[LINE_ROOM];
    size_t len;
    struct strbuf answer; /* empty while the line is read */
    size_t sent;
};

struct local_server {
    struct local_server_config config;
    int dir_fd, sock, wake_fd;
    struct sockaddr_un address;
    bool bound; /* the file is ours */
    pthread_t thread;
    bool started;
    uint64_t accept_ns;                       /* no client is taken before; the thread's */
    struct client clients[LOCAL_CLIENTS_MAX]; /* the thread's */
};

/* ---- clients, on the thread ---- */

static void drop(struct client *c)
{
    close(c->sock);
    c->sock = -1;
    strbuf_free(&c->answer);
}

static void begin_answer(struct local_server *s, struct client *c, uint64_t now_ns)
{
    strbuf_putc(&c->answer, '\n');
    c->sent = 0;
    c->deadline_ns = now_ns + s->config.timeout_ns;
    if (!strbuf_ok(&c->answer))
        drop(c);
}

/* Reading at all tells of the end of who hangs up. */
static void read_line(struct local_server *s, struct client *c, uint64_t now_ns)
{
    ssize_t n = recv(c->sock, c->line + c->len, LINE_ROOM - c->len, 0);
    const char *line_end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    line_end = memchr(c->line + c->len, '\n', (size_t)n);
    c->len += (size_t)n;
    if (line_end) {
        s->config.handle(s->config.context, c->uid, c->line, (size_t)(line_end - c->line),
                         &c->answer);
        begin_answer(s, c, now_ns);
    } else if (c->len == LINE_ROOM) {
        strbuf_puts(&c->answer, "{\"error\":\"the request is too long\"}");
        begin_answer(s, c, now_ns);
    }
}

static void write_answer(struct client *c)
{
    ssize_t n = send(c->sock, c->answer.bytes + c->sent, c->answer.len - c->sent, MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->sent += (size_t)n;
    if (n <= 0 || c->sent == c->answer.len)
        drop(c);
}

/* True for those whom the file's mode lets in: asked again of the kernel, as a mode can be changed. */
static bool is_welcome(int sock, uid_t *uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return false;
    *uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void take_client(struct local_server *s, struct client *c, uint64_t now_ns)
{
    int sock = accept4(s->sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (sock < 0) {
        s->accept_ns = now_ns + PAUSE_NS; /* no descriptor is free: it stays readable */
        return;
    }
    *c = (struct client){.sock = sock, .deadline_ns = now_ns + s->config.timeout_ns};
    if (!is_welcome(sock, &c->uid)) {
        strbuf_puts(&c->answer, "{\"error\":\"this is for root and the server's own user alone\"}");
        begin_answer(s, c, now_ns);
    }
}

static struct client *free_place(struct local_server *s)
{
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        if (s->clients[i].sock < 0)
            return &s->clients[i];
    return NULL;
}

/* Until the first deadline, or until clients are taken again. */
static int poll_ms(const struct local_server *s, uint64_t now_ns)
{
    uint64_t first_ns = s->accept_ns > now_ns ? s->accept_ns : UINT64_MAX;

    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        if (s->clients[i].sock >= 0 && s->clients[i].deadline_ns < first_ns)
            first_ns = s->clients[i].deadline_ns;
    if (first_ns == UINT64_MAX)
        return -1;
    return first_ns <= now_ns ? 0 : (int)((first_ns - now_ns) / CLOCK_NS_PER_MS) + 1;
}

static void turn(struct local_server *s, const struct pollfd *polled, uint64_t now_ns)
{
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];

        if (c->sock < 0)
            continue;
        if (now_ns >= c->deadline_ns)
            drop(c);
        else if (polled[i].revents && c->answer.len)
            write_answer(c);
        else if (polled[i].revents)
            read_line(s, c, now_ns);
    }
}

static void *run(void *context)
{
    struct local_server *s = context;
    enum { LISTENING = LOCAL_CLIENTS_MAX, WAKING, COUNT };
    struct pollfd polled[COUNT];

    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        struct client *place = now_ns >= s->accept_ns ? free_place(s) : NULL;

        for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
            polled[i] = (struct pollfd){.fd = s->clients[i].sock,
                                        .events = s->clients[i].answer.len ? POLLOUT : POLLIN};
        polled[LISTENING] = (struct pollfd){.fd = place ? s->sock : -1, .events = POLLIN};
        polled[WAKING] = (struct pollfd){.fd = s->wake_fd, .events = POLLIN};
        poll(polled, COUNT, poll_ms(s, now_ns));
        if (polled[WAKING].revents)
            return NULL;
        turn(s, polled, clock_monotonic_ns());
        if (polled[LISTENING].revents && place->sock < 0)
            take_client(s, place, clock_monotonic_ns());
    }
}

/* ---- listening ---- */

static enum prober_error fail(const struct local_server *s, struct prober_failure *why,
                              const char *doing)
{
    return prober_fail(why, errno == EACCES ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                       "cannot %s %.300s/" LOCAL_SOCKET_FILE ": %s", doing, s->config.dir,
                       strerror(errno));
}

/* Removes the socket of a server that is gone. */
static enum prober_error clear_way(const struct local_server *s, struct prober_failure *why)
{
    struct stat about;
    int sock, rc;

    if (lstat(s->address.sun_path, &about))
        return errno == ENOENT ? PROBER_OK : fail(s, why, "look at");
    if (!S_ISSOCK(about.st_mode))
        return prober_fail(why, PROBER_ERR_IO,
                           "%.300s/" LOCAL_SOCKET_FILE " is no socket: move it away",
                           s->config.dir);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return fail(s, why, "look at");
    rc = connect(sock, (const struct sockaddr *)&s->address, sizeof(s->address));
    if (rc && errno == ECONNREFUSED) {
        close(sock);
        return unlink(s->address.sun_path) ? fail(s, why, "replace") : PROBER_OK;
    }
    close(sock);
    return prober_fail(why, PROBER_ERR_IN_USE,
                       "another server listens at %.300s/" LOCAL_SOCKET_FILE, s->config.dir);
}

/* Nobody can connect before listen(), so the mode is set in time. */
static enum prober_error start_listening(struct local_server *s, struct prober_failure *why)
{
    enum prober_error err;

    s->dir_fd = local_socket_address(s->config.dir, &s->address);
    if (s->dir_fd < 0)
        return fail(s, why, "listen at");
    err = clear_way(s, why);
    if (err)
        return err;
    s->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->sock < 0 || bind(s->sock, (const struct sockaddr *)&s->address, sizeof(s->address)))
        return fail(s, why, "listen at");
    s->bound = true;
    if (chmod(s->address.sun_path, 0600) || listen(s->sock, LOCAL_CLIENTS_MAX))
        return fail(s, why, "listen at");
    return PROBER_OK;
}

enum prober_error local_server_open(struct local_server **out,
                                    const struct local_server_config *config,
                                    struct prober_failure *why)
{
    struct local_server *s = calloc(1, sizeof(*s));
    enum prober_error err;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for local commands");
    s->config = *config;
    s->dir_fd = s->sock = s->wake_fd = -1;
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        s->clients[i].sock = -1;
    err = start_listening(s, why);
    if (err)
        goto out;
    s->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (s->wake_fd < 0 || pthread_create(&s->thread, NULL, run, s)) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for local commands");
        goto out;
    }
    s->started = true;
    *out = s;
    s = NULL;
out:
    local_server_close(s);
    return err;
}

void local_server_close(struct local_server *server)
{
    const uint64_t one = 1;

    if (!server)
        return;
    if (server->started && write(server->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(server->thread, NULL);
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        if (server->clients[i].sock >= 0)
            drop(&server->clients[i]);
    if (server->bound)
        unlink(server->address.sun_path);
    if (server->sock >= 0)
        close(server->sock);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    if (server->dir_fd >= 0)
        close(server->dir_fd);
    free(server);
}
