#include "libprober/icmp_arrivals.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/array.h"
#include "libprober/arrival_table.h"
#include "libprober/icmp_packet.h"

#define BATCH 64
#define BATCHES_PER_STEP 1024
/* The longest IPv4 header, and the head of a probe: the rest is cut off. */
#define PACKET_SPACE (60 + ICMP_HEAD_SIZE)
#define RECEIVE_BUFFER (4 << 20)
#define RAW_ICMP_FILTER 1 /* of SOL_RAW: ICMP_FILTER in linux/icmp.h */

struct post {
    enum prober_family family;
    int fd; /* -1: the host lacks the family */
    uint32_t drops;
};

struct icmp_arrivals {
    struct post posts[2];
    struct arrival_table *table;
    uint64_t missed;
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    uint8_t packets[BATCH][PACKET_SPACE];
};

static int attach(int fd, const struct sock_filter *code, size_t len)
{
    struct sock_fprog program = {(unsigned short)len, (struct sock_filter *)code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Echo requests whose payload begins with the magic, and whose sender is not 0. */
static int filter_ipv4(int fd)
{
    static const struct sock_filter code[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP4_ECHO_REQUEST, 0, 5),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, ICMP_HEADER_SIZE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_MARK_MAGIC, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_IND, ICMP_HEADER_SIZE + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    int block = ~(1 << ICMP4_ECHO_REQUEST);

    setsockopt(fd, SOL_RAW, RAW_ICMP_FILTER, &block, sizeof(block));
    return attach(fd, code, ARRAY_LEN(code));
}

static int filter_ipv6(int fd)
{
    static const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ICMP_HEADER_SIZE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_MARK_MAGIC, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ICMP_HEADER_SIZE + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct icmp6_filter requests;

    ICMP6_FILTER_SETBLOCKALL(&requests);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST_TYPE, &requests);
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &requests, sizeof(requests)))
        return -1;
    return attach(fd, code, ARRAY_LEN(code));
}

static enum prober_error open_post(struct post *p, struct prober_failure *why)
{
    bool is_v6 = p->family == PROBER_FAMILY_IPV6;
    int buffer = RECEIVE_BUFFER;

    p->fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                   is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (p->fd < 0 && errno == EAFNOSUPPORT)
        return PROBER_OK;
    if (p->fd < 0 && (errno == EPERM || errno == EACCES))
        return prober_fail(why, PROBER_ERR_DENIED,
                           "no permission to see arriving ICMP requests: CAP_NET_RAW is needed");
    if (p->fd < 0 || (is_v6 ? filter_ipv6(p->fd) : filter_ipv4(p->fd)))
        return prober_fail(why, PROBER_ERR_IO, "cannot open the socket for arriving requests: %s",
                           strerror(errno));
    if (setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)))
        setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    return PROBER_OK;
}

enum prober_error icmp_arrivals_create(struct icmp_arrivals **out, struct prober_failure *why)
{
    struct icmp_arrivals *a = calloc(1, sizeof(*a));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!a)
        goto out;
    a->posts[0] = (struct post){.family = PROBER_FAMILY_IPV4, .fd = -1};
    a->posts[1] = (struct post){.family = PROBER_FAMILY_IPV6, .fd = -1};
    a->table = arrival_table_create();
    if (!a->table)
        goto out;
    for (size_t i = 0; i < BATCH; i++) {
        a->parts[i] = (struct iovec){a->packets[i], PACKET_SPACE};
        a->messages[i].msg_hdr = (struct msghdr){.msg_iov = &a->parts[i], .msg_iovlen = 1};
    }
    err = open_post(&a->posts[0], why);
    if (!err)
        err = open_post(&a->posts[1], why);
    if (err)
        goto out;
    *out = a;
    a = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory for the arrivals");
    icmp_arrivals_destroy(a);
    return err;
}

static void take_packet(struct icmp_arrivals *a, enum prober_family family, size_t i,
                        uint64_t now_ns)
{
    size_t len = a->messages[i].msg_len;
    const uint8_t *message = a->packets[i];
    struct icmp_echo echo;

    if (family == PROBER_FAMILY_IPV4)
        message = icmp_skip_ipv4(message, &len);
    if (!message || icmp_read_request(family, message, len, &echo) != ICMP_READ_MARKED ||
        echo.sender == 0)
        return;
    a->missed += !arrival_table_count(a->table, echo.sender, echo.window, now_ns);
}

static void count_drops(struct icmp_arrivals *a, struct post *p)
{
    uint32_t info[SK_MEMINFO_VARS];
    socklen_t len = sizeof(info);

    if (getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, info, &len))
        return;
    a->missed += (uint32_t)(info[SK_MEMINFO_DROPS] - p->drops);
    p->drops = info[SK_MEMINFO_DROPS];
}

void icmp_arrivals_step(struct icmp_arrivals *a, uint64_t now_ns)
{
    for (size_t k = 0; k < ARRAY_LEN(a->posts); k++) {
        struct post *p = &a->posts[k];
        int n = BATCH;

        for (int i = 0; p->fd >= 0 && i < BATCHES_PER_STEP && n == BATCH; i++) {
            n = recvmmsg(p->fd, a->messages, BATCH, MSG_DONTWAIT, NULL);
            for (int m = 0; m < n; m++)
                take_packet(a, p->family, (size_t)m, now_ns);
        }
        if (p->fd >= 0)
            count_drops(a, p);
    }
}

size_t icmp_arrivals_take(struct icmp_arrivals *a, uint64_t now_ns, uint64_t quiet_ns,
                          struct icmp_arrival *out, size_t max)
{
    return arrival_table_take(a->table, now_ns, quiet_ns, out, max);
}

uint64_t icmp_arrivals_missed(const struct icmp_arrivals *a)
{
    return a->missed;
}

void icmp_arrivals_destroy(struct icmp_arrivals *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < ARRAY_LEN(a->posts); i++)
        if (a->posts[i].fd >= 0)
            close(a->posts[i].fd);
    arrival_table_destroy(a->table);
    free(a);
}
