/*
 * bench_raw_loop - what the kernel alone takes for an ICMP echo and its reply on loopback.
 *
 * Purpose    bench_raw_loop [PROBES [PER_SECOND]] sends batches of 64 with sendmmsg to 127.x.y.z and
 *            takes the replies with recvmmsg, with receive timestamps and a filter on the identifier,
 *            and does nothing else. Prints the CPU time per probe: the limit that the engine is
 *            measured by. With PER_SECOND it sleeps between the batches, for a processor that wakes
 *            for each of them takes longer over it: the engine, too, spreads its probes over time.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define SIZE 64
#define IDENTIFIER 0x4c52

static uint8_t packets[BATCH][SIZE], received[BATCH][128], controls[BATCH][128];
static struct sockaddr_in names[BATCH];
static struct iovec out_parts[BATCH], in_parts[BATCH];
static struct mmsghdr out[BATCH], in[BATCH];

static int open_socket(void)
{
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IDENTIFIER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP), buffer = 8 << 20;
    int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps))) {
        perror("raw socket");
        exit(1);
    }
    return fd;
}

static void prepare(void)
{
    for (int i = 0; i < BATCH; i++) {
        packets[i][0] = 8;
        packets[i][4] = IDENTIFIER >> 8;
        packets[i][5] = IDENTIFIER & 255;
        names[i].sin_family = AF_INET;
        out_parts[i] = (struct iovec){packets[i], SIZE};
        out[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                         .msg_namelen = sizeof(names[i]),
                                         .msg_iov = &out_parts[i],
                                         .msg_iovlen = 1};
        in_parts[i] = (struct iovec){received[i], sizeof(received[i])};
        in[i].msg_hdr = (struct msghdr){
            .msg_iov = &in_parts[i], .msg_iovlen = 1, .msg_control = controls[i]};
    }
}

static void write_packet(int i, uint32_t probe)
{
    uint32_t sum = 0;

    packets[i][2] = packets[i][3] = 0;
    packets[i][6] = (uint8_t)(probe >> 8);
    packets[i][7] = (uint8_t)probe;
    for (int k = 0; k < SIZE; k += 2)
        sum += (uint32_t)(packets[i][k] << 8 | packets[i][k + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    packets[i][2] = (uint8_t)(sum >> 8);
    packets[i][3] = (uint8_t)sum;
    names[i].sin_addr.s_addr = htonl(0x7f010001 + probe % 100000);
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static unsigned drain(int fd)
{
    unsigned count = 0;
    int n;

    do {
        for (int i = 0; i < BATCH; i++)
            in[i].msg_hdr.msg_controllen = sizeof(controls[i]);
        n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
        count += n > 0 ? (unsigned)n : 0;
    } while (n == BATCH);
    return count;
}

/* Sleeps until probe number `sent` is due. */
static void pace(struct timespec begin, uint32_t sent, uint32_t per_second)
{
    uint64_t ns = (uint64_t)begin.tv_nsec + UINT64_C(1000000000) * sent / per_second;

    begin.tv_sec += (time_t)(ns / 1000000000);
    begin.tv_nsec = (long)(ns % 1000000000);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &begin, NULL);
}

int main(int argc, char **argv)
{
    uint32_t probes = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 500000, replies = 0, sent = 0;
    uint32_t per_second = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    struct timespec begin;
    int fd = open_socket();

    clock_gettime(CLOCK_MONOTONIC, &begin);

    prepare();
    while (sent < probes) {
        for (int i = 0; i < BATCH; i++)
            write_packet(i, sent + (uint32_t)i);
        if (sendmmsg(fd, out, BATCH, 0) != BATCH) {
            perror("sendmmsg");
            return 1;
        }
        sent += BATCH;
        replies += drain(fd);
        if (per_second)
            pace(begin, sent, per_second);
    }
    printf("cpu_us_per_probe %.3f sent %u received %u\n", cpu_seconds() * 1e6 / sent, sent, replies);
    return 0;
}
