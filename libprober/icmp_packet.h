/*
 * icmp_packet - echo requests and replies as bytes: building, reading, our mark, checksums.
 *
 * Purpose    A probe is an ICMP echo request (RFC 792, RFC 4443) whose payload begins with our mark:
 *
 *              offset 0  2  magic "PM"
 *                     2  2  compensation: makes the checksum the same for all probes to a target
 *                     4  4  sender: the agent's number, for the agent that is probed; 0: none
 *                     8  4  slot of the probe in flight
 *                    12  2  generation of the slot
 *                    14  2  low half of the window's number
 *                    16  8  token: SipHash-2-4 of address, identifier, sequence and the mark above
 *
 *            all in network order; a fixed pattern follows (byte i of it is i mod 256).
 * Threads    Pure functions; any thread.
 */
#ifndef LIBPROBER_ICMP_PACKET_H
#define LIBPROBER_ICMP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/siphash.h"

#define ICMP_HEADER_SIZE 8
#define ICMP_MARK_SIZE 24
#define ICMP_HEAD_SIZE (ICMP_HEADER_SIZE + ICMP_MARK_SIZE)
#define ICMP_MARK_MAGIC 0x504d

#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST_TYPE 128
#define ICMP6_ECHO_REPLY_TYPE 129

/* What the head of a probe (header and mark) says. */
struct icmp_echo {
    uint16_t identifier, sequence;
    uint32_t sender, slot;
    uint16_t generation, window;
    uint64_t token;
};

enum icmp_reading {
    ICMP_READ_MARKED,   /* an echo with our mark: the token is not verified yet */
    ICMP_READ_UNMARKED, /* an echo of another program: identifier and sequence are filled in */
    ICMP_READ_CORRUPT,  /* an echo with a wrong checksum: identifier and sequence as they are */
    ICMP_READ_MALFORMED /* too short, or no echo */
};

/* Fills pattern[len], and the one's complement sum of it (RFC 1071). */
void icmp_pattern_fill(uint8_t *pattern, size_t len);
uint16_t icmp_pattern_sum(size_t len);

/* The token of a probe to `to`, made of all other members of *echo. */
uint64_t icmp_token(const struct siphash_key *key, const struct prober_addr *to,
                    const struct icmp_echo *echo);

/* Writes the head of an echo request: *echo with its token, compensated so that the checksum is
 * `checksum` (not 0 or 0xffff). pattern_sum: of what follows the head. In IPv6 the kernel fills in
 * the checksum (it covers the addresses too), which is then as constant. */
void icmp_write_request(uint8_t head[ICMP_HEAD_SIZE], enum prober_family family,
                        const struct icmp_echo *echo, uint16_t checksum, uint16_t pattern_sum);

/* Steps over the IPv4 header that a raw socket delivers: the ICMP message in it, *len shortened;
 * NULL when there is none. */
const uint8_t *icmp_skip_ipv4(const uint8_t *packet, size_t *len);

/* Reads an echo reply. The checksum is verified for IPv4; the kernel has done so for IPv6. */
enum icmp_reading icmp_read_reply(enum prober_family family, const uint8_t *message, size_t len,
                                  struct icmp_echo *echo);
/* Reads an echo request that arrived here, or the beginning of one that an ICMP error quotes (8 bytes
 * or more; UNMARKED when the mark is cut off). No checksum is verified. */
enum icmp_reading icmp_read_request(enum prober_family family, const uint8_t *message, size_t len,
                                    struct icmp_echo *echo);

/* What an ICMP error means for a probe. */
enum icmp_cause { ICMP_CAUSE_NONE, ICMP_CAUSE_UNREACHABLE, ICMP_CAUSE_TTL };
/* NONE for errors that say nothing about the probe's fate. */
enum icmp_cause icmp_error_cause(enum prober_family family, uint8_t type);

/* The one's complement sum of bytes, folded to 16 bits, not inverted. */
uint16_t icmp_sum(const uint8_t *bytes, size_t len);

#endif
