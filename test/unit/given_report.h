/*
 * given_report - reports for the tests of the server's ingest: lawful unless a test bends them.
 *
 * Purpose    A row is made from RTTs and counts: sent, sums and bins follow. Columns can then be bent.
 */
#ifndef TEST_UNIT_GIVEN_REPORT_H
#define TEST_UNIT_GIVEN_REPORT_H

#include <stdlib.h>
#include <string.h>

#include "common/icmp_counts.h"
#include "common/wire.h"
#include "libprober/histogram.h"
#include "libprober/moments.h"
#include "serverd/directory.h"
#include "serverd/session.h"

#define GIVEN_ROWS 8
#define GIVEN_BINS 512
#define SECOND UINT64_C(1000000000)
#define MSEC UINT64_C(1000000)

struct given {
    struct wire_report report;
    struct wire_target_name names[GIVEN_ROWS];
    uint32_t target[GIVEN_ROWS];
#define GIVEN_COLUMN(name, help) uint32_t name[GIVEN_ROWS];
    ICMP_COUNTS(GIVEN_COLUMN)
#undef GIVEN_COLUMN
    uint64_t sum[GIVEN_ROWS], low[GIVEN_ROWS], high[GIVEN_ROWS], min[GIVEN_ROWS], max[GIVEN_ROWS];
    uint64_t jitter[GIVEN_ROWS], resolve[GIVEN_ROWS];
    uint32_t bins[GIVEN_ROWS], step[GIVEN_BINS], count[GIVEN_BINS];
    uint32_t sender[GIVEN_ROWS], window[GIVEN_ROWS], arrived[GIVEN_ROWS];
};

static inline struct wire_report *given_report(struct given *g, uint64_t sequence)
{
    struct wire_report *r = &g->report;

    memset(g, 0, sizeof(*g));
    r->sequence = sequence;
    r->window = (uint32_t)sequence;
    r->window_ns = 15 * SECOND;
    r->names = g->names;
    r->target = g->target;
#define GIVEN_COLUMN(name, help) r->icmp.name = g->name;
    ICMP_COUNTS(GIVEN_COLUMN)
#undef GIVEN_COLUMN
    r->icmp.rtt_sum_ns = g->sum;
    r->icmp.rtt_square_low = g->low;
    r->icmp.rtt_square_high = g->high;
    r->icmp.rtt_min_ns = g->min;
    r->icmp.rtt_max_ns = g->max;
    r->icmp.jitter_ns = g->jitter;
    r->icmp.resolve_ns = g->resolve;
    r->icmp.histogram_bins = g->bins;
    r->icmp.bin_step = g->step;
    r->icmp.bin_count = g->count;
    r->arrivals = (struct wire_arrivals){g->sender, g->window, g->arrived, 0};
    return r;
}

static inline void given_name(struct given *g, uint32_t number, const char *region,
                              const char *target, bool control)
{
    g->names[g->report.name_count++] =
        (struct wire_target_name){number, WIRE_KIND_ICMP, region, target, control};
}

static inline int given_compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

/* Adds a row: n replies with these RTTs, `lost` by timeout, `unknown`; returns its place. */
static inline size_t given_row(struct given *g, uint32_t number, const uint64_t *rtt_ns, size_t n,
                               uint32_t lost, uint32_t unknown)
{
    size_t row = g->report.rows++;
    moments_square square = 0;
    unsigned bins[GIVEN_BINS], last = 0;

    g->target[row] = number;
    g->received[row] = (uint32_t)n;
    g->lost_timeout[row] = lost;
    g->unknown[row] = unknown;
    g->sent[row] = (uint32_t)n + lost + unknown;
    for (size_t i = 0; i < n; i++) {
        g->sum[row] += rtt_ns[i];
        square += (moments_square)rtt_ns[i] * rtt_ns[i];
        g->min[row] = i == 0 || rtt_ns[i] < g->min[row] ? rtt_ns[i] : g->min[row];
        g->max[row] = rtt_ns[i] > g->max[row] ? rtt_ns[i] : g->max[row];
        bins[i] = histogram_bin(rtt_ns[i]);
    }
    g->low[row] = (uint64_t)square;
    g->high[row] = (uint64_t)(square >> 64);
    qsort(bins, n, sizeof(bins[0]), given_compare);
    for (size_t i = 0; i < n; i++) {
        size_t at = g->report.icmp.bin_total;

        if (i > 0 && bins[i] == bins[i - 1]) {
            g->count[at - 1]++;
            continue;
        }
        g->step[at] = bins[i] - last;
        g->count[at] = 1;
        last = bins[i];
        g->bins[row]++;
        g->report.icmp.bin_total++;
    }
    return row;
}

static inline void given_arrival(struct given *g, uint32_t sender, uint32_t count)
{
    g->sender[g->report.arrivals.length] = sender;
    g->window[g->report.arrivals.length] = g->report.window;
    g->arrived[g->report.arrivals.length++] = count;
}

/* A session of agent `number` of a region, probing every 15 s with a timeout of 3 s. */
static inline struct session *given_session(uint32_t number, uint8_t boot, const char *region)
{
    struct prober_id id = {{1}}, boot_id = {{2, boot}};
    struct session *session;

    memcpy(&id.bytes[4], &number, sizeof(number));
    session = session_create(&id, &boot_id, number, region);
    session->probe_interval_ns = 15 * SECOND;
    session->probe_timeout_ns = 3 * SECOND;
    return session;
}

/* The directory's entry of the same agent. */
static inline struct directory_agent given_agent(uint32_t number, const char *region)
{
    struct directory_agent agent = {
        .id = {{1}}, .number = number, .region = region, .version = "1.0.0", .alive = true};

    memcpy(&agent.id.bytes[4], &number, sizeof(number));
    return agent;
}

#endif
