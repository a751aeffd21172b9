/*
 * name_servers - opens a resolver that asks the name servers of the settings.
 *
 * Threads    Any; the resolver is the caller's.
 */
#ifndef AGENTD_NAME_SERVERS_H
#define AGENTD_NAME_SERVERS_H

#include "common/error.h"
#include "common/options.h"
#include "libprober/resolver.h"

/* servers: "addr[:port]" each; none: the system's. Errors: those of resolver_create. */
enum prober_error name_servers_open(struct resolver **out, const struct option_list *servers,
                                    struct prober_failure *why);

#endif
