#include "libprober/trace_socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/in6.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"

#define MESSAGE_SPACE 2048 /* what is longer is cut: an error has no use for more */
#define CONTROL_SPACE 256
#define RECEIVE_BUFFER (1 << 20)
#define RAW_ICMP_FILTER 1 /* of SOL_RAW: ICMP_FILTER in linux/icmp.h */
#define STAMP_RECEIVE (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)
#define STAMP_SEND                                                                                 \
    (SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |          \
     SOF_TIMESTAMPING_OPT_TSONLY)

struct trace_ear {
    enum prober_family family;
    int fd;
    struct mmsghdr messages[TRACE_EAR_BATCH];
    struct iovec parts[TRACE_EAR_BATCH];
    struct sockaddr_storage names[TRACE_EAR_BATCH];
    uint8_t controls[TRACE_EAR_BATCH][CONTROL_SPACE] __attribute__((aligned(16)));
    uint8_t space[TRACE_EAR_BATCH][MESSAGE_SPACE];
};

struct trace_mouth {
    int fd;     /* raw */
    int holder; /* a UDP socket that holds the port; -1 for ICMP */
    bool is_v6, stamps;
    uint32_t sent; /* the kernel's number of the next stamp */
    socklen_t to_len;
    struct sockaddr_storage to;
};

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static int attach(int fd, const struct sock_filter *code, size_t len)
{
    struct sock_fprog program = {(unsigned short)len, (struct sock_filter *)code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int receive_nothing(int fd)
{
    static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

    return attach(fd, nothing, ARRAY_LEN(nothing));
}

static enum prober_error fail(struct prober_failure *why, enum prober_family family)
{
    const char *name = family == PROBER_FAMILY_IPV6 ? "IPv6" : "IPv4";

    if (errno == EAFNOSUPPORT)
        return prober_fail(why, PROBER_ERR_UNSUPPORTED, "this host has no %s", name);
    if (errno == EPERM || errno == EACCES)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "no permission to trace by %s: it needs a raw socket; grant it with "
                           "'setcap cap_net_raw+ep PROGRAM', or with "
                           "AmbientCapabilities=CAP_NET_RAW in the systemd unit",
                           name);
    return prober_fail(why, PROBER_ERR_IO, "cannot open a raw %s socket: %s", name,
                       strerror(errno));
}

/* ---- ears ---- */

/* Offsets count from the IPv4 header, whose length X holds. An error quotes an IPv4 header of the usual
 * length (probes have no options), 8 bytes behind its own. */
static int listen_ipv4(int fd, uint16_t block)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP4_ECHO_REPLY, 0, 2),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
        BPF_JUMP(BPF_JMP | BPF_JA, 4, 0, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 8 + 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 0, 4),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 8 + 20 + 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff & ~(TRACE_BLOCK - 1)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, block, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };

    if (set_int(fd, SOL_RAW, RAW_ICMP_FILTER,
                ~(1 << ICMP4_ECHO_REPLY | 1 << ICMP_DEST_UNREACH | 1 << ICMP_TIME_EXCEEDED)))
        return -1;
    return attach(fd, code, ARRAY_LEN(code));
}

static int listen_ipv6(int fd, uint16_t block)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_ECHO_REPLY_TYPE, 0, 2),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JA, 4, 0, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8 + 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 8 + 40 + 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff & ~(TRACE_BLOCK - 1)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, block, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct icmp6_filter types;

    ICMP6_FILTER_SETBLOCKALL(&types);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY_TYPE, &types);
    ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &types);
    ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &types);
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &types, sizeof(types)))
        return -1;
    return attach(fd, code, ARRAY_LEN(code));
}

/* What came before the filter was there goes. */
static void discard(int fd)
{
    uint8_t byte;

    while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno == EINTR)
        ;
}

static int open_ear(struct trace_ear *e, uint16_t block)
{
    bool v6 = e->family == PROBER_FAMILY_IPV6;

    e->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                   v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (e->fd < 0 || (v6 ? listen_ipv6(e->fd, block) : listen_ipv4(e->fd, block)) ||
        set_int(e->fd, SOL_SOCKET, SO_TIMESTAMPING, STAMP_RECEIVE))
        return -1;
    if (set_int(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER))
        set_int(e->fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
    discard(e->fd);
    return 0;
}

enum prober_error trace_ear_open(struct trace_ear **out, enum prober_family family, uint16_t block,
                                 struct prober_failure *why)
{
    struct trace_ear *e = calloc(1, sizeof(*e));
    enum prober_error err = PROBER_OK;

    if (!e)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory for a socket");
    e->family = family;
    if (open_ear(e, block)) {
        err = fail(why, family);
        goto out;
    }
    for (size_t i = 0; i < TRACE_EAR_BATCH; i++) {
        e->parts[i] = (struct iovec){e->space[i], MESSAGE_SPACE};
        e->messages[i].msg_hdr = (struct msghdr){.msg_name = &e->names[i],
                                                 .msg_iov = &e->parts[i],
                                                 .msg_iovlen = 1,
                                                 .msg_control = e->controls[i]};
    }
    *out = e;
    e = NULL;
out:
    trace_ear_close(e);
    return err;
}

int trace_ear_fd(const struct trace_ear *e)
{
    return e->fd;
}

static uint64_t software_stamp(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct scm_timestamping stamps;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPING ||
            c->cmsg_len < CMSG_LEN(sizeof(stamps)))
            continue;
        memcpy(&stamps, CMSG_DATA(c), sizeof(stamps));
        return (uint64_t)stamps.ts[0].tv_sec * CLOCK_NS_PER_S + (uint64_t)stamps.ts[0].tv_nsec;
    }
    return 0;
}

/* False when it is no packet that could be read. */
static bool read_arriving(struct trace_ear *e, size_t i, struct trace_arriving *out)
{
    struct mmsghdr *m = &e->messages[i];

    *out = (struct trace_arriving){.message = e->space[i], .len = m->msg_len};
    if (e->family == PROBER_FAMILY_IPV4)
        out->message = icmp_skip_ipv4(out->message, &out->len);
    out->real_ns = software_stamp(&m->msg_hdr);
    return out->message && !(m->msg_hdr.msg_flags & MSG_TRUNC) &&
           !prober_addr_from_sockaddr((const struct sockaddr *)&e->names[i], &out->from, NULL);
}

size_t trace_ear_receive(struct trace_ear *e, struct trace_arriving *list)
{
    size_t count = 0;

    while (count == 0) {
        int n;

        for (size_t i = 0; i < TRACE_EAR_BATCH; i++) {
            e->messages[i].msg_hdr.msg_namelen = sizeof(e->names[i]);
            e->messages[i].msg_hdr.msg_controllen = CONTROL_SPACE;
        }
        n = recvmmsg(e->fd, e->messages, TRACE_EAR_BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0)
            return 0;
        for (size_t i = 0; i < (size_t)n; i++)
            if (read_arriving(e, i, &list[count]))
                count++;
    }
    return count;
}

uint32_t trace_ear_drops(const struct trace_ear *e)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(e->fd, SOL_SOCKET, SO_MEMINFO, info, &len))
        return 0;
    return info[SK_MEMINFO_DROPS];
}

void trace_ear_close(struct trace_ear *e)
{
    if (!e)
        return;
    if (e->fd >= 0)
        close(e->fd);
    free(e);
}

/* ---- mouths ---- */

/* Connecting a UDP socket sends nothing, and tells which source address the route has. */
static int find_source(struct trace_mouth *m, struct trace_flow *flow)
{
    struct sockaddr_storage name, own;
    socklen_t len = prober_addr_to_sockaddr(&flow->target, flow->port, &name),
              own_len = sizeof(own);
    uint16_t port;

    m->holder = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (m->holder < 0 || receive_nothing(m->holder) ||
        connect(m->holder, (struct sockaddr *)&name, len) ||
        getsockname(m->holder, (struct sockaddr *)&own, &own_len) ||
        prober_addr_from_sockaddr((struct sockaddr *)&own, &flow->source, &port))
        return -1;
    if (flow->protocol == TRACE_UDP) {
        flow->identifier = port;
        return 0;
    }
    close(m->holder);
    m->holder = -1;
    return 0;
}

/* A raw IPv6 socket takes its protocol for the port. The flow label is part of the flow: none. */
static int open_raw(struct trace_mouth *m, const struct trace_flow *flow)
{
    int protocol = flow->protocol == TRACE_UDP ? IPPROTO_UDP
                   : m->is_v6                  ? IPPROTO_ICMPV6
                                               : IPPROTO_ICMP;
    struct sockaddr_storage own;
    socklen_t len = prober_addr_to_sockaddr(&flow->source, 0, &own);

    m->to_len = prober_addr_to_sockaddr(&flow->target, 0, &m->to);
    m->fd =
        socket(m->is_v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (m->fd < 0 || receive_nothing(m->fd) || bind(m->fd, (struct sockaddr *)&own, len))
        return -1;
    if (m->is_v6)
        set_int(m->fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0);
    else
        set_int(m->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    m->stamps = !set_int(m->fd, SOL_SOCKET, SO_TIMESTAMPING, STAMP_SEND);
    return 0;
}

enum prober_error trace_mouth_open(struct trace_mouth **out, struct trace_flow *flow,
                                   struct prober_failure *why)
{
    struct trace_mouth *m = calloc(1, sizeof(*m));
    enum prober_error err = PROBER_OK;

    if (!m)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory for a socket");
    m->fd = m->holder = -1;
    m->is_v6 = flow->target.family == PROBER_FAMILY_IPV6;
    if (find_source(m, flow)) {
        err = prober_fail(why, PROBER_ERR_UNREACHABLE, "no way there from this host: %s",
                          strerror(errno));
        goto out;
    }
    if (open_raw(m, flow)) {
        err = fail(why, (enum prober_family)flow->target.family);
        goto out;
    }
    *out = m;
    m = NULL;
out:
    trace_mouth_close(m);
    return err;
}

static bool is_number(struct msghdr *m, uint32_t number)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct sock_extended_err e;

        if ((c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR) &&
            (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_RECVERR))
            continue;
        memcpy(&e, CMSG_DATA(c), sizeof(e));
        return e.ee_origin == SO_EE_ORIGIN_TIMESTAMPING && e.ee_data == number;
    }
    return false;
}

/* The stamp of the packet that has just gone out; 0 when it is not there (yet). Those of earlier packets
 * that came late are thrown away. */
static uint64_t take_stamp(struct trace_mouth *m)
{
    uint8_t control[CONTROL_SPACE] __attribute__((aligned(16)));

    for (;;) {
        struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};

        if (recvmsg(m->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return 0;
        if (is_number(&message, m->sent))
            return software_stamp(&message);
    }
}

int trace_mouth_send(struct trace_mouth *m, uint8_t ttl, const uint8_t packet[TRACE_PACKET_SIZE],
                     uint64_t *real_ns)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)packet, TRACE_PACKET_SIZE};
    struct msghdr message = {.msg_name = &m->to,
                             .msg_namelen = m->to_len,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    int hops = ttl;
    uint64_t stamp;

    c->cmsg_level = m->is_v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    c->cmsg_type = m->is_v6 ? IPV6_HOPLIMIT : IP_TTL;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &hops, sizeof(hops));
    *real_ns = clock_realtime_ns();
    if (sendmsg(m->fd, &message, MSG_DONTWAIT) < 0) {
        int error = errno;

        /* Whether a packet that was refused has a number depends on the kernel: begin at 0 again. */
        m->stamps = m->stamps && !set_int(m->fd, SOL_SOCKET, SO_TIMESTAMPING, 0) &&
                    !set_int(m->fd, SOL_SOCKET, SO_TIMESTAMPING, STAMP_SEND);
        m->sent = 0;
        return error;
    }
    stamp = m->stamps ? take_stamp(m) : 0;
    m->sent++;
    if (stamp)
        *real_ns = stamp;
    return 0;
}

void trace_mouth_close(struct trace_mouth *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    if (m->holder >= 0)
        close(m->holder);
    free(m);
}
