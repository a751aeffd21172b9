/*
 * icmp_arrivals - counts the mesh's echo requests that reach this host.
 *
 * Purpose    The target of a mesh probe is an agent too. It counts the requests that bear our mark,
 *            by sender and the sender's window, so that the server can tell loss on the way there
 *            from loss on the way back. The kernel still answers them.
 * Threads    None of its own; one thread owns it.
 * Ownership  Owns its sockets (raw, a filter on echo requests with the mark, never sends).
 */
#ifndef LIBPROBER_ICMP_ARRIVALS_H
#define LIBPROBER_ICMP_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"

#define ICMP_ARRIVALS_MAX 16384 /* (sender, window) pairs open at once; further ones are counted */

struct icmp_arrivals;

struct icmp_arrival {
    uint32_t sender;
    uint16_t window; /* low 16 bits of the sender's window number */
    uint32_t count;
    uint64_t last_ns; /* monotonic, when the last one was seen */
};

/* Errors: PROBER_ERR_DENIED, _IO, _NOMEM. */
enum prober_error icmp_arrivals_create(struct icmp_arrivals **out, struct prober_failure *why);
/* Drains the sockets; call at least every 100 ms. */
void icmp_arrivals_step(struct icmp_arrivals *a, uint64_t now_ns);
/* Takes out the pairs that saw no request for quiet_ns, up to `max`, into out[max]; returns how
 * many. A pair that grows again afterwards comes out again with the further count only. */
size_t icmp_arrivals_take(struct icmp_arrivals *a, uint64_t now_ns, uint64_t quiet_ns,
                          struct icmp_arrival *out, size_t max);
/* Requests that were not counted: table full, or dropped by the socket. */
uint64_t icmp_arrivals_missed(const struct icmp_arrivals *a);
void icmp_arrivals_destroy(struct icmp_arrivals *a);

#endif
