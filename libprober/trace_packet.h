/*
 * trace_packet - probes of a path as bytes, and what routers and the target answer to them.
 *
 * Purpose    A probe is an ICMP echo request or a UDP datagram that carries the mark of icmp_packet.h,
 *            and nothing else. All probes of a trace are one flow, so that routers that share their
 *            load by flow send them all the same way: the same ICMP identifier and checksum, or the
 *            same addresses and ports of UDP. What tells them apart is the ICMP sequence or the UDP
 *            checksum: both are in the 8 bytes that every ICMP error quotes. The mark, where it is
 *            quoted too, holds the number again and a token that nobody else can make.
 * Threads    Pure functions; any thread.
 * Source     Augustin et al.: Avoiding traceroute anomalies with Paris traceroute (2006); RFC 792,
 *            4443, 768, 4884 (extensions of ICMP errors), 4950 (MPLS in them).
 */
#ifndef LIBPROBER_TRACE_PACKET_H
#define LIBPROBER_TRACE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/siphash.h"
#include "libprober/icmp_packet.h"

#define TRACE_PACKET_SIZE ICMP_HEAD_SIZE /* of either protocol: an 8 byte header, and the mark */
#define TRACE_LABELS_MAX 8
#define TRACE_NUMBER_MAX 0xfffe /* probes are numbered from 1: a UDP checksum is never 0 */

enum trace_protocol { TRACE_ICMP, TRACE_UDP };

/* What is the same for all probes of a trace. */
struct trace_flow {
    enum trace_protocol protocol;
    struct prober_addr source, target; /* source: for the UDP checksum */
    uint16_t identifier;               /* of ICMP; of UDP the source port */
    uint16_t port;                     /* of UDP: the target's */
    uint16_t checksum;                 /* of ICMP: not 0 or 0xffff */
    struct siphash_key key;            /* of the tokens */
};

/* Writes the ICMP message or UDP datagram of probe `number`, 1..TRACE_NUMBER_MAX. The checksum of
 * ICMPv6 is left to the kernel. */
void trace_write_probe(uint8_t packet[TRACE_PACKET_SIZE], const struct trace_flow *flow,
                       uint16_t number);

/* One entry of an MPLS label stack (RFC 3032). */
struct trace_label {
    uint32_t label; /* 20 bits */
    uint8_t class, ttl;
    bool is_last;
};

enum trace_message {
    TRACE_NO_ANSWER, /* malformed, or of no concern */
    TRACE_ECHO_REPLY,
    TRACE_TTL_EXCEEDED,
    TRACE_UNREACHABLE
};

/* What an ICMP message says. */
struct trace_answer {
    enum trace_message message;
    uint8_t code;                 /* of TRACE_UNREACHABLE */
    enum trace_protocol protocol; /* of the probe that is answered or quoted, as all that follows */
    struct prober_addr target;    /* where it went; NONE in an echo reply */
    uint16_t identifier, port, checksum;
    uint16_t number; /* by the header; 0 where it says none */
    bool is_marked;
    struct icmp_echo mark; /* when is_marked */
    size_t label_count;    /* of the router's MPLS labels, told by an extension */
    struct trace_label labels[TRACE_LABELS_MAX];
};

/* Reads an ICMP message: without the IPv4 header. The checksum is verified for IPv4; the kernel has
 * done so for IPv6. */
void trace_read_answer(enum prober_family family, const uint8_t *message, size_t len,
                       struct trace_answer *out);

/* The number of the flow's probe that is answered; 0 when the answer is to no probe of it. Where
 * the mark is there its token decides; in a short quote all that it holds must agree. */
uint16_t trace_match(const struct trace_flow *flow, const struct trace_answer *answer);

/* What an unreachable says of why: "host unreachable", and in short, as traceroute writes it: "!H". */
const char *trace_unreachable_text(enum prober_family family, uint8_t code);
const char *trace_unreachable_sign(enum prober_family family, uint8_t code);
/* Whether it says that the host is there, and nobody listens at the port. */
bool trace_is_port_unreachable(enum prober_family family, uint8_t code);

#endif
