#include "libprober/icmp_socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
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

/* A whole packet, and an odd number of cache lines so that neighbours don't share cache sets. */
#define PACKET_SPACE (65536 + 192)
/* A packet with no more of the pattern than PATTERN_NEAR. All of them in few pages: the kernel fills
 * them faster. */
#define PACKET_SPACE_NEAR 192
#define QUOTE_SPACE 128
#define CONTROL_SPACE 256
#define SEND_BUFFER (4 << 20)
/* The kernel tells errors of earlier packets in place of sending one; each try takes one away. */
#define SEND_TRIES 8
#define RAW_ICMP_FILTER 1 /* of SOL_RAW: ICMP_FILTER in linux/icmp.h */
/* The kernel takes one part faster than two: this much of the pattern stands behind the head. */
#define PATTERN_NEAR 64

#define STAMP_RECEIVE (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)
#define STAMP_SEND                                                                                 \
    (SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |          \
     SOF_TIMESTAMPING_OPT_TSONLY)

struct batch {
    struct mmsghdr messages[ICMP_SOCKET_BATCH];
    struct iovec parts[ICMP_SOCKET_BATCH][2];
    struct sockaddr_storage names[ICMP_SOCKET_BATCH];
    uint8_t controls[ICMP_SOCKET_BATCH][CONTROL_SPACE] __attribute__((aligned(16)));
};

struct icmp_socket {
    enum prober_family family;
    int sender, receiver; /* the same for a ping socket */
    bool is_ping, stamps;
    bool fragments; /* the kernel may cut a packet up */
    bool far;       /* replies longer than PACKET_SPACE_NEAR are expected */
    uint16_t identifier;
    uint32_t sent;       /* number of the next transmit timestamp */
    uint32_t stamp_base; /* what the kernel calls 0 */
    const uint8_t *pattern;
    uint8_t *packets; /* [ICMP_SOCKET_BATCH][PACKET_SPACE]; touched as far as packets need it */
    uint8_t near[ICMP_SOCKET_BATCH][PACKET_SPACE_NEAR];
    uint8_t quotes[ICMP_SOCKET_BATCH][QUOTE_SPACE];
    uint8_t requests[ICMP_SOCKET_BATCH][ICMP_HEAD_SIZE + PATTERN_NEAR];
    struct batch out, in, events;
};

static bool is_v6(const struct icmp_socket *s)
{
    return s->family == PROBER_FAMILY_IPV6;
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

/* ---- opening ---- */

static int attach(int fd, const struct sock_filter *code, size_t len)
{
    struct sock_fprog program = {(unsigned short)len, (struct sock_filter *)code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int receive_nothing(const struct icmp_socket *s)
{
    static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

    if (is_v6(s)) {
        struct icmp6_filter none;

        ICMP6_FILTER_SETBLOCKALL(&none);
        setsockopt(s->sender, IPPROTO_ICMPV6, ICMP6_FILTER, &none, sizeof(none));
    } else {
        set_int(s->sender, SOL_RAW, RAW_ICMP_FILTER, -1);
    }
    return attach(s->sender, nothing, ARRAY_LEN(nothing));
}

/* The type filter is cheaper for the kernel than the program, which sees what it lets pass. */
static int receive_replies(const struct icmp_socket *s, uint16_t identifier, uint16_t previous)
{
    const struct sock_filter v4[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP4_ECHO_REPLY, 0, 4),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, identifier, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, previous, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_filter v6[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, identifier, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, previous, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct icmp6_filter replies;

    if (!is_v6(s)) {
        set_int(s->receiver, SOL_RAW, RAW_ICMP_FILTER, ~(1 << ICMP4_ECHO_REPLY));
        return attach(s->receiver, v4, ARRAY_LEN(v4));
    }
    ICMP6_FILTER_SETBLOCKALL(&replies);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY_TYPE, &replies);
    if (setsockopt(s->receiver, IPPROTO_ICMPV6, ICMP6_FILTER, &replies, sizeof(replies)))
        return -1;
    return attach(s->receiver, v6, ARRAY_LEN(v6));
}

static int domain_of(const struct icmp_socket *s)
{
    return is_v6(s) ? AF_INET6 : AF_INET;
}

static int open_fd(const struct icmp_socket *s, int type)
{
    return socket(domain_of(s), type | SOCK_NONBLOCK | SOCK_CLOEXEC,
                  is_v6(s) ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static int open_raw(struct icmp_socket *s)
{
    s->sender = open_fd(s, SOCK_RAW);
    if (s->sender < 0)
        return -1;
    s->receiver = open_fd(s, SOCK_RAW);
    if (s->receiver < 0 || receive_nothing(s) || receive_replies(s, s->identifier, s->identifier))
        return -1;
    return 0;
}

/* The port of a ping socket is its identifier. */
static int open_ping(struct icmp_socket *s, bool forced)
{
    struct sockaddr_storage name = {.ss_family = (sa_family_t)domain_of(s)};
    socklen_t len = is_v6(s) ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct prober_addr any;

    s->sender = s->receiver = open_fd(s, SOCK_DGRAM);
    s->is_ping = true;
    if (s->sender < 0)
        return -1;
    if (forced) {
        any = (struct prober_addr){.family = (uint8_t)s->family};
        len = prober_addr_to_sockaddr(&any, s->identifier, &name);
    }
    if (bind(s->sender, (struct sockaddr *)&name, len) ||
        getsockname(s->sender, (struct sockaddr *)&name, &len) ||
        prober_addr_from_sockaddr((struct sockaddr *)&name, &any, &s->identifier))
        return -1;
    return 0;
}

/* A packet that must not be cut up needs no IPv4 identification (RFC 6864), and to draw one is what
 * takes the kernel longest in all of sending. So fragments are not allowed before one is needed. */
static int allow_fragments(struct icmp_socket *s, bool on)
{
    s->fragments = on;
    if (is_v6(s))
        return 0;
    return set_int(s->sender, IPPROTO_IP, IP_MTU_DISCOVER, on ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO);
}

static int set_options(struct icmp_socket *s, size_t receive_buffer)
{
    int buffer = receive_buffer < INT32_MAX ? (int)receive_buffer : INT32_MAX;

    if (set_int(s->receiver, SOL_SOCKET, SO_RCVBUFFORCE, buffer))
        set_int(s->receiver, SOL_SOCKET, SO_RCVBUF, buffer);
    if (set_int(s->sender, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER))
        set_int(s->sender, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
    if (set_int(s->receiver, SOL_SOCKET, SO_TIMESTAMPING, STAMP_RECEIVE) ||
        allow_fragments(s, false))
        return -1;
    return set_int(s->sender, is_v6(s) ? IPPROTO_IPV6 : IPPROTO_IP,
                   is_v6(s) ? IPV6_RECVERR : IP_RECVERR, 1);
}

static void close_fds(struct icmp_socket *s)
{
    if (s->sender >= 0)
        close(s->sender);
    if (s->receiver >= 0 && s->receiver != s->sender)
        close(s->receiver);
    s->sender = s->receiver = -1;
}

static enum prober_error open_fds(struct icmp_socket *s, bool forced, size_t receive_buffer,
                                  struct prober_failure *why)
{
    const char *name = is_v6(s) ? "IPv6" : "IPv4";
    bool denied = false;

    if (open_raw(s)) {
        denied = errno == EPERM || errno == EACCES;
        close_fds(s);
        if (errno == EAFNOSUPPORT)
            return prober_fail(why, PROBER_ERR_UNSUPPORTED, "this host has no %s", name);
        if (denied && open_ping(s, forced))
            return prober_fail(why, PROBER_ERR_DENIED,
                               "no permission to send ICMP (%s): grant it with 'setcap "
                               "cap_net_raw+ep PROGRAM', with AmbientCapabilities=CAP_NET_RAW in "
                               "the systemd unit, or allow this group by the sysctl "
                               "net.ipv4.ping_group_range",
                               name);
        if (!denied)
            return prober_fail(why, PROBER_ERR_IO, "cannot open a raw %s socket: %s", name,
                               strerror(errno));
    }
    if (set_options(s, receive_buffer))
        return prober_fail(why, PROBER_ERR_IO, "cannot prepare the %s ICMP socket: %s", name,
                           strerror(errno));
    return PROBER_OK;
}

/* What stays the same in every message. */
static void prepare(struct batch *b, bool control)
{
    for (size_t i = 0; i < ICMP_SOCKET_BATCH; i++) {
        struct msghdr *m = &b->messages[i].msg_hdr;

        m->msg_iov = b->parts[i];
        m->msg_iovlen = control ? 1 : 2;
        m->msg_name = &b->names[i];
        m->msg_namelen = sizeof(b->names[i]);
        m->msg_control = control ? b->controls[i] : NULL;
        m->msg_controllen = control ? CONTROL_SPACE : 0;
    }
}

static void prepare_batches(struct icmp_socket *s)
{
    prepare(&s->out, false);
    prepare(&s->in, true);
    prepare(&s->events, true);
    for (size_t i = 0; i < ICMP_SOCKET_BATCH; i++) {
        s->in.parts[i][0] = (struct iovec){s->near[i], PACKET_SPACE_NEAR};
        s->events.parts[i][0] = (struct iovec){s->quotes[i], QUOTE_SPACE};
        memcpy(s->requests[i] + ICMP_HEAD_SIZE, s->pattern, PATTERN_NEAR);
    }
}

enum prober_error icmp_socket_open(struct icmp_socket **out, enum prober_family family,
                                   uint16_t identifier, bool forced, size_t receive_buffer,
                                   const uint8_t *pattern, struct prober_failure *why)
{
    struct icmp_socket *s = calloc(1, sizeof(*s));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!s)
        goto out;
    s->family = family;
    s->identifier = identifier;
    s->sender = s->receiver = -1;
    s->pattern = pattern;
    s->packets = malloc((size_t)ICMP_SOCKET_BATCH * PACKET_SPACE);
    if (!s->packets)
        goto out;
    prepare_batches(s);
    err = open_fds(s, forced, receive_buffer, why);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory for the ICMP socket");
    icmp_socket_close(s);
    return err;
}

uint16_t icmp_socket_identifier(const struct icmp_socket *s)
{
    return s->identifier;
}

bool icmp_socket_set_identifier(struct icmp_socket *s, uint16_t identifier, uint16_t previous)
{
    if (s->is_ping || receive_replies(s, identifier, previous))
        return false;
    s->identifier = identifier;
    return true;
}

bool icmp_socket_set_stamps(struct icmp_socket *s, bool on)
{
    int rest = s->is_ping ? STAMP_RECEIVE : 0;

    /* Off and on again: the kernel then counts from 0. */
    s->stamps = false;
    if (set_int(s->sender, SOL_SOCKET, SO_TIMESTAMPING, rest) ||
        (on && set_int(s->sender, SOL_SOCKET, SO_TIMESTAMPING, rest | STAMP_SEND)))
        return false;
    s->stamps = on;
    s->stamp_base = s->sent;
    return true;
}

/* ---- sending ---- */

static bool is_shortage(int error)
{
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/* Returns how many went out; *error says why not all. */
static size_t send_all(struct icmp_socket *s, size_t n, int *error)
{
    size_t done = 0;
    int tries = 0;

    *error = 0;
    while (done < n) {
        int r = sendmmsg(s->sender, s->out.messages + done, (unsigned)(n - done), MSG_DONTWAIT);

        if (r > 0) {
            done += (size_t)r;
            tries = 0;
        } else if (errno == EMSGSIZE && !s->fragments) {
            allow_fragments(s, true);
        } else if (errno != EINTR && (is_shortage(errno) || ++tries == SEND_TRIES)) {
            *error = errno;
            break;
        }
    }
    return done;
}

/* Replies are as long as what they answer. */
static void expect_far(struct icmp_socket *s)
{
    s->far = true;
    for (size_t i = 0; i < ICMP_SOCKET_BATCH; i++)
        s->in.parts[i][0] = (struct iovec){s->packets + i * PACKET_SPACE, PACKET_SPACE};
}

static void load(struct icmp_socket *s, size_t i, const struct icmp_departure *departure)
{
    struct msghdr *m = &s->out.messages[i].msg_hdr;
    size_t near = departure->pattern_len;

    if (near > PATTERN_NEAR) {
        near = PATTERN_NEAR;
        if (!s->far)
            expect_far(s);
    }
    memcpy(s->requests[i], departure->head, ICMP_HEAD_SIZE);
    s->out.parts[i][0] = (struct iovec){s->requests[i], ICMP_HEAD_SIZE + near};
    s->out.parts[i][1] = (struct iovec){(void *)(s->pattern + near), departure->pattern_len - near};
    m->msg_iovlen = departure->pattern_len > near ? 2 : 1;
    m->msg_namelen = prober_addr_to_sockaddr(&departure->to, 0, &s->out.names[i]);
}

struct icmp_departed icmp_socket_send(struct icmp_socket *s, const struct icmp_departure *list,
                                      size_t n)
{
    struct icmp_departed result = {.stamp = s->sent};

    for (size_t i = 0; i < n; i++)
        load(s, i, &list[i]);
    result.mono_ns = clock_monotonic_ns();
    result.before_ns = clock_realtime_ns();
    result.count = send_all(s, n, &result.error);
    result.after_ns = clock_realtime_ns();
    s->sent += (uint32_t)result.count;
    /* Whether the kernel numbered the packets that it refused depends on its version. */
    if (result.error && s->stamps)
        icmp_socket_set_stamps(s, true);
    return result;
}

/* ---- receiving ---- */

static int receive_batch(int fd, struct batch *b, int flags)
{
    for (size_t i = 0; i < ICMP_SOCKET_BATCH; i++) {
        b->messages[i].msg_hdr.msg_namelen = sizeof(b->names[i]);
        b->messages[i].msg_hdr.msg_controllen = CONTROL_SPACE;
    }
    return recvmmsg(fd, b->messages, ICMP_SOCKET_BATCH, MSG_DONTWAIT | flags, NULL);
}

static uint64_t software_stamp(const struct cmsghdr *c)
{
    struct scm_timestamping stamps;

    memcpy(&stamps, CMSG_DATA(c), sizeof(stamps));
    return (uint64_t)stamps.ts[0].tv_sec * CLOCK_NS_PER_S + (uint64_t)stamps.ts[0].tv_nsec;
}

static bool is_stamp(const struct cmsghdr *c)
{
    return c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING &&
           c->cmsg_len >= CMSG_LEN(sizeof(struct scm_timestamping));
}

static void read_arriving(const struct icmp_socket *s, size_t i, struct icmp_arriving *out)
{
    const struct mmsghdr *m = &s->in.messages[i];
    struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr);

    *out = (struct icmp_arriving){.message = s->in.parts[i][0].iov_base, .len = m->msg_len};
    if (!s->is_ping && !is_v6(s))
        out->message = icmp_skip_ipv4(out->message, &out->len);
    if (prober_addr_from_sockaddr((const struct sockaddr *)&s->in.names[i], &out->from, NULL))
        out->message = NULL;
    for (; c; c = CMSG_NXTHDR((struct msghdr *)&m->msg_hdr, c))
        if (is_stamp(c))
            out->real_ns = software_stamp(c);
}

size_t icmp_socket_receive(struct icmp_socket *s, struct icmp_arriving *list)
{
    int n;

    /* The receiver of a ping socket also tells the errors of other packets, one a call. */
    for (int tries = 0; (n = receive_batch(s->receiver, &s->in, 0)) < 0; tries++)
        if (errno == EAGAIN || tries == ICMP_SOCKET_BATCH)
            return 0;
    for (int i = 0; i < n; i++)
        read_arriving(s, (size_t)i, &list[i]);
    return (size_t)n;
}

static const struct sock_extended_err *extended_error(const struct cmsghdr *c)
{
    if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
        return c->cmsg_len >= CMSG_LEN(sizeof(struct sock_extended_err))
                   ? (const void *)CMSG_DATA(c)
                   : NULL;
    return NULL;
}

static bool read_event(struct icmp_socket *s, size_t i, struct icmp_event *out)
{
    const struct mmsghdr *m = &s->events.messages[i];
    const struct sock_extended_err *e = NULL;

    *out = (struct icmp_event){.quote = s->quotes[i], .len = m->msg_len};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr); c;
         c = CMSG_NXTHDR((struct msghdr *)&m->msg_hdr, c)) {
        if (is_stamp(c))
            out->real_ns = software_stamp(c);
        else if (extended_error(c))
            e = extended_error(c);
    }
    if (!e)
        return false;
    if (e->ee_origin == SO_EE_ORIGIN_TIMESTAMPING) {
        out->is_stamp = true;
        out->stamp = s->stamp_base + e->ee_data;
        return out->real_ns != 0;
    }
    out->type = e->ee_type;
    return (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6) &&
           !prober_addr_from_sockaddr((const struct sockaddr *)&s->events.names[i], &out->to, NULL);
}

size_t icmp_socket_events(struct icmp_socket *s, struct icmp_event *list, bool *drained)
{
    int n = receive_batch(s->sender, &s->events, MSG_ERRQUEUE);
    size_t count = 0;

    *drained = n < ICMP_SOCKET_BATCH;
    for (int i = 0; i < n; i++)
        if (read_event(s, (size_t)i, &list[count]))
            count++;
    return count;
}

uint32_t icmp_socket_drops(const struct icmp_socket *s)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(s->receiver, SOL_SOCKET, SO_MEMINFO, info, &len))
        return 0;
    return info[SK_MEMINFO_DROPS];
}

void icmp_socket_close(struct icmp_socket *s)
{
    if (!s)
        return;
    close_fds(s);
    free(s->packets);
    free(s);
}
