/*
 * bench_scrape - what a scrape of 100,000 series costs.
 *
 * Purpose    Reports of 43 regions that probe one another fill the ingest; the exposition of the mesh
 *            is rendered, in both formats, and then fetched over HTTP on the loopback. Prints the
 *            median of a few turns, rendering and serving added up.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/web.h"
#include "libprober/histogram.h"
#include "libprober/moments.h"
#include "serverd/aggregate.h"
#include "serverd/directory.h"
#include "serverd/ingest.h"
#include "serverd/session.h"

#define REGIONS 43
#define SERIES_MIN 100000
#define LIMIT_MS 100.0
#define TURNS 7
#define RTTS 64
#define SECOND UINT64_C(1000000000)

static char regions[REGIONS][32];

static void die(const char *what)
{
    fprintf(stderr, "bench_scrape: %s\n", what);
    exit(1);
}

static double ms_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e6;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- a full mesh ---- */

static struct directory *make_directory(void)
{
    static struct directory_pair pairs[REGIONS * REGIONS];
    static struct directory_agent agents[REGIONS];
    struct directory from = {.agents = agents, .agent_count = REGIONS, .pairs = pairs};
    struct directory *directory;

    for (uint32_t i = 0; i < REGIONS; i++) {
        snprintf(regions[i], sizeof(regions[i]), "region-%02u", i);
        agents[i] = (struct directory_agent){.number = i + 1,
                                             .region = regions[i],
                                             .version = "1.0.0",
                                             .os = "linux",
                                             .architecture = "amd64",
                                             .alive = true};
        memcpy(agents[i].id.bytes, &agents[i].number, sizeof(agents[i].number));
    }
    for (uint32_t i = 0; i < REGIONS; i++)
        for (uint32_t j = 0; j < REGIONS; j++)
            if (i != j)
                pairs[from.pair_count++] = (struct directory_pair){regions[i], regions[j]};
    if (directory_create(&directory, &from) != PROBER_OK)
        die("no directory");
    return directory;
}

/* The columns of a report: a row for each region. */
struct columns {
    struct wire_target_name names[REGIONS];
    uint32_t target[REGIONS], sent[REGIONS], received[REGIONS], lost[REGIONS];
    uint64_t sum[REGIONS], low[REGIONS], rtt[REGIONS], jitter[REGIONS];
    uint32_t bins[REGIONS], step[REGIONS], count[REGIONS];
};

/* 64 probes to each region, of which some are lost; those to its own are hidden controls. */
static struct wire_report fill(struct columns *c, uint32_t region)
{
    for (uint32_t i = 0; i < REGIONS; i++) {
        uint64_t rtt = 1234567 + 7654321 * (uint64_t)i + 1357 * (uint64_t)region;

        c->names[i] =
            (struct wire_target_name){i, WIRE_KIND_ICMP, regions[i], "192.0.2.1", i == region};
        c->target[i] = i;
        c->sent[i] = RTTS;
        c->lost[i] = i % 3;
        c->received[i] = RTTS - c->lost[i];
        c->sum[i] = rtt * c->received[i];
        c->low[i] = rtt * rtt * c->received[i];
        c->rtt[i] = rtt;
        c->jitter[i] = rtt / 7;
        c->bins[i] = 1;
        c->step[i] = histogram_bin(rtt);
        c->count[i] = c->received[i];
    }
    return (struct wire_report){.sequence = 1,
                                .window = 1,
                                .window_ns = 15 * SECOND,
                                .names = c->names,
                                .name_count = REGIONS,
                                .target = c->target,
                                .rows = REGIONS,
                                .icmp = {.sent = c->sent,
                                         .received = c->received,
                                         .lost_timeout = c->lost,
                                         .rtt_sum_ns = c->sum,
                                         .rtt_square_low = c->low,
                                         .rtt_min_ns = c->rtt,
                                         .rtt_max_ns = c->rtt,
                                         .jitter_ns = c->jitter,
                                         .histogram_bins = c->bins,
                                         .bin_step = c->step,
                                         .bin_count = c->count,
                                         .bin_total = REGIONS}};
}

static void report(struct ingest *ingest, uint32_t region)
{
    struct columns columns;
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = WIRE_REPORT}, decoded;
    struct strbuf bytes = STRBUF_INIT;
    struct session *session = session_create(&(struct prober_id){{1}}, &(struct prober_id){{2}},
                                             region + 1, regions[region]);

    if (!session)
        die("no session");
    memcpy(session->agent_id.bytes, &session->agent_number, sizeof(session->agent_number));
    session->probe_interval_ns = session->probe_timeout_ns = 3600 * SECOND;
    session->shard = ingest_shard_of(ingest, session->region);
    request.agent_id = session->agent_id;
    request.boot_id = session->boot_id;
    request.as.report = fill(&columns, region);
    if (wire_request_encode(&request, &bytes) != PROBER_OK ||
        wire_request_decode(bytes.bytes, bytes.len, &decoded, NULL) != PROBER_OK)
        die("cannot encode a report");
    strbuf_free(&bytes);
    ingest_submit(ingest, session, NULL, &decoded, clock_monotonic_ns());
}

/* ---- serving ---- */

static void serve(struct web_exchange *x, void *context)
{
    struct aggregate_scrape *scrape = aggregate_scrape(context, METRICS_PROMETHEUS, false);
    size_t len;
    const void *bytes = aggregate_scrape_bytes(scrape, &len);

    web_reply(x, 200, metrics_content_type(METRICS_PROMETHEUS), bytes, len);
    aggregate_scrape_put(scrape);
}

/* Fetches /metrics into *out, and returns the milliseconds that it took. */
static double fetch(uint16_t port, struct strbuf *out)
{
    static const char request[] =
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint64_t start_ns = clock_monotonic_ns();
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static char block[1 << 18];
    ssize_t n;

    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        write(sock, request, sizeof(request) - 1) != sizeof(request) - 1)
        die("cannot ask for /metrics");
    strbuf_clear(out);
    while ((n = read(sock, block, sizeof(block))) > 0)
        strbuf_put(out, block, (size_t)n);
    close(sock);
    return ms_since(start_ns);
}

static size_t count_series(const struct strbuf *body)
{
    size_t series = 0;

    for (const char *at = body->bytes; (at = strchr(at, '\n')); at++)
        series += at[1] == 'p'; /* "prober_…", "process_…" */
    return series;
}

/* ---- turns ---- */

static double render(struct aggregate *aggregate, struct directory_board *board)
{
    static const struct exposition_settings settings;
    static const struct exposition_health health;
    struct mesh *mesh = aggregate_mesh(aggregate);
    struct directory *directory = directory_get(board);
    uint64_t start_ns = clock_monotonic_ns();
    double took;

    for (int format = 0; format < 2; format++) {
        struct strbuf text = STRBUF_INIT;

        if (exposition_render(&text, (enum metrics_format)format, mesh, directory, &settings,
                              &health) != PROBER_OK)
            die("cannot render");
        strbuf_free(&text);
    }
    took = ms_since(start_ns);
    directory_put(directory);
    mesh_put(mesh);
    return took;
}

static int measure(struct aggregate *aggregate, struct directory_board *board, uint16_t port)
{
    double rendering[TURNS], serving[TURNS], total;
    struct strbuf body = STRBUF_INIT;
    size_t series;
    bool ok;

    for (int i = 0; i < TURNS; i++) {
        rendering[i] = render(aggregate, board);
        serving[i] = fetch(port, &body);
    }
    series = count_series(&body);
    strbuf_free(&body);
    qsort(rendering, TURNS, sizeof(double), compare_doubles);
    qsort(serving, TURNS, sizeof(double), compare_doubles);
    total = rendering[TURNS / 2] + serving[TURNS / 2];
    ok = series >= SERIES_MIN && total < LIMIT_MS;
    fprintf(stderr, "bench_scrape: %zu series; rendering both formats %.1f ms, serving %.1f ms\n",
            series, rendering[TURNS / 2], serving[TURNS / 2]);
    printf("bench: scrape_100k_series_render_and_serve_ms %.1f %.0f %s\n", total, LIMIT_MS,
           ok ? "ok" : "FAIL");
    return ok ? 0 : 1;
}

int main(void)
{
    static const struct web_route routes[] = {{"/metrics", WEB_GET, 0, serve}};
    const struct ingest_config ingest_config = {.aggregation_interval_ns = 15 * SECOND,
                                                .series_cache_ratio = 5};
    struct aggregate_config config = {.interval_ns = 3600 * SECOND};
    struct web_config web_config = {.listen = "127.0.0.1:0"};
    struct aggregate *aggregate;
    struct web_server *web;
    int status;

    if (ingest_create(&config.ingest, &ingest_config, NULL) != PROBER_OK ||
        directory_board_create(&config.board) != PROBER_OK)
        die("cannot start");
    directory_publish(config.board, make_directory());
    for (uint32_t i = 0; i < REGIONS; i++)
        report(config.ingest, i);
    if (aggregate_create(&aggregate, &config, NULL) != PROBER_OK)
        die("cannot aggregate");
    web_config.context = aggregate;
    if (web_open(&web, &web_config, routes, 1, NULL) != PROBER_OK)
        die("cannot serve");
    status = measure(aggregate, config.board, web_port(web));
    web_close(web);
    aggregate_destroy(aggregate);
    directory_board_destroy(config.board);
    ingest_destroy(config.ingest);
    return status;
}
