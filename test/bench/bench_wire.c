/*
 * bench_wire - what decoding a report costs the server.
 *
 * Purpose    Decodes a report of 1,000 rows, each of 64 RTTs in 24 bins, for a second, and prints
 * the CPU per row and how many rows a core could decode.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/wire.h"

#define ROWS 1000
#define BINS_PER_ROW 24
#define SECONDS 1.0

static uint32_t target[ROWS], sent[ROWS], received[ROWS], lost[ROWS], late[ROWS], bins[ROWS];
static uint64_t sum[ROWS], square[ROWS], min[ROWS], max[ROWS], jitter[ROWS];
static uint32_t step[ROWS * BINS_PER_ROW], count[ROWS * BINS_PER_ROW];

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fill_report(struct wire_report *report)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        uint64_t rtt = 20000000 + i * 7919;

        target[i] = i;
        sent[i] = 64;
        lost[i] = i % 50 == 0;
        received[i] = 64 - lost[i];
        late[i] = i % 7;
        sum[i] = rtt * received[i];
        square[i] = rtt * rtt * received[i];
        min[i] = rtt - 900000;
        max[i] = rtt + 1900000;
        jitter[i] = 120000 + i;
        bins[i] = BINS_PER_ROW;
        for (uint32_t k = 0; k < BINS_PER_ROW; k++) {
            step[i * BINS_PER_ROW + k] = k ? 1 + k % 3 : 280 + i % 20;
            count[i * BINS_PER_ROW + k] = 1 + k % 4;
        }
    }
    *report = (struct wire_report){.sequence = 1,
                                   .window = 1,
                                   .window_ns = 1000000000,
                                   .target = target,
                                   .rows = ROWS,
                                   .icmp = {.sent = sent,
                                            .received = received,
                                            .lost_timeout = lost,
                                            .late_sent = late,
                                            .rtt_sum_ns = sum,
                                            .rtt_square_low = square,
                                            .rtt_min_ns = min,
                                            .rtt_max_ns = max,
                                            .jitter_ns = jitter,
                                            .histogram_bins = bins,
                                            .bin_step = step,
                                            .bin_count = count,
                                            .bin_total = ROWS * BINS_PER_ROW}};
}

static double decode(const struct strbuf *bytes)
{
    double start = cpu_seconds(), used;
    unsigned runs = 0;

    do {
        struct wire_request request = {0};

        if (wire_request_decode(bytes->bytes, bytes->len, &request, NULL))
            return -1;
        wire_request_free(&request);
        runs++;
    } while ((used = cpu_seconds() - start) < SECONDS);
    return used / runs / ROWS * 1e9;
}

int main(void)
{
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = WIRE_REPORT};
    struct strbuf bytes = STRBUF_INIT;
    double ns = -1;

    fill_report(&request.as.report);
    if (wire_request_encode(&request, &bytes) == PROBER_OK)
        ns = decode(&bytes);
    printf(
        "wire: report of %d rows x %d bins, %zu bytes: %.0f ns a row, %.1f million rows a second\n",
        ROWS, BINS_PER_ROW, bytes.len, ns, 1e3 / ns);
    strbuf_free(&bytes);
    return ns < 0;
}
