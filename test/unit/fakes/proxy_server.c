#include "proxy_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

struct proxy_server {
    enum proxy_behaviour behaviour;
    int listener, stop, stopped;
    int held; /* the silent connection; -1: none */
    char port[8], last[4096];
    pthread_t thread;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static bool get(int fd, void *bytes, size_t len)
{
    return recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

static void say(int fd, const void *bytes, size_t len)
{
    must(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

/* Reads a text that its length precedes. */
static bool get_text(int fd, char out[256])
{
    uint8_t len = 0;

    if (!get(fd, &len, 1) || (len && !get(fd, out, len)))
        return false;
    out[len] = 0;
    return true;
}

static bool get_socks_host(int fd, char out[256])
{
    uint8_t request[4], address[16];

    if (!get(fd, request, 4))
        return false;
    if (request[3] == 3)
        return get_text(fd, out);
    return get(fd, address, request[3] == 1 ? 4 : 16) &&
           inet_ntop(request[3] == 1 ? AF_INET : AF_INET6, address, out, 256);
}

/* Takes methods, perhaps user and password, and the request; out: the port. */
static bool take_socks(struct proxy_server *s, int fd, char port[8])
{
    char methods[256], user[256] = "", password[256] = "", host[256];
    uint8_t byte = 0;
    uint16_t number = 0;
    bool asks;

    if (!get(fd, &byte, 1) || !get_text(fd, methods))
        return false;
    asks = strchr(methods + 1, 2) != NULL; /* the first is "none" */
    say(fd, asks ? "\5\2" : "\5\0", 2);
    if (asks) {
        if (!get(fd, &byte, 1) || !get_text(fd, user) || !get_text(fd, password))
            return false;
        say(fd, "\1\0", 2);
    }
    if (!get_socks_host(fd, host) || !get(fd, &number, 2))
        return false;
    snprintf(port, 8, "%u", ntohs(number));
    snprintf(s->last, sizeof(s->last), "socks %s:%s %s:%s", user, password, host, port);
    return true;
}

static bool take_connect(struct proxy_server *s, int fd, char port[8])
{
    const char *end;
    size_t len = 0;

    for (s->last[0] = 0; !strstr(s->last, "\r\n\r\n"); s->last[++len] = 0)
        if (len + 2 > sizeof(s->last) || !get(fd, s->last + len, 1))
            return false;
    end = strstr(s->last, " HTTP/");
    must(end != NULL, "head");
    while (end > s->last && end[-1] != ':')
        end--;
    snprintf(port, 8, "%d", atoi(end));
    return true;
}

static void serve(struct proxy_server *s, int fd)
{
    static const char open[] = "HTTP/1.1 200 Open\r\nX-Proxy: yes\r\n\r\n",
                      refused[] = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    static const char socks_open[] = "\5\0\0\1\177\0\0\1\0\1",
                      socks_refused[] = "\5\2\0\1\0\0\0\0\0";
    char first = 0, port[8];
    bool is_socks = recv(fd, &first, 1, MSG_PEEK) == 1 && first == 5;
    int server = -1;

    if (s->behaviour == PROXY_HANGS_UP ||
        !(is_socks ? take_socks(s, fd, port) : take_connect(s, fd, port)))
        return;
    if (s->behaviour == PROXY_WORKS)
        server = relay_connect(port);
    if (s->behaviour == PROXY_IS_SILENT)
        return;
    if (server < 0) {
        say(fd, is_socks ? socks_refused : refused,
            is_socks ? sizeof(socks_refused) : sizeof(refused) - 1);
        recv(fd, &first, 1, 0); /* the client closes first: no reset */
    } else {
        say(fd, is_socks ? socks_open : open, is_socks ? sizeof(socks_open) - 1 : sizeof(open) - 1);
        relay_run(relay_socket(&fd), relay_socket(&server), s->stopped);
        close(server);
    }
}

static void *run(void *arg)
{
    struct proxy_server *s = arg;
    struct pollfd fds[] = {{s->stopped, POLLIN, 0}, {s->listener, POLLIN, 0}};

    while (poll(fds, 2, -1) >= 0 && !fds[0].revents) {
        int fd = accept(s->listener, NULL, NULL);

        must(fd >= 0, "accept");
        serve(s, fd);
        if (s->behaviour == PROXY_IS_SILENT && s->held < 0)
            s->held = fd;
        else
            close(fd);
    }
    return NULL;
}

struct proxy_server *proxy_server_start(enum proxy_behaviour behaviour)
{
    struct proxy_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int ends[2];

    must(s != NULL, "calloc");
    s->behaviour = behaviour;
    s->held = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(s->listener, (struct sockaddr *)&sin, len) == 0 && listen(s->listener, 64) == 0,
         "bind");
    must(getsockname(s->listener, (struct sockaddr *)&sin, &len) == 0, "getsockname");
    snprintf(s->port, sizeof(s->port), "%u", ntohs(sin.sin_port));
    must(pipe(ends) == 0, "pipe");
    s->stopped = ends[0];
    s->stop = ends[1];
    must(pthread_create(&s->thread, NULL, run, s) == 0, "pthread_create");
    return s;
}

const char *proxy_server_port(const struct proxy_server *s)
{
    return s->port;
}

const char *proxy_server_last(const struct proxy_server *s)
{
    return s->last;
}

void proxy_server_stop(struct proxy_server *s)
{
    if (!s)
        return;
    must(write(s->stop, "", 1) == 1, "write");
    pthread_join(s->thread, NULL);
    if (s->held >= 0)
        close(s->held);
    close(s->listener);
    close(s->stop);
    close(s->stopped);
    free(s);
}
