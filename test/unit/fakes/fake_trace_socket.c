#include "test/unit/fakes/fake_trace_socket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"

struct trace_ear {
    enum prober_family family;
    int fd; /* only something that epoll takes */
};

struct trace_mouth {
    struct trace_flow flow;
};

struct fake_hosts fake_hosts;
static struct fake_message messages[FAKE_PROBES_MAX];
static size_t messages_in, messages_out;

void fake_hosts_reset(void)
{
    memset(&fake_hosts, 0, sizeof(fake_hosts));
    messages_in = messages_out = 0;
}

enum prober_error trace_ear_open(struct trace_ear **out, enum prober_family family, uint16_t block,
                                 struct prober_failure *why)
{
    if (fake_hosts.denied)
        return prober_fail(why, PROBER_ERR_DENIED, "denied");
    *out = calloc(1, sizeof(**out));
    (*out)->family = family;
    (*out)->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fake_hosts.block = block;
    fake_hosts.ears++;
    return PROBER_OK;
}

int trace_ear_fd(const struct trace_ear *e)
{
    return e->fd;
}

size_t trace_ear_receive(struct trace_ear *e, struct trace_arriving *list)
{
    size_t n = 0;

    while (n < TRACE_EAR_BATCH && messages_out < messages_in &&
           messages[messages_out].from.family == e->family) {
        const struct fake_message *m = &messages[messages_out++];

        list[n++] = (struct trace_arriving){m->from, m->real_ns, m->bytes, m->len};
    }
    return n;
}

uint32_t trace_ear_drops(const struct trace_ear *e)
{
    (void)e;
    return fake_hosts.drops;
}

void trace_ear_close(struct trace_ear *e)
{
    if (!e)
        return;
    close(e->fd);
    fake_hosts.ears--;
    free(e);
}

enum prober_error trace_mouth_open(struct trace_mouth **out, struct trace_flow *flow,
                                   struct prober_failure *why)
{
    bool v6 = flow->target.family == PROBER_FAMILY_IPV6;

    if (fake_hosts.no_route)
        return prober_fail(why, PROBER_ERR_UNREACHABLE, "no way there");
    prober_addr_parse(v6 ? "2001:db8::1" : "192.0.2.1", &flow->source);
    if (flow->protocol == TRACE_UDP)
        flow->identifier = (uint16_t)(40000 + fake_hosts.mouths);
    *out = calloc(1, sizeof(**out));
    (*out)->flow = *flow;
    fake_hosts.mouths++;
    return PROBER_OK;
}

int trace_mouth_send(struct trace_mouth *m, uint8_t ttl, const uint8_t packet[TRACE_PACKET_SIZE],
                     uint64_t *real_ns)
{
    struct fake_probe *p = &fake_hosts.sent[fake_hosts.sent_count];

    if (fake_hosts.refusals) {
        fake_hosts.refusals--;
        return fake_hosts.refuse_with;
    }
    assert(fake_hosts.sent_count++ < FAKE_PROBES_MAX);
    *p = (struct fake_probe){.flow = m->flow, .ttl = ttl, .real_ns = fake_hosts.real_ns};
    memcpy(p->packet, packet, TRACE_PACKET_SIZE);
    *real_ns = fake_hosts.real_ns ? fake_hosts.real_ns : clock_realtime_ns();
    return 0;
}

void trace_mouth_close(struct trace_mouth *m)
{
    fake_hosts.mouths -= m != NULL;
    free(m);
}

void fake_seal(struct fake_message *m)
{
    uint16_t sum;

    if (m->from.family != PROBER_FAMILY_IPV4)
        return;
    m->bytes[2] = m->bytes[3] = 0;
    sum = (uint16_t)~icmp_sum(m->bytes, m->len);
    m->bytes[2] = (uint8_t)(sum >> 8);
    m->bytes[3] = (uint8_t)sum;
}

static size_t quote_header(uint8_t *ip, const struct trace_flow *flow)
{
    if (flow->target.family == PROBER_FAMILY_IPV6) {
        ip[0] = 0x60;
        ip[6] = flow->protocol == TRACE_UDP ? 17 : 58;
        memcpy(ip + 24, flow->target.bytes, 16);
        return 40;
    }
    ip[0] = 0x45;
    ip[9] = flow->protocol == TRACE_UDP ? 17 : 1;
    memcpy(ip + 16, flow->target.bytes, 4);
    return 20;
}

struct fake_message fake_error(const struct fake_probe *probe, const char *from, uint8_t type,
                               uint8_t code, size_t quoted, uint64_t real_ns)
{
    struct fake_message m = {.real_ns = real_ns, .bytes = {type, code}};
    size_t header = quote_header(m.bytes + 8, &probe->flow);

    assert(!prober_addr_parse(from, &m.from) && quoted <= TRACE_PACKET_SIZE);
    memcpy(m.bytes + 8 + header, probe->packet, quoted);
    m.len = 8 + header + quoted;
    fake_seal(&m);
    return m;
}

struct fake_message fake_echo_reply(const struct fake_probe *probe, uint64_t real_ns)
{
    struct fake_message m = {
        .from = probe->flow.target, .real_ns = real_ns, .len = TRACE_PACKET_SIZE};

    memcpy(m.bytes, probe->packet, TRACE_PACKET_SIZE);
    m.bytes[0] = m.from.family == PROBER_FAMILY_IPV6 ? ICMP6_ECHO_REPLY_TYPE : ICMP4_ECHO_REPLY;
    fake_seal(&m);
    return m;
}

void fake_deliver_message(const struct fake_message *m)
{
    assert(messages_in < FAKE_PROBES_MAX);
    messages[messages_in++] = *m;
}
