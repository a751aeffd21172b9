#include "test/unit/fakes/fake_icmp_socket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct icmp_socket {
    enum prober_family family;
    const uint8_t *pattern;
    bool forced;
    uint32_t sent;
};

struct fake_error {
    struct icmp_event event;
    uint8_t quote[FAKE_MESSAGE_MAX];
};

struct fake_wire fake_wire;
static struct fake_reply replies[FAKE_PACKETS_MAX];
static size_t replies_in, replies_out;
static struct fake_error errors[FAKE_PACKETS_MAX];
static size_t errors_in, errors_out;

void fake_wire_reset(void)
{
    memset(&fake_wire, 0, sizeof(fake_wire));
    replies_in = replies_out = errors_in = errors_out = 0;
}

enum prober_error icmp_socket_open(struct icmp_socket **out, enum prober_family family,
                                   uint16_t identifier, bool forced, size_t receive_buffer,
                                   const uint8_t *pattern, struct prober_failure *why)
{
    (void)receive_buffer;
    if (fake_wire.denied)
        return prober_fail(why, PROBER_ERR_DENIED, "denied");
    if (fake_wire.lacks_ipv6 && family == PROBER_FAMILY_IPV6)
        return prober_fail(why, PROBER_ERR_UNSUPPORTED, "no IPv6");
    *out = calloc(1, sizeof(**out));
    (*out)->family = family;
    (*out)->pattern = pattern;
    (*out)->forced = forced;
    fake_wire.identifier = fake_wire.previous = identifier;
    fake_wire.opened++;
    return PROBER_OK;
}

uint16_t icmp_socket_identifier(const struct icmp_socket *s)
{
    (void)s;
    return fake_wire.identifier;
}

bool icmp_socket_set_identifier(struct icmp_socket *s, uint16_t identifier, uint16_t previous)
{
    (void)s;
    fake_wire.identifier = identifier;
    fake_wire.previous = previous;
    return true;
}

bool icmp_socket_set_stamps(struct icmp_socket *s, bool on)
{
    (void)s;
    fake_wire.stamps = on;
    return true;
}

struct icmp_departed icmp_socket_send(struct icmp_socket *s, const struct icmp_departure *list,
                                      size_t n)
{
    struct icmp_departed d = {.mono_ns = fake_wire.mono_ns,
                              .before_ns = fake_wire.real_ns,
                              .after_ns = fake_wire.real_ns + fake_wire.preempted_ns,
                              .stamp = s->sent};

    for (; d.count < n && fake_wire.refusals == 0; d.count++) {
        assert(fake_wire.sent_count < FAKE_PACKETS_MAX);
        fake_wire.sent[fake_wire.sent_count++] = (struct fake_packet){
            .departure = list[d.count], .sent_real_ns = fake_wire.real_ns, .stamp = s->sent++};
    }
    if (d.count < n) {
        fake_wire.refusals--;
        d.error = fake_wire.refuse_with;
    }
    return d;
}

static enum prober_family family_of(const struct prober_addr *a)
{
    return (enum prober_family)a->family;
}

size_t icmp_socket_receive(struct icmp_socket *s, struct icmp_arriving *list)
{
    size_t n = 0;

    while (n < ICMP_SOCKET_BATCH && replies_out < replies_in &&
           family_of(&replies[replies_out].from) == s->family) {
        struct fake_reply *r = &replies[replies_out++];

        list[n++] = (struct icmp_arriving){r->from, r->real_ns, r->message, r->len};
    }
    return n;
}

size_t icmp_socket_events(struct icmp_socket *s, struct icmp_event *list, bool *drained)
{
    size_t n = 0;

    while (
        n < ICMP_SOCKET_BATCH && errors_out < errors_in &&
        (errors[errors_out].event.is_stamp || family_of(&errors[errors_out].event.to) == s->family))
        list[n++] = errors[errors_out++].event;
    *drained = n < ICMP_SOCKET_BATCH;
    return n;
}

uint32_t icmp_socket_drops(const struct icmp_socket *s)
{
    (void)s;
    return fake_wire.drops;
}

void icmp_socket_close(struct icmp_socket *s)
{
    fake_wire.closed += s != NULL;
    free(s);
}

void fake_reply_seal(struct fake_reply *reply)
{
    uint16_t sum;

    if (reply->from.family != PROBER_FAMILY_IPV4)
        return;
    reply->message[2] = reply->message[3] = 0;
    sum = (uint16_t)~icmp_sum(reply->message, reply->len);
    reply->message[2] = (uint8_t)(sum >> 8);
    reply->message[3] = (uint8_t)sum;
}

struct fake_reply fake_reply_to(const struct fake_packet *packet, uint64_t real_ns)
{
    const struct icmp_departure *d = &packet->departure;
    struct fake_reply r = {.from = d->to, .real_ns = real_ns};

    assert(d->pattern_len <= FAKE_MESSAGE_MAX - ICMP_HEAD_SIZE);
    memcpy(r.message, d->head, ICMP_HEAD_SIZE);
    icmp_pattern_fill(r.message + ICMP_HEAD_SIZE, d->pattern_len);
    r.len = ICMP_HEAD_SIZE + d->pattern_len;
    r.message[0] = d->to.family == PROBER_FAMILY_IPV6 ? ICMP6_ECHO_REPLY_TYPE : ICMP4_ECHO_REPLY;
    fake_reply_seal(&r);
    return r;
}

void fake_deliver(const struct fake_reply *reply)
{
    assert(replies_in < FAKE_PACKETS_MAX);
    replies[replies_in++] = *reply;
}

void fake_deliver_error(const struct fake_packet *packet, uint8_t type, size_t len)
{
    struct fake_error *e = &errors[errors_in++];

    assert(errors_in < FAKE_PACKETS_MAX && len <= ICMP_HEAD_SIZE);
    memcpy(e->quote, packet->departure.head, len);
    e->event = (struct icmp_event){
        .to = packet->departure.to, .type = type, .quote = e->quote, .len = len};
}

void fake_deliver_stamp(uint32_t stamp, uint64_t real_ns)
{
    assert(errors_in < FAKE_PACKETS_MAX - 1);
    errors[errors_in++].event =
        (struct icmp_event){.is_stamp = true, .stamp = stamp, .real_ns = real_ns};
}
