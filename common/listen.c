#include "common/listen.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

static void add(struct listen_set *set, const struct prober_addr *addr, bool optional)
{
    for (size_t i = 0; i < set->count; i++)
        if (prober_addr_equal(&set->addresses[i].addr, addr))
            return;
    if (set->count < LISTEN_ADDRESSES_MAX)
        set->addresses[set->count++] = (struct listen_address){*addr, optional};
}

static void add_literal(struct listen_set *set, const char *literal, bool optional)
{
    struct prober_addr addr;

    if (prober_addr_parse(literal, &addr) == PROBER_OK)
        add(set, &addr, optional);
}

static enum prober_error add_resolved(struct listen_set *set, const char *host,
                                      struct prober_failure *why)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);

    if (rc)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "cannot resolve '%s' to listen on: %s", host,
                           gai_strerror(rc));
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        struct prober_addr addr;

        if (prober_addr_from_sockaddr(a->ai_addr, &addr, NULL) == PROBER_OK)
            add(set, &addr, false);
    }
    freeaddrinfo(found);
    return set->count ? PROBER_OK
                      : prober_fail(why, PROBER_ERR_NOT_FOUND, "'%s' has no address", host);
}

enum prober_error listen_set_parse(const char *text, struct listen_set *out,
                                   struct prober_failure *why)
{
    struct listen_set set = {.count = 0};
    char host[PROBER_HOST_MAX];
    struct prober_addr addr;
    enum prober_error err = prober_hostport_split(text, 0, host, &set.port, why);

    if (err)
        return err;
    if (*host == '\0') {
        set.any = true;
        add_literal(&set, "::", true);
        add_literal(&set, "0.0.0.0", false);
    } else if (strcmp(host, "localhost") == 0) {
        add_literal(&set, "127.0.0.1", false);
        add_literal(&set, "::1", true);
    } else if (prober_addr_parse(host, &addr) == PROBER_OK) {
        add(&set, &addr, false);
    } else {
        err = add_resolved(&set, host, why);
    }
    if (!err)
        *out = set;
    return err;
}

static enum prober_error error_of_errno(int error)
{
    switch (error) {
    case EADDRINUSE:
        return PROBER_ERR_IN_USE;
    case EACCES:
    case EPERM:
        return PROBER_ERR_DENIED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return PROBER_ERR_NOT_FOUND;
    default:
        return PROBER_ERR_IO;
    }
}

enum prober_error listen_check(const struct prober_addr *addr, uint16_t *port,
                               struct prober_failure *why)
{
    const int on = 1;
    struct sockaddr_storage sa;
    socklen_t len = prober_addr_to_sockaddr(addr, *port, &sa);
    char text[PROBER_ADDR_TEXT_MAX];
    enum prober_error err = PROBER_OK;
    struct prober_addr ignored;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
        bind(fd, (struct sockaddr *)&sa, len) || getsockname(fd, (struct sockaddr *)&sa, &len)) {
        int error = errno;

        err = prober_fail(why, error_of_errno(error), "cannot listen on %s port %u: %s",
                          prober_addr_format(addr, text), *port, strerror(error));
        goto out;
    }
    prober_addr_from_sockaddr((struct sockaddr *)&sa, &ignored, port);
out:
    if (fd >= 0)
        close(fd);
    return err;
}
