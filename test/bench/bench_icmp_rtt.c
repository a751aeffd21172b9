/*
 * bench_icmp_rtt - how far the engine's RTTs are from what a capture of the interface shows.
 *
 * Purpose    bench_icmp_rtt DEVICE FIRST TARGETS probes the addresses from FIRST on, one probe a
 *            second each, for WINDOWS seconds, while another process captures the device by
 *            AF_PACKET with kernel timestamps. Of all windows but the first it prints the median and
 *            the 90th percentile of the difference of the two RTTs of a probe, regardless of sign.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "libprober/icmp_engine.h"
#include "libprober/icmp_packet.h"

#define WINDOWS 3
#define BATCH 64
#define SNAP 96

/* What was seen of a target's probe in a window. */
struct sight {
    uint64_t out_ns, in_ns; /* by the capture; 0: not seen */
    uint64_t rtt_ns;        /* by the engine */
    bool received;
};

static uint32_t first_address, targets;
static struct sight *sights; /* [WINDOWS][targets], shared with the capturing process */

/* ---- the capture ---- */

static void take_frame(const uint8_t *packet, size_t len, uint64_t at_ns)
{
    const uint8_t *message = icmp_skip_ipv4(packet, &len);
    struct icmp_echo echo;
    bool is_request;
    uint32_t address, window;
    struct sight *s;

    if (!message || packet[9] != IPPROTO_ICMP || len < ICMP_HEAD_SIZE)
        return;
    is_request = message[0] == ICMP4_ECHO_REQUEST;
    if (icmp_read_request(PROBER_FAMILY_IPV4, message, len, &echo) != ICMP_READ_MARKED &&
        icmp_read_reply(PROBER_FAMILY_IPV4, message, len, &echo) == ICMP_READ_MALFORMED)
        return;
    memcpy(&address, packet + (is_request ? 16 : 12), 4);
    address = ntohl(address) - first_address;
    window = echo.window - 1u;
    if (address >= targets || window >= WINDOWS)
        return;
    s = &sights[window * targets + address];
    *(is_request ? &s->out_ns : &s->in_ns) = at_ns;
}

static uint64_t stamp_of(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct timespec t;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&t, CMSG_DATA(c), sizeof(t));
        return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
    }
    return 0;
}

static int open_capture(const char *device)
{
    struct sockaddr_ll name = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex(device)};
    int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)), on = 1, buffer = 256 << 20;

    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer))) {
        perror("capture");
        exit(1);
    }
    return fd;
}

static void capture(int fd)
{
    static uint8_t frames[BATCH][SNAP], controls[BATCH][64];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];

    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){frames[i], SNAP};
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = controls[i]};
    }
    for (;;) {
        int n;

        for (int i = 0; i < BATCH; i++)
            messages[i].msg_hdr.msg_controllen = sizeof(controls[i]);
        n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++)
            take_frame(frames[i], messages[i].msg_len, stamp_of(&messages[i].msg_hdr));
    }
}

/* ---- the engine ---- */

static void on_window(void *context, void *user, const struct icmp_window *w)
{
    struct sight *s = &sights[(w->number - 1) * targets + (uint32_t)(uintptr_t)user];

    (void)context;
    s->received = w->counts.received == 1;
    s->rtt_ns = w->rtt.sum_ns;
}

static void on_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    (void)now;
    if (number == WINDOWS - 1)
        icmp_engine_finish(*(struct icmp_engine **)context);
}

static void on_removed(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void probe_all(void)
{
    struct icmp_engine *e = NULL;
    struct icmp_sink sink = {on_window, on_window_end, on_removed, &e};
    struct icmp_engine_config config = {
        .window_ns = CLOCK_NS_PER_S, .first_window = 1, .ipv4 = true};
    struct clock_reading now = clock_read();
    struct prober_failure why;

    if (icmp_engine_create(&e, &config, &sink, &now, &why)) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    for (uint32_t i = 0; i < targets; i++) {
        uint32_t address = htonl(first_address + i);
        struct icmp_target t = {.address = {.family = PROBER_FAMILY_IPV4},
                                .payload_size = 56,
                                .count = 1,
                                .timeout_ns = 300 * CLOCK_NS_PER_MS,
                                .phase = UINT64_MAX / targets * i,
                                .user = (void *)(uintptr_t)i};
        icmp_target_id id;

        memcpy(t.address.bytes, &address, 4);
        icmp_engine_add(e, &t, &now, &id);
    }
    while (!icmp_engine_is_finished(e)) {
        struct timespec until;
        uint64_t next;

        now = clock_read();
        next = icmp_engine_step(e, &now);
        until = (struct timespec){(time_t)(next / CLOCK_NS_PER_S), (long)(next % CLOCK_NS_PER_S)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    icmp_engine_destroy(e);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void report(void)
{
    uint64_t *apart = malloc((size_t)WINDOWS * targets * sizeof(*apart)), above = 0;
    size_t n = 0;

    for (size_t i = targets; apart && i < (size_t)WINDOWS * targets; i++) {
        const struct sight *s = &sights[i];
        uint64_t wire_ns = s->in_ns - s->out_ns;

        if (!s->received || !s->out_ns || !s->in_ns)
            continue;
        above += s->rtt_ns > wire_ns;
        apart[n++] = s->rtt_ns > wire_ns ? s->rtt_ns - wire_ns : wire_ns - s->rtt_ns;
    }
    if (n == 0) {
        printf("samples 0\n");
        return;
    }
    qsort(apart, n, sizeof(*apart), compare);
    printf("samples %zu error_p50_us %.3f error_p90_us %.3f above %.2f\n", n,
           (double)apart[n / 2] / 1e3, (double)apart[n * 9 / 10] / 1e3, (double)above / (double)n);
    free(apart);
}

int main(int argc, char **argv)
{
    pid_t child;
    int fd;

    if (argc != 4) {
        fprintf(stderr, "usage: bench_icmp_rtt DEVICE FIRST TARGETS\n");
        return argc == 1 ? 0 : 2;
    }
    first_address = ntohl(inet_addr(argv[2]));
    targets = (uint32_t)strtoul(argv[3], NULL, 10);
    sights = mmap(NULL, (size_t)WINDOWS * targets * sizeof(*sights), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sights == MAP_FAILED)
        return 1;
    fd = open_capture(argv[1]);
    child = fork();
    if (child == 0)
        capture(fd);
    probe_all();
    usleep(500000);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    report();
    return 0;
}
