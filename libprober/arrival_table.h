/*
 * arrival_table - counts by (sender, window), taken out when they are quiet.
 *
 * Threads    None of its own; one thread owns it.
 * Ownership  Owns its entries, ICMP_ARRIVALS_MAX at most.
 */
#ifndef LIBPROBER_ARRIVAL_TABLE_H
#define LIBPROBER_ARRIVAL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libprober/icmp_arrivals.h"

struct arrival_table;

/* NULL for lack of memory. */
struct arrival_table *arrival_table_create(void);
/* Counts one request. False when the table is full. */
bool arrival_table_count(struct arrival_table *t, uint32_t sender, uint16_t window,
                         uint64_t now_ns);
/* As icmp_arrivals_take. */
size_t arrival_table_take(struct arrival_table *t, uint64_t now_ns, uint64_t quiet_ns,
                          struct icmp_arrival *out, size_t max);
/* NULL is fine. */
void arrival_table_destroy(struct arrival_table *t);

#endif
