/*
 * icmp_caps - caps on packets per second: of the engine, and of each address that is probed.
 *
 * Purpose    In no second, wherever it begins, do more packets go out than the cap. Bursts of a
 *            fiftieth of it pass at once. Targets that share an address share its cap.
 * Threads    None of its own; one thread owns it.
 * Ownership  Owns a record for each address that was joined and not left.
 */
#ifndef LIBPROBER_ICMP_CAPS_H
#define LIBPROBER_ICMP_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

struct icmp_caps;
struct icmp_address_cap;

/* Packets per second over all, and of one address; 0: no cap. NULL for lack of memory. */
struct icmp_caps *icmp_caps_create(uint64_t all, uint64_t each);
/* The record of an address, to be left once for each join. NULL without a cap of each, or for lack
 * of memory (the address then has no cap of its own). */
struct icmp_address_cap *icmp_caps_join(struct icmp_caps *c, const struct prober_addr *address);
/* NULL is fine. */
void icmp_caps_leave(struct icmp_caps *c, struct icmp_address_cap *record);
/* True when a packet may go out now, which is then counted. record may be NULL. */
bool icmp_caps_allow(struct icmp_caps *c, struct icmp_address_cap *record, uint64_t now_ns);
/* NULL is fine. */
void icmp_caps_destroy(struct icmp_caps *c);

#endif
