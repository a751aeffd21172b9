#include "http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define REQUEST_MAX 8192

struct connection {
    char request[REQUEST_MAX];
    size_t len;
    bool silent;
};

struct http_server {
    const struct http_route *routes;
    struct pollfd fds[2 + CONNECTIONS_MAX]; /* stop, listener, connections */
    struct connection connections[CONNECTIONS_MAX];
    nfds_t fd_count;
    int stop;
    char url[64];
    char last[REQUEST_MAX];
    pthread_mutex_t lock; /* of last */
    atomic_uint requests;
    pthread_t thread;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static const struct http_route *find(const struct http_server *s, const char *request)
{
    static const struct http_route missing = {
        .path = "", .status = 404, .body = "<html><body>not found</body></html>"};
    static const struct http_route refused = {.path = "", .status = 401, .body = "<html>no</html>"};
    const struct http_route *r;
    char start[512];

    for (r = s->routes; r->path; r++) {
        snprintf(start, sizeof(start), "%s %s HTTP/", r->method, r->path);
        if (strncmp(request, start, strlen(start)) == 0)
            break;
    }
    if (!r->path)
        return &missing;
    return !r->needs || strstr(request, r->needs) ? r : &refused;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    ssize_t n = 0;

    for (; len > 0 && n >= 0; bytes += n, len -= (size_t)n)
        n = send(fd, bytes, len, MSG_NOSIGNAL);
    return n >= 0;
}

static void answer(int fd, const struct http_route *r)
{
    const char *body = r->body ? r->body : "";
    size_t len = strlen(body), repeat = r->repeat ? r->repeat : 1;
    char head[1024];
    bool ok;

    snprintf(head, sizeof(head), "HTTP/1.1 %d Fake\r\nContent-Length: %zu\r\n%s\r\n",
             r->status ? r->status : 200, len * repeat, r->headers ? r->headers : "");
    ok = r->behaviour != HTTP_ANSWERS || send_all(fd, head, strlen(head));
    while (ok && repeat-- > 0)
        ok = send_all(fd, body, len);
}

static bool is_whole(const struct connection *c)
{
    const char *end = strstr(c->request, "\r\n\r\n"),
               *length = strstr(c->request, "Content-Length:");
    size_t body = length ? strtoul(length + 15, NULL, 10) : 0;

    if (strstr(c->request, "Transfer-Encoding: chunked"))
        return strstr(c->request, "\r\n0\r\n\r\n") != NULL;
    return end && c->request + c->len >= end + 4 + body;
}

/* Takes what came in; false when the connection is done with. */
static bool serve(struct http_server *s, int fd, struct connection *c)
{
    ssize_t n = recv(fd, c->request + c->len, sizeof(c->request) - 1 - c->len, 0);
    const struct http_route *r;

    if (n <= 0)
        return false;
    c->len += (size_t)n;
    c->request[c->len] = 0;
    if (c->silent || !is_whole(c))
        return true;
    pthread_mutex_lock(&s->lock);
    memcpy(s->last, c->request, c->len + 1);
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->requests, 1);
    r = find(s, c->request);
    c->silent = r->behaviour == HTTP_IS_SILENT || r->behaviour == HTTP_STALLS;
    if (r->behaviour != HTTP_IS_SILENT && r->behaviour != HTTP_HANGS_UP)
        answer(fd, r);
    return c->silent;
}

static void take_connection(struct http_server *s)
{
    int fd = accept(s->fds[1].fd, NULL, NULL);
    struct connection *c = &s->connections[s->fd_count - 2];

    must(fd >= 0 && s->fd_count < 2 + CONNECTIONS_MAX, "accept");
    c->len = 0;
    c->silent = false;
    s->fds[s->fd_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void drop_connection(struct http_server *s, nfds_t i)
{
    nfds_t last = --s->fd_count;

    close(s->fds[i].fd);
    s->fds[i] = s->fds[last];
    if (i != last)
        s->connections[i - 2] = s->connections[last - 2];
}

static void *run(void *arg)
{
    struct http_server *s = arg;

    while (poll(s->fds, s->fd_count, -1) >= 0 && !s->fds[0].revents) {
        for (nfds_t i = s->fd_count; i-- > 2;)
            if (s->fds[i].revents && !serve(s, s->fds[i].fd, &s->connections[i - 2]))
                drop_connection(s, i);
        if (s->fds[1].revents)
            take_connection(s);
    }
    return NULL;
}

struct http_server *http_server_start(const struct http_route *routes)
{
    struct http_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int ends[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(s != NULL, "calloc");
    must(pipe(ends) == 0, "pipe");
    must(bind(fd, (struct sockaddr *)&sin, len) == 0 && listen(fd, 64) == 0, "bind");
    must(getsockname(fd, (struct sockaddr *)&sin, &len) == 0, "getsockname");
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(sin.sin_port));
    s->routes = routes;
    s->stop = ends[1];
    s->fds[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    s->fds[1] = (struct pollfd){.fd = fd, .events = POLLIN};
    s->fd_count = 2;
    pthread_mutex_init(&s->lock, NULL);
    must(pthread_create(&s->thread, NULL, run, s) == 0, "pthread_create");
    return s;
}

const char *http_server_url(const struct http_server *s)
{
    return s->url;
}

unsigned http_server_requests(const struct http_server *s)
{
    return atomic_load(&s->requests);
}

const char *http_server_last(const struct http_server *s)
{
    return s->last;
}

void http_server_stop(struct http_server *s)
{
    must(write(s->stop, "", 1) == 1, "write");
    pthread_join(s->thread, NULL);
    for (nfds_t i = 0; i < s->fd_count; i++)
        close(s->fds[i].fd);
    close(s->stop);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
