/*
 * bench_icmp_engine - the ICMP engine alone, on loopback: a program that the benchmark scripts run.
 *
 * Purpose    bench_icmp_engine TARGETS COUNT INTERVAL_MS [user|kernel] probes 127.x.y.z (or, with
 *            -first ADDRESS, the addresses from there on), COUNT times each, and prints one line of
 *            `name value` pairs.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/clock.h"
#include "libprober/icmp_engine.h"

struct outcome {
    struct icmp_totals totals;
    struct moments rtt;
    struct histogram bins;
};

static void on_window(void *context, void *user, const struct icmp_window *w)
{
    struct outcome *o = context;

    (void)user;
    icmp_totals_add(&o->totals, &w->counts);
    moments_merge(&o->rtt, &w->rtt);
    for (size_t i = 0; i < w->pair_count; i++)
        histogram_add_bins(&o->bins, w->pairs[i].bin, w->pairs[i].count);
}

static void on_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    (void)context;
    (void)number;
    (void)now;
}

static void on_removed(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / CLOCK_NS_PER_S), (long)(ns % CLOCK_NS_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void report(const struct outcome *o, const struct icmp_engine_counts *c)
{
    struct rusage usage;
    double cpu;

    getrusage(RUSAGE_SELF, &usage);
    cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    printf("cpu_us_per_probe %.3f sent %llu received %llu lost %llu unknown %llu unsent %llu "
           "late_sent %llu duplicates %llu rss_mb %.1f rtt_p50_us %.2f rtt_mean_us %.2f steps %llu "
           "late_steps %llu drops %llu foreign %llu\n",
           cpu * 1e6 / (double)o->totals.sent, (unsigned long long)o->totals.sent,
           (unsigned long long)o->totals.received, (unsigned long long)icmp_totals_lost(&o->totals),
           (unsigned long long)o->totals.unknown,
           (unsigned long long)icmp_totals_unsent(&o->totals),
           (unsigned long long)o->totals.late_sent, (unsigned long long)o->totals.duplicates,
           (double)usage.ru_maxrss / 1024,
           histogram_quantile_ns(&o->bins, 0.5, o->rtt.min_ns, o->rtt.max_ns) / 1e3,
           moments_mean_ns(&o->rtt) / 1e3, (unsigned long long)c->wakeups,
           (unsigned long long)c->late_wakeups, (unsigned long long)c->receive_drops,
           (unsigned long long)c->foreign_replies);
}

static void add_all(struct icmp_engine *e, uint32_t targets, uint32_t count, uint64_t interval_ns,
                    uint32_t first, const struct clock_reading *now)
{
    for (uint32_t i = 0; i < targets; i++) {
        uint32_t address = htonl(first + i);
        struct icmp_target t = {.address = {.family = PROBER_FAMILY_IPV4},
                                .payload_size = 56,
                                .count = count,
                                .gap_ns = interval_ns,
                                .timeout_ns = interval_ns,
                                .phase = UINT64_MAX / targets * i};
        icmp_target_id id;

        memcpy(t.address.bytes, &address, 4);
        if (icmp_engine_add(e, &t, now, &id)) {
            fprintf(stderr, "cannot add target %u\n", i);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    static struct outcome outcome;
    uint32_t first = 0x7f010001;
    struct icmp_sink sink = {on_window, on_window_end, on_removed, &outcome};
    struct icmp_engine_config config = {.first_window = 1, .ipv4 = true};
    struct clock_reading now = clock_read();
    struct prober_failure why;
    struct icmp_engine_counts counts;
    struct icmp_engine *e = NULL;
    uint64_t interval_ns;
    uint32_t targets, count;

    if (argc > 2 && strcmp(argv[1], "-first") == 0) {
        first = ntohl(inet_addr(argv[2]));
        argv += 2;
        argc -= 2;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: bench_icmp_engine [-first ADDRESS] TARGETS COUNT INTERVAL_MS "
                        "[user|kernel]\n");
        return argc == 1 ? 0 : 2;
    }
    targets = (uint32_t)strtoul(argv[1], NULL, 10);
    count = (uint32_t)strtoul(argv[2], NULL, 10);
    interval_ns = strtoull(argv[3], NULL, 10) * CLOCK_NS_PER_MS;
    config.window_ns = interval_ns * count;
    if (argc > 4)
        config.timestamps =
            strcmp(argv[4], "user") == 0 ? ICMP_TIMESTAMPS_USER : ICMP_TIMESTAMPS_KERNEL;
    if (icmp_engine_create(&e, &config, &sink, &now, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    add_all(e, targets, count, interval_ns, first, &now);
    icmp_engine_finish(e);
    while (!icmp_engine_is_finished(e)) {
        now = clock_read();
        sleep_until(icmp_engine_step(e, &now));
    }
    icmp_engine_counts(e, &counts);
    report(&outcome, &counts);
    icmp_engine_destroy(e);
    return 0;
}
