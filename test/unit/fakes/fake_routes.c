#include "fake_routes.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/routes.h"

#define ROUTES_MAX 16

static struct {
    const char *to, *from;
} routes[ROUTES_MAX];
static size_t route_count;
static const char *interfaces[ROUTES_MAX];
static size_t interface_count;

void fake_routes_reset(void)
{
    route_count = interface_count = 0;
}

void fake_routes_add(const char *to, const char *from)
{
    routes[route_count].to = to;
    routes[route_count++].from = from;
}

void fake_routes_add_interface(const char *address)
{
    interfaces[interface_count++] = address;
}

enum prober_error routes_source(const struct prober_addr *to, struct prober_addr *from)
{
    char text[PROBER_ADDR_TEXT_MAX];
    const char *any = to->family == PROBER_FAMILY_IPV4 ? "*4" : "*6";

    prober_addr_format(to, text);
    for (size_t i = 0; i < route_count; i++)
        if (strcmp(routes[i].to, text) == 0 || strcmp(routes[i].to, any) == 0)
            return prober_addr_parse(routes[i].from, from);
    return PROBER_ERR_UNREACHABLE;
}

size_t routes_interface_addresses(struct prober_addr *out, size_t max)
{
    size_t n = 0;

    while (n < interface_count && n < max) {
        if (prober_addr_parse(interfaces[n], &out[n]) != PROBER_OK)
            abort();
        n++;
    }
    return n;
}
