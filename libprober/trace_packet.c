#include "libprober/trace_packet.h"

#include <netinet/in.h>
#include <string.h>

#include "common/array.h"

#define IPV4_HEADER_MIN 20
#define IPV6_HEADER 40
#define ERROR_HEADER 8
#define EXTENSION_HEADER 4
#define OBJECT_HEADER 4
/* RFC 4884 5.5: where the extension is of routers that do not say how much they quote. */
#define UNTOLD_QUOTE 128
#define MPLS_STACK_CLASS 1
#define MPLS_INCOMING_STACK 1
#define LABEL_SIZE 4

static void put16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint16_t add(uint16_t a, uint16_t b)
{
    uint32_t sum = (uint32_t)a + b;

    return (uint16_t)(sum + (sum >> 16));
}

/* ---- probes ---- */

static struct icmp_echo echo_of(const struct trace_flow *flow, uint16_t number)
{
    struct icmp_echo echo = {
        .identifier = flow->identifier,
        .sequence = number,
        .window = number,
    };

    echo.token = icmp_token(&flow->key, &flow->target, &echo);
    return echo;
}

/* The pseudo header's part of a UDP checksum. The length of 32 bits of IPv6 sums to the same. */
static uint16_t pseudo_sum(const struct trace_flow *flow)
{
    size_t size = flow->target.family == PROBER_FAMILY_IPV4 ? 4 : 16;
    uint16_t sum = add(icmp_sum(flow->source.bytes, size), icmp_sum(flow->target.bytes, size));

    return add(sum, add(IPPROTO_UDP, TRACE_PACKET_SIZE));
}

/* Turns what was written as an echo request into a datagram whose checksum is `number`. */
static void make_udp(uint8_t packet[TRACE_PACKET_SIZE], const struct trace_flow *flow,
                     uint16_t number)
{
    uint8_t *compensation = packet + ICMP_HEADER_SIZE + 2;
    uint16_t sum;

    put16(packet, flow->identifier);
    put16(packet + 2, flow->port);
    put16(packet + 4, TRACE_PACKET_SIZE);
    put16(packet + 6, 0);
    put16(compensation, 0);
    sum = add(icmp_sum(packet, TRACE_PACKET_SIZE), pseudo_sum(flow));
    put16(compensation, add((uint16_t)~number, (uint16_t)~sum));
    put16(packet + 6, number);
}

void trace_write_probe(uint8_t packet[TRACE_PACKET_SIZE], const struct trace_flow *flow,
                       uint16_t number)
{
    const struct icmp_echo echo = echo_of(flow, number);

    icmp_write_request(packet, (enum prober_family)flow->target.family, &echo, flow->checksum, 0);
    if (flow->protocol == TRACE_UDP)
        make_udp(packet, flow, number);
}

/* ---- answers ---- */

static bool is_v6(enum prober_family family)
{
    return family == PROBER_FAMILY_IPV6;
}

static void read_mark(struct trace_answer *out, enum prober_family family, const uint8_t *header,
                      size_t len)
{
    uint8_t request[TRACE_PACKET_SIZE];

    if (len < TRACE_PACKET_SIZE)
        return;
    memcpy(request, header, TRACE_PACKET_SIZE);
    request[0] = is_v6(family) ? ICMP6_ECHO_REQUEST_TYPE : ICMP4_ECHO_REQUEST;
    request[1] = 0;
    out->is_marked =
        icmp_read_request(family, request, TRACE_PACKET_SIZE, &out->mark) == ICMP_READ_MARKED;
}

/* The beginning of our probe, 8 bytes or more. */
static bool read_probe(struct trace_answer *out, enum prober_family family, uint8_t protocol,
                       const uint8_t *header, size_t len)
{
    if (len < ICMP_HEADER_SIZE)
        return false;
    if (protocol == IPPROTO_UDP) {
        out->protocol = TRACE_UDP;
        out->identifier = get16(header);
        out->port = get16(header + 2);
        out->number = out->checksum = get16(header + 6);
    } else {
        if (protocol != (is_v6(family) ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
            header[0] != (is_v6(family) ? ICMP6_ECHO_REQUEST_TYPE : ICMP4_ECHO_REQUEST) ||
            header[1] != 0)
            return false;
        out->protocol = TRACE_ICMP;
        out->checksum = get16(header + 2);
        out->identifier = get16(header + 4);
        out->number = get16(header + 6);
    }
    read_mark(out, family, header, len);
    return true;
}

static bool read_quote4(struct trace_answer *out, const uint8_t *quote, size_t len)
{
    size_t rest = len;
    const uint8_t *header = icmp_skip_ipv4(quote, &rest);

    if (!header || (get16(quote + 6) & 0x1fff) != 0) /* a later fragment */
        return false;
    out->target.family = PROBER_FAMILY_IPV4;
    memcpy(out->target.bytes, quote + 16, 4);
    return read_probe(out, PROBER_FAMILY_IPV4, quote[9], header, rest);
}

static bool read_quote6(struct trace_answer *out, const uint8_t *quote, size_t len)
{
    if (len < IPV6_HEADER || quote[0] >> 4 != 6)
        return false;
    out->target.family = PROBER_FAMILY_IPV6;
    memcpy(out->target.bytes, quote + 24, 16);
    return read_probe(out, PROBER_FAMILY_IPV6, quote[6], quote + IPV6_HEADER, len - IPV6_HEADER);
}

static void read_labels(struct trace_answer *out, const uint8_t *entries, size_t len)
{
    for (; len >= LABEL_SIZE && out->label_count < TRACE_LABELS_MAX; entries += LABEL_SIZE) {
        out->labels[out->label_count++] = (struct trace_label){
            .label = (uint32_t)get16(entries) << 4 | entries[2] >> 4,
            .class = entries[2] >> 1 & 7,
            .is_last = entries[2] & 1,
            .ttl = entries[3],
        };
        len -= LABEL_SIZE;
    }
}

static void read_extension(struct trace_answer *out, const uint8_t *extension, size_t len)
{
    if (len < EXTENSION_HEADER || extension[0] >> 4 != 2 || get16(extension + 2) == 0 ||
        icmp_sum(extension, len) != 0xffff)
        return;
    for (size_t at = EXTENSION_HEADER; len - at >= OBJECT_HEADER;) {
        const uint8_t *object = extension + at;
        size_t size = get16(object);

        if (size < OBJECT_HEADER || size > len - at)
            return;
        if (object[2] == MPLS_STACK_CLASS && object[3] == MPLS_INCOMING_STACK)
            read_labels(out, object + OBJECT_HEADER, size - OBJECT_HEADER);
        at += size;
    }
}

/* Cuts the quote off where its router says that it ends, and reads what follows. */
static size_t split_extension(struct trace_answer *out, enum prober_family family,
                              const uint8_t *message, size_t len)
{
    size_t quoted = is_v6(family) ? (size_t)message[4] * 8 : (size_t)message[5] * 4;
    size_t rest = len - ERROR_HEADER;

    if (quoted > rest)
        return rest;
    if (quoted >= UNTOLD_QUOTE || (quoted == 0 && rest > UNTOLD_QUOTE)) {
        size_t at = ERROR_HEADER + (quoted ? quoted : UNTOLD_QUOTE);

        read_extension(out, message + at, len - at);
    }
    return quoted ? quoted : rest;
}

static enum trace_message kind_of(enum prober_family family, uint8_t type, uint8_t code)
{
    if (type == (is_v6(family) ? ICMP6_ECHO_REPLY_TYPE : ICMP4_ECHO_REPLY))
        return code == 0 ? TRACE_ECHO_REPLY : TRACE_NO_ANSWER;
    switch (icmp_error_cause(family, type)) {
    case ICMP_CAUSE_TTL:
        return code == 0 ? TRACE_TTL_EXCEEDED : TRACE_NO_ANSWER;
    case ICMP_CAUSE_UNREACHABLE:
        return is_v6(family) && type != 1 ? TRACE_NO_ANSWER : TRACE_UNREACHABLE;
    default:
        return TRACE_NO_ANSWER;
    }
}

static bool read_error(struct trace_answer *out, enum prober_family family, const uint8_t *message,
                       size_t len)
{
    size_t quoted = split_extension(out, family, message, len);

    return is_v6(family) ? read_quote6(out, message + ERROR_HEADER, quoted)
                         : read_quote4(out, message + ERROR_HEADER, quoted);
}

static bool read_reply(struct trace_answer *out, enum prober_family family, const uint8_t *message,
                       size_t len)
{
    out->protocol = TRACE_ICMP;
    out->identifier = get16(message + 4);
    out->number = get16(message + 6);
    read_mark(out, family, message, len);
    return true;
}

void trace_read_answer(enum prober_family family, const uint8_t *message, size_t len,
                       struct trace_answer *out)
{
    enum trace_message kind;

    memset(out, 0, sizeof(*out));
    if (len < ERROR_HEADER || (!is_v6(family) && icmp_sum(message, len) != 0xffff))
        return;
    kind = kind_of(family, message[0], message[1]);
    if (kind == TRACE_NO_ANSWER)
        return;
    if (kind == TRACE_ECHO_REPLY ? !read_reply(out, family, message, len)
                                 : !read_error(out, family, message, len))
        return;
    out->message = kind;
    out->code = message[1];
}

static bool has_token(const struct trace_flow *flow, const struct trace_answer *answer)
{
    const struct icmp_echo expected = echo_of(flow, answer->mark.window);

    return answer->mark.sender == 0 && answer->mark.slot == 0 && answer->mark.generation == 0 &&
           answer->mark.token == expected.token;
}

static bool agrees(const struct trace_flow *flow, const struct trace_answer *answer)
{
    if (!prober_addr_equal(&answer->target, &flow->target))
        return false;
    if (flow->protocol == TRACE_UDP)
        return answer->port == flow->port;
    /* In IPv6 the kernel has made the checksum. */
    return flow->target.family == PROBER_FAMILY_IPV6 || answer->checksum == flow->checksum;
}

uint16_t trace_match(const struct trace_flow *flow, const struct trace_answer *answer)
{
    uint16_t number = answer->number;
    struct trace_answer local = *answer;

    if (answer->message == TRACE_NO_ANSWER || answer->protocol != flow->protocol ||
        answer->identifier != flow->identifier)
        return 0;
    if (answer->is_marked) {
        number = answer->mark.window;
        if (!has_token(flow, answer))
            return 0;
    } else {
        local.target.scope = flow->target.scope;
        if (answer->message == TRACE_ECHO_REPLY || !agrees(flow, &local))
            return 0;
    }
    return number <= TRACE_NUMBER_MAX ? number : 0;
}

/* ---- words ---- */

struct reason {
    const char *text, *sign;
};

static const struct reason unknown_reason = {"unreachable", "!?"};

static const struct reason *reason_of(enum prober_family family, uint8_t code)
{
    static const struct reason v4[] = {
        {"network unreachable", "!N"},
        {"host unreachable", "!H"},
        {"protocol unreachable", "!P"},
        {"port unreachable", "!p"},
        {"fragmentation needed", "!F"},
        {"source route failed", "!S"},
        {"network unknown", "!U"},
        {"host unknown", "!W"},
        {"host isolated", "!I"},
        {"network prohibited", "!A"},
        {"host prohibited", "!Z"},
        {"network unreachable for this service", "!Q"},
        {"host unreachable for this service", "!T"},
        {"administratively prohibited", "!X"},
        {"host precedence violation", "!V"},
        {"precedence cutoff", "!C"},
    };
    static const struct reason v6[] = {
        {"no route", "!N"},
        {"administratively prohibited", "!X"},
        {"beyond the scope of the source address", "!S"},
        {"address unreachable", "!H"},
        {"port unreachable", "!p"},
        {"source address refused", "!A"},
        {"route rejected", "!R"},
    };

    if (is_v6(family))
        return code < ARRAY_LEN(v6) ? &v6[code] : &unknown_reason;
    return code < ARRAY_LEN(v4) ? &v4[code] : &unknown_reason;
}

const char *trace_unreachable_text(enum prober_family family, uint8_t code)
{
    return reason_of(family, code)->text;
}

const char *trace_unreachable_sign(enum prober_family family, uint8_t code)
{
    return reason_of(family, code)->sign;
}

bool trace_is_port_unreachable(enum prober_family family, uint8_t code)
{
    return code == (is_v6(family) ? 4 : 3);
}
