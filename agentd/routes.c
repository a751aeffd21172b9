#include "agentd/routes.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdint.h>
#include <unistd.h>

#define DISCARD_PORT 9

enum prober_error routes_source(const struct prober_addr *to, struct prober_addr *from)
{
    enum prober_error err = PROBER_ERR_UNREACHABLE;
    struct sockaddr_storage sa;
    socklen_t len;
    uint16_t port;
    int fd = -1;

    if (to->family == PROBER_FAMILY_NONE)
        goto out;
    len = prober_addr_to_sockaddr(to, DISCARD_PORT, &sa);
    fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* Connecting binds to the source of the route, and sends nothing. */
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
        goto out;
    err = PROBER_ERR_IO;
    len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        err = prober_addr_from_sockaddr((struct sockaddr *)&sa, from, &port);
out:
    if (fd >= 0)
        close(fd);
    return err;
}

size_t routes_interface_addresses(struct prober_addr *out, size_t max)
{
    struct ifaddrs *list = NULL;
    uint16_t port;
    size_t n = 0;

    if (getifaddrs(&list) < 0)
        return 0;
    for (const struct ifaddrs *i = list; i && n < max; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (prober_addr_from_sockaddr(i->ifa_addr, &out[n], &port) == PROBER_OK)
            n++;
    }
    freeifaddrs(list);
    return n;
}
