/*
 * network - a block of addresses, such as 192.0.2.0/24.
 *
 * Threads    Values; pure functions.
 */
#ifndef COMMON_NETWORK_H
#define COMMON_NETWORK_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/error.h"

struct prober_network {
    struct prober_addr address;
    unsigned bits; /* of the prefix: 0..32, or 0..128 */
};

/* Reads "192.0.2.0/24", "fd00::/8" or a single address; bits behind the prefix may be set, and mean
 * nothing. A network of IPv4-mapped addresses is one of IPv4.
 * Errors: PROBER_ERR_SYNTAX with a sentence in *why. */
enum prober_error prober_network_parse(const char *text, struct prober_network *out,
                                       struct prober_failure *why);
/* An IPv4-mapped address counts as IPv4. */
bool prober_network_holds(const struct prober_network *n, const struct prober_addr *address);

#endif
