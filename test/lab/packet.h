/*
 * packet - what the emulator must know of IP packets, and the ICMP errors that routers write.
 *
 * Threads    Pure functions; any thread.
 * Sources    RFC 791, 792, 1624 (incremental checksums), 4443, 8200.
 */
#ifndef LAB_PACKET_H
#define LAB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 65536

/* X(name, text): the kinds of packets that have a fate and counters of their own. */
#define PACKET_CLASSES(X)                                                                          \
    X(REQUEST, "request") /* ICMP and ICMPv6 echo requests */                                      \
    X(REPLY, "reply")     /* echo replies */                                                       \
    X(ICMP, "icmp")       /* every other ICMP packet, and later fragments of any */                \
    X(REST, "rest")       /* everything else */

#define PACKET_CLASS_NAME(name, text) PACKET_##name,
enum packet_class { PACKET_CLASSES(PACKET_CLASS_NAME) PACKET_CLASS_COUNT };
#undef PACKET_CLASS_NAME

extern const char *const packet_class_names[PACKET_CLASS_COUNT];

/* An address of either family: 16 bytes, an IPv4 address in the first 4, the rest zero. */
struct packet_addr {
    uint8_t family; /* 4 or 6 */
    uint8_t bytes[16];
};

struct packet_view {
    uint8_t protocol;
    uint8_t ttl;
    enum packet_class class;
    size_t header_len; /* of the IP header */
    size_t len;        /* header and payload, as the header says */
    struct packet_addr source, destination;
};

/* Looks at data[len], which starts with an IP header. False when it is no whole IP packet. */
bool packet_parse(const uint8_t *data, size_t len, struct packet_view *out);

/* Lowers the TTL (hop limit) by `hops`, which must be less than the TTL, and mends the checksum. */
void packet_age(uint8_t *data, unsigned hops);

/* Inverts one bit after the IP header, chosen by `dice`. With `mend`, it is one of what an echo
 * carries, and the checksum is made right again, so that only its reader can notice. Leaves packets
 * without payload alone; false then. */
bool packet_flip_bit(uint8_t *data, const struct packet_view *view, uint64_t dice, bool mend);

enum packet_error { PACKET_HOST_UNREACHABLE, PACKET_TIME_EXCEEDED };

#define PACKET_QUOTE_MAX 1232 /* so that an ICMPv6 error fits into the minimum MTU */
#define PACKET_ERROR_MAX (40 + 8 + PACKET_QUOTE_MAX)

/* Writes to out[PACKET_ERROR_MAX] the ICMP error that a router at `from` (of the packet's family)
 * answers data[] with. It quotes the IP header and `quote` bytes more in IPv4, as much as fits in
 * IPv6. Returns its length; 0 when no error may be sent about such a packet: an ICMP error, a later
 * fragment, a packet from or to a multicast address. */
size_t packet_write_error(uint8_t *out, enum packet_error kind, const struct packet_addr *from,
                          const uint8_t *data, const struct packet_view *view, size_t quote);

#endif
