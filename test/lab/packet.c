#include "test/lab/packet.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define IPV4_HEADER_MIN 20
#define IPV6_HEADER_LEN 40
#define ICMP_HEADER_LEN 8
#define ROUTER_TTL 64

#define PACKET_CLASS_TEXT(name, text) text,
const char *const packet_class_names[PACKET_CLASS_COUNT] = {PACKET_CLASSES(PACKET_CLASS_TEXT)};
#undef PACKET_CLASS_TEXT

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t sum_words(uint32_t sum, const uint8_t *p, size_t len)
{
    for (; len > 1; p += 2, len -= 2)
        sum += get16(p);
    if (len)
        sum += (uint32_t)p[0] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* RFC 1624: HC' = ~(~HC + ~m + m'). */
static void mend_checksum(uint8_t *checksum, uint16_t before, uint16_t after)
{
    uint32_t sum = (uint16_t)~get16(checksum);

    sum += (uint16_t)~before;
    sum += after;
    put16(checksum, fold(sum));
}

static struct packet_addr address_of(uint8_t family, const uint8_t *bytes)
{
    struct packet_addr addr = {.family = family};

    memcpy(addr.bytes, bytes, family == 4 ? 4 : 16);
    return addr;
}

static enum packet_class classify(const uint8_t *payload, const struct packet_view *v, bool first)
{
    bool icmp6 = v->protocol == IPPROTO_ICMPV6;

    if (v->protocol != IPPROTO_ICMP && !icmp6)
        return PACKET_REST;
    if (!first || v->len <= v->header_len)
        return PACKET_ICMP;
    if (payload[0] == (icmp6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO))
        return PACKET_REQUEST;
    if (payload[0] == (icmp6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
        return PACKET_REPLY;
    return PACKET_ICMP;
}

static bool parse_ipv4(const uint8_t *data, size_t len, struct packet_view *v)
{
    v->header_len = (size_t)(data[0] & 15) * 4;
    if (len < IPV4_HEADER_MIN || v->header_len < IPV4_HEADER_MIN)
        return false;
    v->len = get16(data + 2);
    if (v->len < v->header_len || v->len > len)
        return false;
    v->ttl = data[8];
    v->protocol = data[9];
    v->source = address_of(4, data + 12);
    v->destination = address_of(4, data + 16);
    v->class = classify(data + v->header_len, v, (get16(data + 6) & 0x1fff) == 0);
    return true;
}

static bool parse_ipv6(const uint8_t *data, size_t len, struct packet_view *v)
{
    bool first = true;

    v->header_len = IPV6_HEADER_LEN;
    if (len < IPV6_HEADER_LEN)
        return false;
    v->len = IPV6_HEADER_LEN + (size_t)get16(data + 4);
    if (v->len > len)
        return false;
    v->protocol = data[6];
    v->ttl = data[7];
    v->source = address_of(6, data + 8);
    v->destination = address_of(6, data + 24);
    if (v->protocol == IPPROTO_FRAGMENT && v->len >= IPV6_HEADER_LEN + 8) {
        first = (get16(data + IPV6_HEADER_LEN + 2) & 0xfff8) == 0;
        v->protocol = data[IPV6_HEADER_LEN];
        v->header_len += 8;
    }
    v->class = classify(data + v->header_len, v, first);
    return true;
}

bool packet_parse(const uint8_t *data, size_t len, struct packet_view *out)
{
    *out = (struct packet_view){0};
    if (len < 1)
        return false;
    if (data[0] >> 4 == 4)
        return parse_ipv4(data, len, out);
    return data[0] >> 4 == 6 && parse_ipv6(data, len, out);
}

void packet_age(uint8_t *data, unsigned hops)
{
    uint16_t before = get16(data + 8);

    if (data[0] >> 4 == 6) {
        data[7] = (uint8_t)(data[7] - hops);
        return;
    }
    data[8] = (uint8_t)(data[8] - hops);
    mend_checksum(data + 10, before, get16(data + 8));
}

bool packet_flip_bit(uint8_t *data, const struct packet_view *view, uint64_t dice, bool mend)
{
    uint8_t *payload = data + view->header_len;
    size_t len = view->len - view->header_len, first = 0, at;
    uint16_t before;
    bool echo = view->class == PACKET_REQUEST || view->class == PACKET_REPLY;

    if (echo && mend)
        first = ICMP_HEADER_LEN; /* damage is done to what the ICMP header carries */
    if (len < first + 2)
        return false;
    at = first + (size_t)(dice >> 8) % (len - first);
    if (!echo || !mend) {
        payload[at] ^= (uint8_t)(1 << (dice & 7));
        return true;
    }
    at &= ~(size_t)1;
    if (at + 1 >= len)
        at -= 2;
    before = get16(payload + at);
    payload[at + (dice >> 7 & 1)] ^= (uint8_t)(1 << (dice & 7));
    mend_checksum(payload + 2, before, get16(payload + at));
    return true;
}

static bool is_multicast(const struct packet_addr *addr)
{
    return addr->family == 4 ? addr->bytes[0] >= 224 : addr->bytes[0] == 0xff;
}

static bool may_be_answered(const uint8_t *data, const struct packet_view *view)
{
    if (is_multicast(&view->source) || is_multicast(&view->destination))
        return false;
    if (view->source.family == 4 && (get16(data + 6) & 0x1fff) != 0)
        return false;
    return view->class != PACKET_ICMP;
}

static size_t write_error4(uint8_t *out, enum packet_error kind, const struct packet_addr *from,
                           const uint8_t *data, const struct packet_view *view, size_t quote)
{
    size_t quoted = view->header_len + quote;
    uint8_t *icmp = out + IPV4_HEADER_MIN;
    size_t len;

    if (quoted > view->len)
        quoted = view->len;
    if (quoted > PACKET_QUOTE_MAX)
        quoted = PACKET_QUOTE_MAX;
    len = IPV4_HEADER_MIN + ICMP_HEADER_LEN + quoted;
    memset(out, 0, IPV4_HEADER_MIN + ICMP_HEADER_LEN);
    out[0] = 0x45;
    out[1] = 0xc0; /* RFC 1812 4.3.2.5: errors travel as internetwork control */
    put16(out + 2, (uint16_t)len);
    out[8] = ROUTER_TTL;
    out[9] = IPPROTO_ICMP;
    memcpy(out + 12, from->bytes, 4);
    memcpy(out + 16, view->source.bytes, 4);
    put16(out + 10, fold(sum_words(0, out, IPV4_HEADER_MIN)));
    icmp[0] = kind == PACKET_TIME_EXCEEDED ? ICMP_TIME_EXCEEDED : ICMP_DEST_UNREACH;
    icmp[1] = kind == PACKET_TIME_EXCEEDED ? ICMP_EXC_TTL : ICMP_HOST_UNREACH;
    memcpy(icmp + ICMP_HEADER_LEN, data, quoted);
    put16(icmp + 2, fold(sum_words(0, icmp, ICMP_HEADER_LEN + quoted)));
    return len;
}

static size_t write_error6(uint8_t *out, enum packet_error kind, const struct packet_addr *from,
                           const uint8_t *data, const struct packet_view *view)
{
    size_t quoted = view->len < PACKET_QUOTE_MAX ? view->len : PACKET_QUOTE_MAX;
    size_t payload = ICMP_HEADER_LEN + quoted;
    uint8_t *icmp = out + IPV6_HEADER_LEN;
    uint32_t sum;

    memset(out, 0, IPV6_HEADER_LEN + ICMP_HEADER_LEN);
    out[0] = 0x60;
    put16(out + 4, (uint16_t)payload);
    out[6] = IPPROTO_ICMPV6;
    out[7] = ROUTER_TTL;
    memcpy(out + 8, from->bytes, 16);
    memcpy(out + 24, view->source.bytes, 16);
    icmp[0] = kind == PACKET_TIME_EXCEEDED ? ICMP6_TIME_EXCEEDED : ICMP6_DST_UNREACH;
    icmp[1] = kind == PACKET_TIME_EXCEEDED ? ICMP6_TIME_EXCEED_TRANSIT : ICMP6_DST_UNREACH_ADDR;
    memcpy(icmp + ICMP_HEADER_LEN, data, quoted);
    sum = sum_words((uint32_t)payload + IPPROTO_ICMPV6, out + 8, 32);
    put16(icmp + 2, fold(sum_words(sum, icmp, payload)));
    return IPV6_HEADER_LEN + payload;
}

size_t packet_write_error(uint8_t *out, enum packet_error kind, const struct packet_addr *from,
                          const uint8_t *data, const struct packet_view *view, size_t quote)
{
    if (from->family != view->source.family || !may_be_answered(data, view))
        return 0;
    if (from->family == 4)
        return write_error4(out, kind, from, data, view, quote);
    return write_error6(out, kind, from, data, view);
}
