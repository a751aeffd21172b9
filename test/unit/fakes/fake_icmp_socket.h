/*
 * fake_icmp_socket - sockets that send nothing, remember what they were given, and receive what the
 *                    test lays before them.
 */
#ifndef FAKE_ICMP_SOCKET_H
#define FAKE_ICMP_SOCKET_H

#include "libprober/icmp_socket.h"

#define FAKE_PACKETS_MAX 16384
#define FAKE_MESSAGE_MAX 256

struct fake_packet {
    struct icmp_departure departure;
    uint64_t sent_real_ns;
    uint32_t stamp;
};

/* One host's ICMP, of both families; the test's to read and write. */
struct fake_wire {
    struct fake_packet sent[FAKE_PACKETS_MAX];
    size_t sent_count;
    uint32_t drops;
    int refuse_with; /* errno for the next `refusals` packets */
    size_t refusals;
    bool denied, lacks_ipv6, stamps;
    uint16_t identifier, previous; /* that the receiver lets pass */
    uint64_t mono_ns, real_ns;     /* what the clocks show while sending */
    uint64_t preempted_ns;         /* how long the sender did not run in the midst of it */
    size_t opened, closed;
};

extern struct fake_wire fake_wire;

/* Forgets all. */
void fake_wire_reset(void);

/* The echo reply to a packet that was sent, as it arrives: to be changed at will. */
struct fake_reply {
    struct prober_addr from;
    uint64_t real_ns;
    uint8_t message[FAKE_MESSAGE_MAX];
    size_t len;
};

struct fake_reply fake_reply_to(const struct fake_packet *packet, uint64_t real_ns);
/* Makes its IPv4 checksum right again. */
void fake_reply_seal(struct fake_reply *reply);
void fake_deliver(const struct fake_reply *reply);
/* An ICMP error of this type that quotes `len` bytes of the packet. */
void fake_deliver_error(const struct fake_packet *packet, uint8_t type, size_t len);
void fake_deliver_stamp(uint32_t stamp, uint64_t real_ns);

#endif
