#include "dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_A 1
#define TYPE_AAAA 28
#define MESSAGE_MAX 4096
#define HEADER_LEN 12

struct dns_server {
    const struct dns_record *records;
    int udp, tcp, stop[2];
    char address[32];
    atomic_uint questions;
    pthread_t thread;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

/* Reads the question's name into name[256] and returns its end in the message, 0 if malformed. */
static size_t read_name(const uint8_t *m, size_t len, char *name)
{
    size_t at = HEADER_LEN, out = 0;

    while (at < len && m[at]) {
        size_t n = m[at++];

        if (n > 63 || at + n >= len || out + n + 2 > 256)
            return 0;
        memcpy(name + out, m + at, n);
        out += n;
        at += n;
        name[out++] = '.';
    }
    name[out ? out - 1 : 0] = 0;
    return at + 5 <= len ? at + 1 : 0;
}

static const struct dns_record *find(const struct dns_server *s, const char *name)
{
    for (const struct dns_record *r = s->records; r->name; r++)
        if (strcasecmp(r->name, name) == 0)
            return r;
    return NULL;
}

static size_t put_addresses(uint8_t *m, size_t len, const char *texts, unsigned type)
{
    char copy[512], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", texts ? texts : "");
    for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
        uint8_t size = type == TYPE_A ? 4 : 16;
        const uint8_t head[12] = {0xc0, HEADER_LEN, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, size};

        memcpy(m + len, head, sizeof(head));
        must(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, t, m + len + sizeof(head)) == 1, t);
        len += sizeof(head) + size;
        m[7]++;
    }
    return len;
}

/* Turns the query m[len] into its reply and returns its length; 0: say nothing. */
static size_t reply(struct dns_server *s, uint8_t *m, size_t len, bool tcp)
{
    char name[256];
    size_t end = len >= HEADER_LEN ? read_name(m, len, name) : 0;
    const struct dns_record *r = end ? find(s, name) : NULL;
    unsigned type = end ? m[end + 1] : 0;
    enum dns_behaviour b = !r ? DNS_ANSWERS : type == TYPE_A ? r->on_a : r->on_aaaa;

    if (!end)
        return 0;
    atomic_fetch_add(&s->questions, 1);
    m[2] |= 0x80;
    m[3] = 0x80;
    memset(m + 6, 0, 6);
    len = end + 4;
    switch (b) {
    case DNS_IS_SILENT:
        return 0;
    case DNS_FAILS:
        m[3] |= 2;
        return len;
    case DNS_REFUSES:
        m[3] |= 5;
        return len;
    case DNS_TRUNCATES:
        if (tcp)
            break;
        m[2] |= 2;
        return len;
    case DNS_SENDS_GARBAGE:
        m[7] = 1;
        return len;
    case DNS_ANSWERS:
        break;
    }
    if (!r)
        m[3] |= 3;
    return r ? put_addresses(m, len, type == TYPE_A ? r->a : r->aaaa, type) : len;
}

static void serve_udp(struct dns_server *s)
{
    uint8_t m[MESSAGE_MAX];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(s->udp, m, 512, 0, (struct sockaddr *)&from, &from_len);
    size_t len = n > 0 ? reply(s, m, (size_t)n, false) : 0;

    if (len)
        sendto(s->udp, m, len, 0, (struct sockaddr *)&from, from_len);
}

/* One question a connection. */
static void serve_tcp(struct dns_server *s)
{
    uint8_t m[MESSAGE_MAX];
    int fd = accept(s->tcp, NULL, NULL);
    struct timeval patience = {.tv_sec = 2};
    size_t len = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (recv(fd, m, 2, MSG_WAITALL) == 2)
        len = (size_t)m[0] << 8 | m[1];
    if (len > 0 && len <= 512 && recv(fd, m + 2, len, MSG_WAITALL) == (ssize_t)len) {
        len = reply(s, m + 2, len, true);
        m[0] = (uint8_t)(len >> 8);
        m[1] = (uint8_t)len;
        must(send(fd, m, len + 2, MSG_NOSIGNAL) > 0, "send");
    }
    close(fd);
}

static void *serve(void *arg)
{
    struct dns_server *s = arg;
    struct pollfd fds[] = {
        {.fd = s->stop[0], .events = POLLIN},
        {.fd = s->udp, .events = POLLIN},
        {.fd = s->tcp, .events = POLLIN},
    };

    while (poll(fds, 3, -1) >= 0 && !fds[0].revents) {
        if (fds[1].revents)
            serve_udp(s);
        if (fds[2].revents)
            serve_tcp(s);
    }
    return NULL;
}

/* UDP and TCP on the same port, which the kernel picks. */
static void open_sockets(struct dns_server *s)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int room = 1 << 20;

    for (int tries = 0;; tries++) {
        sin.sin_port = 0;
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        must(bind(s->tcp, (struct sockaddr *)&sin, len) == 0 && listen(s->tcp, 8) == 0, "bind");
        must(getsockname(s->tcp, (struct sockaddr *)&sin, &len) == 0, "getsockname");
        if (bind(s->udp, (struct sockaddr *)&sin, len) == 0)
            break;
        must(tries < 20, "bind");
        close(s->tcp);
        close(s->udp);
    }
    setsockopt(s->udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(sin.sin_port));
}

struct dns_server *dns_server_start(const struct dns_record *records)
{
    struct dns_server *s = calloc(1, sizeof(*s));

    must(s != NULL, "calloc");
    s->records = records;
    open_sockets(s);
    must(pipe(s->stop) == 0, "pipe");
    must(pthread_create(&s->thread, NULL, serve, s) == 0, "pthread_create");
    return s;
}

const char *dns_server_address(const struct dns_server *s)
{
    return s->address;
}

unsigned dns_server_questions(const struct dns_server *s)
{
    return atomic_load(&s->questions);
}

void dns_server_stop(struct dns_server *s)
{
    must(write(s->stop[1], "", 1) == 1, "write");
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    close(s->udp);
    close(s->tcp);
    free(s);
}
