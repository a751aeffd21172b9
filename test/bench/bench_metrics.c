/*
 * bench_metrics - what rendering a scrape costs.
 *
 * Purpose    Renders 100,000 series of one pair of labels, half of them counters and half RTTs, again
 *            and again for a second, and prints the time of one rendering.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "common/metrics.h"

#define SERIES 100000
#define SECONDS 1.0

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void render(struct strbuf *out)
{
    static const struct metric_family sent = {"prober_icmp_packets_sent_total", METRIC_COUNTER, NULL,
                                              "Probes that were sent."};
    static const struct metric_family rtt = {"prober_icmp_rtt_mean_seconds", METRIC_GAUGE, "seconds",
                                             "Mean RTT."};
    static const char labels[] =
        "source_region=\"cn-shanghai\",target_region=\"eu-central\",prober_method=\"icmp\"";
    struct metrics_writer w = {out, METRICS_PROMETHEUS, NULL};

    strbuf_clear(out);
    metrics_family(&w, &sent);
    for (unsigned i = 0; i < SERIES / 2; i++)
        metrics_sample_text_u64(&w, labels, sizeof(labels) - 1, 1000003ull * i);
    metrics_family(&w, &rtt);
    for (unsigned i = 0; i < SERIES / 2; i++)
        metrics_sample_text(&w, labels, sizeof(labels) - 1, 0.012345678 + i * 1e-7 / 3);
    metrics_end(&w);
}

int main(void)
{
    struct strbuf out = STRBUF_INIT;
    double start, used;
    unsigned runs = 0;

    render(&out);
    start = cpu_seconds();
    do {
        render(&out);
        runs++;
    } while ((used = cpu_seconds() - start) < SECONDS);
    printf("metrics: %d series, %zu bytes: %.1f ms\n", SERIES, out.len, used / runs * 1e3);
    strbuf_free(&out);
    return 0;
}
