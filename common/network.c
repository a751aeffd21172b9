#include "common/network.h"

#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96, before an IPv4 address */

static bool parse_bits(const char *text, unsigned most, unsigned *bits)
{
    size_t len = strlen(text);
    unsigned long value;

    if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
        return false;
    value = strtoul(text, NULL, 10);
    *bits = (unsigned)value;
    return value <= most;
}

enum prober_error prober_network_parse(const char *text, struct prober_network *out,
                                       struct prober_failure *why)
{
    char address[PROBER_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct prober_network network;
    struct prober_addr plain;
    unsigned most;

    if (len < sizeof(address)) {
        memcpy(address, text, len);
        address[len] = '\0';
    }
    if (len >= sizeof(address) || prober_addr_parse(address, &network.address) ||
        network.address.scope)
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s' is not a network such as 10.0.0.0/8",
                           text);
    most = network.address.family == PROBER_FAMILY_IPV4 ? 32 : 128;
    network.bits = most;
    if (slash && !parse_bits(slash + 1, most, &network.bits))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': the prefix length is 0 to %u", text,
                           most);
    plain = prober_addr_unmap(&network.address);
    if (plain.family != network.address.family && network.bits >= MAPPED_BITS)
        network = (struct prober_network){plain, network.bits - MAPPED_BITS};
    *out = network;
    return PROBER_OK;
}

bool prober_network_holds(const struct prober_network *n, const struct prober_addr *address)
{
    struct prober_addr a = prober_addr_unmap(address);
    size_t whole = n->bits / 8;
    unsigned rest = n->bits % 8, mask = 0xff00u >> rest & 0xffu;

    return n->address.family == a.family && memcmp(n->address.bytes, a.bytes, whole) == 0 &&
           (rest == 0 || ((n->address.bytes[whole] ^ a.bytes[whole]) & mask) == 0);
}
