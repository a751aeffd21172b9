/*
 * trace_socket - the kernel's side of tracing: what comes in for an address family, and what one
 *                trace sends.
 *
 * Purpose    An ear is a raw socket that receives echo replies, ICMP errors, and nothing else, with the
 *            kernel's receive timestamps. Its filter lets only those pass that bear (or quote) an
 *            identifier of our block, or quote a UDP datagram: other programs' replies cost nothing.
 *            A mouth is a raw socket that sends one trace's probes with a TTL each, and receives
 *            nothing. The time of a probe is the kernel's transmit timestamp where there is one.
 * Threads    None of its own; one thread owns it. Never blocks.
 * Source     raw(7), icmp(7), ip(7), ipv6(7); Documentation/networking/timestamping.
 */
#ifndef LIBPROBER_TRACE_SOCKET_H
#define LIBPROBER_TRACE_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/trace_packet.h"

#define TRACE_EAR_BATCH 16
#define TRACE_BLOCK 256 /* identifiers in a block; the first one is a multiple of it */

struct trace_ear;

/* block: the first identifier that is ours. Errors: PROBER_ERR_DENIED (with how to grant CAP_NET_RAW),
 * _UNSUPPORTED (the host lacks the family), _NOMEM, _IO. */
enum prober_error trace_ear_open(struct trace_ear **out, enum prober_family family, uint16_t block,
                                 struct prober_failure *why);
int trace_ear_fd(const struct trace_ear *e);

struct trace_arriving {
    struct prober_addr from;
    uint64_t real_ns;       /* the kernel's; 0: none */
    const uint8_t *message; /* the ICMP message. Valid until the next call */
    size_t len;
};

/* Up to TRACE_EAR_BATCH messages into list; 0: drained. */
size_t trace_ear_receive(struct trace_ear *e, struct trace_arriving *list);
/* Packets that the socket dropped so far; wraps. */
uint32_t trace_ear_drops(const struct trace_ear *e);
/* NULL is fine. */
void trace_ear_close(struct trace_ear *e);

struct trace_mouth;

/* Opens what sends the probes of *flow to flow->target, and fills in flow->source and, for UDP, the
 * source port, which is nobody else's until it is closed.
 * Errors, with a sentence in *why: PROBER_ERR_DENIED, _UNREACHABLE (no route), _NOMEM, _IO. */
enum prober_error trace_mouth_open(struct trace_mouth **out, struct trace_flow *flow,
                                   struct prober_failure *why);
/* Sends one probe. Returns 0 and when it left (realtime) in *real_ns, or errno. */
int trace_mouth_send(struct trace_mouth *m, uint8_t ttl, const uint8_t packet[TRACE_PACKET_SIZE],
                     uint64_t *real_ns);
/* NULL is fine. */
void trace_mouth_close(struct trace_mouth *m);

#endif
