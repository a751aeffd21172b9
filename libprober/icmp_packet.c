#include "libprober/icmp_packet.h"

#include <string.h>

static void put16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
    put16(at, (uint16_t)(v >> 16));
    put16(at + 2, (uint16_t)v);
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Eight bytes at a time, in the machine's order: RFC 1071 section 2(B) allows it, with the result's
 * bytes swapped back. */
uint16_t icmp_sum(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 0;
    uint16_t last = 0;

    for (; len >= 4; bytes += 4, len -= 4) {
        uint32_t word;

        memcpy(&word, bytes, 4);
        sum += word;
    }
    for (; len >= 2; bytes += 2, len -= 2) {
        uint16_t half;

        memcpy(&half, bytes, 2);
        sum += half;
    }
    if (len)
        memcpy(&last, bytes, 1);
    last = fold(sum + last);
    return get16((const uint8_t *)&last);
}

void icmp_pattern_fill(uint8_t *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++)
        pattern[i] = (uint8_t)i;
}

uint16_t icmp_pattern_sum(size_t len)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? i & 0xff : (i & 0xff) << 8;
    return fold(sum);
}

uint64_t icmp_token(const struct siphash_key *key, const struct prober_addr *to,
                    const struct icmp_echo *echo)
{
    uint8_t text[32];

    memcpy(text, to->bytes, 16);
    put16(text + 16, echo->identifier);
    put16(text + 18, echo->sequence);
    put32(text + 20, echo->sender);
    put32(text + 24, echo->slot);
    put16(text + 28, echo->generation);
    put16(text + 30, echo->window);
    return siphash24(key, text, sizeof(text));
}

void icmp_write_request(uint8_t head[ICMP_HEAD_SIZE], enum prober_family family,
                        const struct icmp_echo *echo, uint16_t checksum, uint16_t pattern_sum)
{
    uint8_t *mark = head + ICMP_HEADER_SIZE;
    uint16_t wanted = (uint16_t)~checksum, sum;

    head[0] = family == PROBER_FAMILY_IPV6 ? ICMP6_ECHO_REQUEST_TYPE : ICMP4_ECHO_REQUEST;
    head[1] = 0;
    put16(head + 2, 0);
    put16(head + 4, echo->identifier);
    put16(head + 6, echo->sequence);
    put16(mark, ICMP_MARK_MAGIC);
    put16(mark + 2, 0);
    put32(mark + 4, echo->sender);
    put32(mark + 8, echo->slot);
    put16(mark + 12, echo->generation);
    put16(mark + 14, echo->window);
    put32(mark + 16, (uint32_t)(echo->token >> 32));
    put32(mark + 20, (uint32_t)echo->token);
    sum = fold((uint64_t)icmp_sum(head, ICMP_HEAD_SIZE) + pattern_sum);
    put16(mark + 2, fold((uint64_t)wanted + (uint16_t)~sum));
    if (family == PROBER_FAMILY_IPV4)
        put16(head + 2, checksum);
}

const uint8_t *icmp_skip_ipv4(const uint8_t *packet, size_t *len)
{
    size_t header;

    if (*len < 20 || packet[0] >> 4 != 4)
        return NULL;
    header = (size_t)(packet[0] & 15) * 4;
    if (header < 20 || header > *len)
        return NULL;
    *len -= header;
    return packet + header;
}

static enum icmp_reading read_echo(const uint8_t *message, size_t len, struct icmp_echo *echo)
{
    const uint8_t *mark = message + ICMP_HEADER_SIZE;

    memset(echo, 0, sizeof(*echo));
    echo->identifier = get16(message + 4);
    echo->sequence = get16(message + 6);
    if (len < ICMP_HEAD_SIZE || get16(mark) != ICMP_MARK_MAGIC)
        return ICMP_READ_UNMARKED;
    echo->sender = get32(mark + 4);
    echo->slot = get32(mark + 8);
    echo->generation = get16(mark + 12);
    echo->window = get16(mark + 14);
    echo->token = (uint64_t)get32(mark + 16) << 32 | get32(mark + 20);
    return ICMP_READ_MARKED;
}

enum icmp_reading icmp_read_reply(enum prober_family family, const uint8_t *message, size_t len,
                                  struct icmp_echo *echo)
{
    uint8_t type = family == PROBER_FAMILY_IPV6 ? ICMP6_ECHO_REPLY_TYPE : ICMP4_ECHO_REPLY;
    enum icmp_reading reading;

    if (len < ICMP_HEADER_SIZE || message[0] != type || message[1] != 0)
        return ICMP_READ_MALFORMED;
    reading = read_echo(message, len, echo);
    if (family == PROBER_FAMILY_IPV4 && icmp_sum(message, len) != 0xffff)
        return ICMP_READ_CORRUPT;
    return reading;
}

enum icmp_reading icmp_read_request(enum prober_family family, const uint8_t *message, size_t len,
                                    struct icmp_echo *echo)
{
    uint8_t type = family == PROBER_FAMILY_IPV6 ? ICMP6_ECHO_REQUEST_TYPE : ICMP4_ECHO_REQUEST;

    if (len < ICMP_HEADER_SIZE || message[0] != type || message[1] != 0)
        return ICMP_READ_MALFORMED;
    return read_echo(message, len, echo);
}

enum icmp_cause icmp_error_cause(enum prober_family family, uint8_t type)
{
    if (family == PROBER_FAMILY_IPV4)
        return type == 3 ? ICMP_CAUSE_UNREACHABLE : type == 11 ? ICMP_CAUSE_TTL : ICMP_CAUSE_NONE;
    /* 2 is "packet too big", which IPv4 says by a kind of unreachable. */
    return type == 1 || type == 2 ? ICMP_CAUSE_UNREACHABLE
           : type == 3            ? ICMP_CAUSE_TTL
                                  : ICMP_CAUSE_NONE;
}
