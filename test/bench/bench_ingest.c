/*
 * bench_ingest - how many target results the server takes in a second of one core's time.
 *
 * Purpose    1,000 agents in 20 regions report on 1,000 targets each: encoded reports, as the link
 *            delivers them, are decoded, checked, applied by the shards, and merged into a mesh once
 *            for all of them, as at an aggregation. Each result is of 64 RTTs in 20 or more bins, or,
 *            in a run of its own, of one probe of a URL. Encoding is not counted. Prints results per
 *            second of CPU time of the whole process.
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/process.h"
#include "common/wire.h"
#include "libprober/histogram.h"
#include "libprober/http_judge.h"
#include "libprober/moments.h"
#include "serverd/directory.h"
#include "serverd/ingest.h"
#include "serverd/session.h"

#define AGENTS 1000
#define TARGETS 1000
#define REGIONS 20
#define ROUNDS 3 /* the first fills empty memory and is not counted */
#define RTTS 64
#define ROWS 4096
#define BINS_MIN 20
#define LIMIT 1e6
#define RESIDENT_MB_MAX 500
#define SECOND UINT64_C(1000000000)

/* The columns of a report, with room for one row a target. */
struct columns {
    enum wire_kind kind;
    struct wire_target_name names[TARGETS];
    uint32_t target[TARGETS], sent[TARGETS], received[TARGETS];
#define COLUMN(type, name) type name[TARGETS];
    WIRE_HTTP_COLUMNS(COLUMN)
#undef COLUMN
    uint64_t sum[TARGETS], low[TARGETS], high[TARGETS], min[TARGETS], max[TARGETS];
    uint64_t jitter[TARGETS];
    uint32_t bins[TARGETS], step[TARGETS * RTTS], count[TARGETS * RTTS];
    size_t bin_total;
};

/* What a target may have come to; rows are drawn from a stock of these. */
struct row {
    struct moments rtt;
    struct histogram_pair pairs[RTTS];
    size_t pair_count;
};

static struct row stock[ROWS];
static char target_names[TARGETS][32];
static char region_names[REGIONS][16];

static uint32_t next_random(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static double cpu_seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Makes a row of 64 RTTs around a base of its own, spread enough for 20 bins. */
static void make_row(struct row *r)
{
    uint16_t bins[RTTS];

    do {
        uint64_t base = 1000000 + next_random() % 50000000;

        r->rtt = (struct moments){0};
        for (int i = 0; i < RTTS; i++) {
            uint64_t rtt = base + next_random() % base;

            moments_add(&r->rtt, rtt);
            bins[i] = (uint16_t)histogram_bin(rtt);
        }
        r->pair_count = histogram_pairs(bins, RTTS, r->pairs);
    } while (r->pair_count < BINS_MIN);
}

static void fill_http_row(struct columns *c, uint32_t row)
{
    uint64_t us = 1000 + next_random() % 100000;
    bool failed = next_random() % 50 == 0;

    c->reason[row] = failed ? HTTP_FAILED_STATUS_CODE : HTTP_SUCCEEDED;
    c->status[row] = failed ? 503 : 200;
    c->version[row] = 20;
    c->tls_version[row] = 0x0304;
    c->dns_answers[row] = 1 + next_random() % 4;
    c->resolve_ns[row] = c->connect_ns[row] = c->tls_ns[row] = c->processing_ns[row] =
        c->transfer_ns[row] = us * 200;
    c->duration_ns[row] = us * 1000;
    c->content_length[row] = c->body_received[row] = c->body_decoded[row] =
        1 + next_random() % 10000;
    c->earliest_cert_expiry[row] = c->last_chain_expiry[row] = 1800000000 + next_random() % 1000;
    c->age_ns[row] = next_random();
}

static void fill_icmp_row(struct columns *c, uint32_t row, const struct row *r)
{
    c->sent[row] = c->received[row] = RTTS;
    c->sum[row] = r->rtt.sum_ns;
    c->low[row] = (uint64_t)r->rtt.square_ns2;
    c->high[row] = (uint64_t)(r->rtt.square_ns2 >> 64);
    c->min[row] = r->rtt.min_ns;
    c->max[row] = r->rtt.max_ns;
    c->jitter[row] = (r->rtt.max_ns - r->rtt.min_ns) / 3;
    c->bins[row] = (uint32_t)r->pair_count;
    for (size_t i = 0; i < r->pair_count; i++) {
        c->step[c->bin_total] = r->pairs[i].bin - (i ? r->pairs[i - 1].bin : 0u);
        c->count[c->bin_total++] = r->pairs[i].count;
    }
}

static struct session *make_session(uint32_t agent, const struct ingest *ingest)
{
    struct prober_id id = {{1}}, boot = {{2}};
    struct session *session;

    memcpy(&id.bytes[4], &agent, sizeof(agent));
    memcpy(&id.bytes[0], &agent, sizeof(agent));
    session = session_create(&id, &boot, agent, region_names[agent % REGIONS]);
    session->probe_interval_ns = 15 * SECOND;
    session->probe_timeout_ns = 3 * SECOND;
    session->shard = ingest_shard_of(ingest, session->region);
    return session;
}

/* The bytes of one report; only an agent's first carries the names. */
static void encode(struct columns *c, const struct session *session, uint32_t window,
                   struct strbuf *out)
{
    struct wire_request request = {
        .protocol = WIRE_PROTOCOL,
        .agent_id = session->agent_id,
        .boot_id = session->boot_id,
        .call = WIRE_REPORT,
    };

    c->bin_total = 0;
    for (uint32_t row = 0; row < TARGETS; row++) {
        c->target[row] = row;
        if (c->kind == WIRE_KIND_HTTP)
            fill_http_row(c, row);
        else
            fill_icmp_row(c, row, &stock[next_random() % ROWS]);
    }
    request.as.report = (struct wire_report){
        .kind = c->kind,
        .sequence = window,
        .window = window,
        .window_ns = 15 * SECOND,
        .age_ns = SECOND,
        .names = c->names,
        .name_count = window == 1 ? TARGETS : 0,
        .target = c->target,
        .rows = TARGETS,
        .icmp = {.sent = c->sent,
                 .received = c->received,
                 .rtt_sum_ns = c->sum,
                 .rtt_square_low = c->low,
                 .rtt_square_high = c->high,
                 .rtt_min_ns = c->min,
                 .rtt_max_ns = c->max,
                 .jitter_ns = c->jitter,
                 .histogram_bins = c->bins,
                 .bin_step = c->step,
                 .bin_count = c->count,
                 .bin_total = c->bin_total},
    };
    if (c->kind == WIRE_KIND_HTTP) {
        request.as.report.icmp = (struct wire_icmp_columns){.sent = NULL};
#define COLUMN(type, name) request.as.report.http.name = c->name;
        WIRE_HTTP_COLUMNS(COLUMN)
#undef COLUMN
    }
    if (wire_request_encode(&request, out) != PROBER_OK || !strbuf_ok(out))
        exit(1);
}

static void name_targets(struct columns *c, enum wire_kind kind)
{
    c->kind = kind;
    for (uint32_t i = 0; i < TARGETS; i++) {
        snprintf(target_names[i], sizeof(target_names[i]),
                 kind == WIRE_KIND_HTTP ? "https://h%u-%u.example/" : "10.%u.%u.1", i / 250,
                 i % 250);
        c->names[i] = (struct wire_target_name){i, kind, region_names[i / (TARGETS / REGIONS)],
                                                target_names[i], false};
    }
}

/* One round: every agent reports, then all is merged. Returns the CPU time that it took: all of the
 * other threads', and this one's but for the encoding. */
static double run_round(struct ingest *ingest, struct session **sessions, struct columns *c,
                        uint32_t window, struct mesh **mesh)
{
    static const struct directory directory;
    struct strbuf bytes = STRBUF_INIT;
    double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID), encoding = 0;

    for (uint32_t i = 0; i < AGENTS; i++) {
        double start = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
        struct wire_request request;

        strbuf_clear(&bytes);
        encode(c, sessions[i], window, &bytes);
        encoding += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
        if (wire_request_decode(bytes.bytes, bytes.len, &request, NULL) != PROBER_OK)
            exit(1);
        ingest_submit(ingest, session_get(sessions[i]), NULL, &request, window * 15 * SECOND);
    }
    if (ingest_collect(ingest, &directory, window * 15 * SECOND, 0, mesh) != PROBER_OK)
        exit(1);
    strbuf_free(&bytes);
    return cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - all - encoding;
}

static bool is_whole(const struct mesh *mesh, enum wire_kind kind)
{
    uint64_t expected = (uint64_t)AGENTS * TARGETS * (ROUNDS + 1);

    if (kind == WIRE_KIND_HTTP)
        return mesh->receive_points_http == expected && mesh->url_count == REGIONS * TARGETS;
    return mesh->receive_points_icmp == expected && mesh->pair_count == REGIONS * REGIONS;
}

static bool run(struct columns *columns, enum wire_kind kind, const char *name)
{
    static struct session *sessions[AGENTS];
    struct ingest_config config = {.shards = 2,
                                   .queue_capacity = AGENTS,
                                   .aggregation_interval_ns = 15 * SECOND,
                                   .series_cache_ratio = 5};
    struct ingest *ingest;
    struct mesh *mesh = NULL;
    struct process_usage before, usage;
    double used = 0, rate, mb;

    name_targets(columns, kind);
    process_usage_read(&before);
    if (ingest_create(&ingest, &config, NULL) != PROBER_OK)
        exit(1);
    for (uint32_t i = 0; i < AGENTS; i++)
        sessions[i] = make_session(i, ingest);
    for (uint32_t window = 1; window <= ROUNDS + 1; window++) {
        double round;

        mesh_put(mesh);
        round = run_round(ingest, sessions, columns, window, &mesh);
        used += window > 1 ? round : 0;
    }
    process_usage_read(&usage);
    rate = is_whole(mesh, kind) ? (double)AGENTS * TARGETS * ROUNDS / used : 0;
    mb = (double)(usage.resident_bytes - before.resident_bytes) / 1e6;
    printf("bench: ingest_%sresults_per_second_per_core %.0f %.0f %s\n", name, rate, LIMIT,
           rate >= LIMIT ? "ok" : "FAIL");
    printf("bench: ingest_%sresident_mb_at_1m_cells %.0f %d %s\n", name, mb, RESIDENT_MB_MAX,
           mb < RESIDENT_MB_MAX ? "ok" : "FAIL");
    mesh_put(mesh);
    ingest_destroy(ingest);
    for (int i = 0; i < AGENTS; i++)
        session_put(sessions[i]);
    malloc_trim(0); /* for the next run's figure */
    return rate >= LIMIT && mb < RESIDENT_MB_MAX;
}

int main(void)
{
    static struct columns columns;
    bool ok;

    for (uint32_t i = 0; i < REGIONS; i++)
        snprintf(region_names[i], sizeof(region_names[i]), "region-%02u", i);
    for (int i = 0; i < ROWS; i++)
        make_row(&stock[i]);
    ok = run(&columns, WIRE_KIND_ICMP, "");
    ok = run(&columns, WIRE_KIND_HTTP, "http_") && ok;
    return ok ? 0 : 1;
}
