#include "common/link_nng.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

/* Whose connections are to end: all of a local port, or one. */
struct wanted {
    in_port_t port; /* network byte order; 0: the one of these */
    nng_sockaddr local, remote;
};

static bool is_name(const union name *name, const nng_sockaddr *sa)
{
    if (name->any.sa_family == AF_INET)
        return sa->s_family == NNG_AF_INET && name->v4.sin_port == sa->s_in.sa_port &&
               name->v4.sin_addr.s_addr == sa->s_in.sa_addr;
    return name->any.sa_family == AF_INET6 && sa->s_family == NNG_AF_INET6 &&
           name->v6.sin6_port == sa->s_in6.sa_port &&
           memcmp(&name->v6.sin6_addr, sa->s_in6.sa_addr, 16) == 0;
}

static in_port_t port_of(const union name *name)
{
    return name->any.sa_family == AF_INET    ? name->v4.sin_port
           : name->any.sa_family == AF_INET6 ? name->v6.sin6_port
                                             : 0;
}

static bool is_wanted(int fd, const struct wanted *wanted)
{
    union name local, remote;
    socklen_t local_len = sizeof(local), remote_len = sizeof(remote);

    if (getpeername(fd, &remote.any, &remote_len) || getsockname(fd, &local.any, &local_len))
        return false;
    if (wanted->port)
        return port_of(&local) == wanted->port;
    return is_name(&remote, &wanted->remote) && is_name(&local, &wanted->local);
}

/* True when it was wanted. A copy of the descriptor keeps its number from being another connection's
 * meanwhile. Writing goes on: a write that failed would have nng close the pipe while it reads. */
static bool shut(int fd, const struct wanted *wanted)
{
    int copy;
    bool is_it;

    if (!is_wanted(fd, wanted))
        return false;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return false;
    is_it = is_wanted(copy, wanted);
    if (is_it)
        shutdown(copy, SHUT_RD);
    close(copy);
    return is_it;
}

/* False when there was none. */
static bool shut_all(const struct wanted *wanted)
{
    DIR *open_files = opendir("/proc/self/fd");
    bool found = false;

    if (!open_files)
        return false;
    for (struct dirent *d = readdir(open_files); d; d = readdir(open_files)) {
        found |= d->d_name[0] != '.' && shut(atoi(d->d_name), wanted);
        if (found && !wanted->port)
            break;
    }
    closedir(open_files);
    return found;
}

void link_cut(nng_pipe pipe)
{
    struct wanted wanted = {.port = 0};

    if (nng_pipe_get_addr(pipe, NNG_OPT_LOCADDR, &wanted.local) ||
        nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &wanted.remote))
        return; /* it has ended already */
    if (!shut_all(&wanted))
        nng_pipe_close(pipe);
}

void link_cut_port(uint16_t port)
{
    const struct wanted wanted = {.port = htons(port)};

    shut_all(&wanted);
}
