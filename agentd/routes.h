/*
 * routes - which of this host's addresses the kernel would use. Sends nothing.
 *
 * Threads    Any thread.
 */
#ifndef AGENTD_ROUTES_H
#define AGENTD_ROUTES_H

#include <stddef.h>

#include "common/addr.h"
#include "common/error.h"

/* The source address of the route to `to`. Errors: PROBER_ERR_UNREACHABLE (no route), _IO. */
enum prober_error routes_source(const struct prober_addr *to, struct prober_addr *from);
/* The addresses of the interfaces that are up, but the loopback interface's, in the kernel's order,
 * into out[max]; returns how many. */
size_t routes_interface_addresses(struct prober_addr *out, size_t max);

#endif
