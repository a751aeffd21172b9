/*
 * address - the addresses of its own that an agent reports, for the others to ping.
 *
 * Purpose    Given ones (agent.icmp.address) are reported as they are. Else, with the network type
 *            "intranet": the source address of the route to the server; if that is loopback,
 *            unspecified or link-local, that of the default route; else the first address of an
 *            interface, IPv4 before IPv6: one address, since an agent that pings itself or a family
 *            that does not get through must not enter the mesh unasked. With "public": what the
 *            first of the look-up URLs says (agent.icmp.public.urls; none by default, so that
 *            nobody is asked unbidden), else nothing, and the server takes the address it sees.
 *            Routes change: ask again each time the link connects.
 * Threads    address_find blocks the calling thread for at most its timeout; any thread.
 */
#ifndef AGENTD_ADDRESS_H
#define AGENTD_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/wire.h"

#define ADDRESS_LOOKUP_NS UINT64_C(2000000000)

struct address_set {
    enum wire_address_mode mode;
    size_t count; /* 0: none, the server takes what it sees */
    struct prober_addr addresses[WIRE_ADDRESSES_MAX];
    char texts[WIRE_ADDRESSES_MAX][PROBER_ADDR_TEXT_MAX]; /* the same, as text */
};

/* Reads the setting agent.icmp.address into *out (mode WIRE_ADDRESS_GIVEN). IPv4 and IPv6, also
 * private and loopback ones; repeated ones count once. Errors: PROBER_ERR_SYNTAX (no address, or
 * unspecified, multicast or broadcast), PROBER_ERR_RANGE (too many), with a sentence in *why. */
enum prober_error address_parse_given(const char *const *texts, size_t count,
                                      struct address_set *out, struct prober_failure *why);

struct address_query {
    enum wire_address_mode mode; /* INTRANET or PUBLIC: agent.icmp.network-type */
    const char *server;          /* "host:port" of the server's link */
    const char *const *urls;     /* [url_count]: agent.icmp.public.urls */
    size_t url_count;
    uint64_t timeout_ns;     /* for names and URLs; 0: ADDRESS_LOOKUP_NS */
    const char *dns_servers; /* as in resolver_config; NULL: the system's */
};

/* Finds the addresses to report. Errors: PROBER_ERR_NOT_FOUND when the host has none that another
 * could reach (yet), with a sentence in *why. */
enum prober_error address_find(const struct address_query *query, struct address_set *out,
                               struct prober_failure *why);

#endif
