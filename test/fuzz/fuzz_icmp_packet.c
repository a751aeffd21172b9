#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/icmp_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What was read must be what the bytes say: written again as a request it reads the same. */
static void expect_rewritten(enum prober_family family, const struct icmp_echo *echo)
{
    uint8_t head[ICMP_HEAD_SIZE];
    struct icmp_echo again;

    icmp_write_request(head, family, echo, 0x1234, icmp_pattern_sum(40));
    if (icmp_read_request(family, head, sizeof(head), &again) != ICMP_READ_MARKED ||
        again.identifier != echo->identifier || again.sequence != echo->sequence ||
        again.sender != echo->sender || again.slot != echo->slot ||
        again.generation != echo->generation || again.window != echo->window ||
        again.token != echo->token)
        abort();
}

static void read_message(enum prober_family family, const uint8_t *message, size_t len)
{
    struct icmp_echo echo;

    if (icmp_read_reply(family, message, len, &echo) == ICMP_READ_MARKED)
        expect_rewritten(family, &echo);
    if (icmp_read_request(family, message, len, &echo) == ICMP_READ_MARKED)
        expect_rewritten(family, &echo);
    if (len > 0)
        (void)icmp_error_cause(family, message[0]);
}

/* One packet as a raw IPv4 socket delivers it, as a bare ICMP message, and as the beginning of one
 * that an ICMP error quotes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    const uint8_t *inner;
    size_t inner_len = len;

    if (!copy)
        abort();
    if (len)
        memcpy(copy, data, len);
    inner = icmp_skip_ipv4(copy, &inner_len);
    if (inner && (inner < copy || inner + inner_len != copy + len))
        abort();
    if (inner)
        read_message(PROBER_FAMILY_IPV4, inner, inner_len);
    read_message(PROBER_FAMILY_IPV4, copy, len);
    read_message(PROBER_FAMILY_IPV6, copy, len);
    (void)icmp_sum(copy, len);
    free(copy);
    return 0;
}
