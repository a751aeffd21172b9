/*
 * own - which addresses are this agent itself.
 *
 * Purpose    An agent that pings itself would look healthy whatever the network does, so it must
 *            not. An address is own when others probe us at it, or when it is one of this host's.
 *            When the operator has said outright what our address is (several agents on one host),
 *            only that one is own.
 * Threads    The icmp thread.
 */
#ifndef AGENTD_OWN_H
#define AGENTD_OWN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/addr.h"

#define OWN_HOST_MAX 512 /* addresses of the host's interfaces; further ones are left out */

struct own {
    struct prober_addr given[16]; /* by the operator */
    size_t given_count;
    struct prober_addr observed; /* by the server; family NONE: not known */
    struct prober_addr host[OWN_HOST_MAX];
    size_t host_count;
};

/* Reads the interfaces' addresses anew; true when they changed. */
bool own_refresh(struct own *own);
/* Unspecified, multicast and broadcast addresses count as own too: no reply to them would tell
 * anything about another host. */
bool own_holds(const struct own *own, const struct prober_addr *address);

#endif
