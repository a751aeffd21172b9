/*
 * icmp_socket - the kernel's side of ICMP echo for one address family.
 *
 * Purpose    Two raw sockets: one sends and yields ICMP errors and transmit timestamps, and receives
 *            nothing; the other receives echo replies that bear the identifier, with the kernel's
 *            receive timestamps. Without CAP_NET_RAW one unprivileged ping socket does both, where
 *            the system allows it; the kernel then chooses the identifier.
 * Threads    None of its own; one thread owns it. Never blocks.
 * Ownership  Owns the sockets and the buffers that received bytes are in.
 * Source     raw(7), icmp(7), ip(7), ipv6(7); Documentation/networking/timestamping.
 */
#ifndef LIBPROBER_ICMP_SOCKET_H
#define LIBPROBER_ICMP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/icmp_packet.h"

#define ICMP_SOCKET_BATCH 64

struct icmp_socket;

/* identifier: to be used, 1..65535; the ping socket takes it if it can when `forced`. pattern[65536]:
 * what follows the head of a probe, borrowed. Errors: PROBER_ERR_DENIED (with how to grant
 * CAP_NET_RAW), _UNSUPPORTED (the host lacks the family), _NOMEM, _IO. */
enum prober_error icmp_socket_open(struct icmp_socket **out, enum prober_family family,
                                   uint16_t identifier, bool forced, size_t receive_buffer,
                                   const uint8_t *pattern, struct prober_failure *why);
/* What the packets must bear. */
uint16_t icmp_socket_identifier(const struct icmp_socket *s);
/* Receives replies with either identifier from now on. False when that is not possible: the ping
 * socket's identifier is the kernel's. */
bool icmp_socket_set_identifier(struct icmp_socket *s, uint16_t identifier, uint16_t previous);
/* Transmit timestamps on or off. False when the system has none. */
bool icmp_socket_set_stamps(struct icmp_socket *s, bool on);

struct icmp_departure {
    struct prober_addr to;
    size_t pattern_len; /* bytes after the head */
    uint8_t head[ICMP_HEAD_SIZE];
};

struct icmp_departed {
    size_t count;                 /* how many the kernel took, the first ones */
    int error;                    /* errno for the next one; 0 when all are gone */
    uint64_t mono_ns;             /* monotonic, before it */
    uint64_t before_ns, after_ns; /* realtime, around it */
    uint32_t stamp;               /* number of the first one's transmit timestamp */
};

/* Sends list[n], n: 1..ICMP_SOCKET_BATCH, in order. Errors that belong to other packets (the kernel
 * reports them here) are skipped. */
struct icmp_departed icmp_socket_send(struct icmp_socket *s, const struct icmp_departure *list,
                                      size_t n);

struct icmp_arriving {
    struct prober_addr from;
    uint64_t real_ns; /* the kernel's; 0: none */
    const uint8_t
        *message; /* the ICMP message; NULL when there is none. Valid until the next call */
    size_t len;
};

/* Up to ICMP_SOCKET_BATCH packets into list; 0: drained. */
size_t icmp_socket_receive(struct icmp_socket *s, struct icmp_arriving *list);

struct icmp_event {
    bool is_stamp;
    uint32_t stamp;        /* of a transmit timestamp: its number, */
    uint64_t real_ns;      /* and the time */
    struct prober_addr to; /* of an ICMP error: where the packet that it quotes went, */
    uint8_t type;          /* its type, */
    const uint8_t *quote;  /* and what it quotes. Valid until the next call */
    size_t len;
};

/* Up to ICMP_SOCKET_BATCH events into list, those of no interest left out; *drained when there are
 * no more. */
size_t icmp_socket_events(struct icmp_socket *s, struct icmp_event *list, bool *drained);

/* Packets that the receiving socket dropped so far; wraps. */
uint32_t icmp_socket_drops(const struct icmp_socket *s);
/* NULL is fine. */
void icmp_socket_close(struct icmp_socket *s);

#endif
