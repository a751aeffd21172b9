#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/trace_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define IS_V6 1
#define IS_SEALED 2 /* the checksum is made right first */

static struct trace_flow flow_of(enum prober_family family, enum trace_protocol protocol)
{
    struct trace_flow flow = {
        .protocol = protocol,
        .identifier = 0x4711,
        .port = 33434,
        .checksum = 0x1234,
        .key = {1, 2},
    };

    prober_addr_parse(family == PROBER_FAMILY_IPV6 ? "2001:db8::9" : "198.51.100.9", &flow.target);
    prober_addr_parse(family == PROBER_FAMILY_IPV6 ? "2001:db8::1" : "192.0.2.1", &flow.source);
    return flow;
}

/* An answer can match one flow at most, and says of it only what lies in its bounds. */
static void check(enum prober_family family, const uint8_t *message, size_t len)
{
    const struct trace_flow icmp = flow_of(family, TRACE_ICMP), udp = flow_of(family, TRACE_UDP);
    struct trace_answer a;
    uint16_t one, other;

    trace_read_answer(family, message, len, &a);
    if (a.label_count > TRACE_LABELS_MAX)
        abort();
    for (size_t i = 0; i < a.label_count; i++)
        if (a.labels[i].label >> 20 || a.labels[i].class > 7)
            abort();
    one = trace_match(&icmp, &a);
    other = trace_match(&udp, &a);
    if ((one && other) || one > TRACE_NUMBER_MAX || other > TRACE_NUMBER_MAX ||
        ((one || other) && a.message == TRACE_NO_ANSWER))
        abort();
    if (a.message == TRACE_UNREACHABLE &&
        (!trace_unreachable_text(family, a.code) || !trace_unreachable_sign(family, a.code)))
        abort();
}

/* The first byte says of which family the rest is, an ICMP message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum prober_family family;
    uint8_t *copy;

    if (len < 1)
        return 0;
    family = data[0] & IS_V6 ? PROBER_FAMILY_IPV6 : PROBER_FAMILY_IPV4;
    copy = malloc(len);
    if (!copy)
        abort();
    len--;
    if (len)
        memcpy(copy, data + 1, len);
    if (data[0] & IS_SEALED && len >= 4) {
        uint16_t sum;

        copy[2] = copy[3] = 0;
        sum = (uint16_t)~icmp_sum(copy, len);
        copy[2] = (uint8_t)(sum >> 8);
        copy[3] = (uint8_t)sum;
    }
    copy = realloc(copy, len ? len : 1);
    if (!copy)
        abort();
    check(family, copy, len);
    free(copy);
    return 0;
}
