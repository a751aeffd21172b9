#include "relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int relay_connect(const char *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sin.sin_port = htons((uint16_t)atoi(port));
    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin))) {
        close(fd);
        return -1;
    }
    return fd;
}

static long read_socket(void *context, char *bytes, size_t len)
{
    return recv(*(int *)context, bytes, len, 0);
}

static long write_socket(void *context, const char *bytes, size_t len)
{
    return send(*(int *)context, bytes, len, MSG_NOSIGNAL);
}

struct relay_end relay_socket(int *fd)
{
    return (struct relay_end){*fd, read_socket, write_socket, fd};
}

static bool carry(const struct relay_end *from, const struct relay_end *to)
{
    char bytes[16384];
    long n = from->read(from->context, bytes, sizeof(bytes));

    return n > 0 && to->write(to->context, bytes, (size_t)n) == n;
}

void relay_run(struct relay_end a, struct relay_end b, int stop)
{
    struct pollfd fds[] = {{stop, POLLIN, 0}, {a.fd, POLLIN, 0}, {b.fd, POLLIN, 0}};
    bool goes_on = true;

    while (goes_on && poll(fds, 3, -1) > 0 && !fds[0].revents) {
        if (fds[1].revents)
            goes_on = carry(&a, &b);
        if (goes_on && fds[2].revents)
            goes_on = carry(&b, &a);
    }
}
