#include "agentd/own.h"

#include <ifaddrs.h>
#include <string.h>

bool own_refresh(struct own *own)
{
    struct prober_addr found[OWN_HOST_MAX];
    struct ifaddrs *list = NULL;
    size_t count = 0;
    bool changed;

    if (getifaddrs(&list) != 0)
        return false;
    memset(found, 0, sizeof(found));
    for (struct ifaddrs *i = list; i && count < OWN_HOST_MAX; i = i->ifa_next)
        if (i->ifa_addr && prober_addr_from_sockaddr(i->ifa_addr, &found[count], NULL) == PROBER_OK)
            count++;
    freeifaddrs(list);
    changed = count != own->host_count || memcmp(found, own->host, count * sizeof(found[0])) != 0;
    memcpy(own->host, found, sizeof(found));
    own->host_count = count;
    return changed;
}

static bool holds(const struct prober_addr *list, size_t count, const struct prober_addr *address)
{
    for (size_t i = 0; i < count; i++)
        if (prober_addr_equal(&list[i], address))
            return true;
    return false;
}

bool own_holds(const struct own *own, const struct prober_addr *address)
{
    struct prober_addr a = prober_addr_unmap(address);
    enum prober_addr_class class = prober_addr_classify(&a);

    if (class == PROBER_ADDR_UNSPECIFIED || class == PROBER_ADDR_MULTICAST ||
        class == PROBER_ADDR_BROADCAST)
        return true;
    if (own->given_count)
        return holds(own->given, own->given_count, &a);
    return class == PROBER_ADDR_LOOPBACK || holds(own->host, own->host_count, &a) ||
           (own->observed.family && prober_addr_equal(&own->observed, &a));
}
