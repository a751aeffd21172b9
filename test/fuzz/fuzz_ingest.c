/*
 * fuzz_ingest - reports of an agent that means ill: decoded, applied twice, and merged.
 *
 * Whatever the bytes are, the counters stay lawful, a report counts at most once, and its cells are
 * given back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "serverd/shard.h"

#define NOW (UINT64_C(1000000) * 1000000000)
#define EXPIRY (UINT64_C(75) * 1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_url(const struct mesh_url *url, bool applied)
{
    uint64_t ended = 0;

    for (size_t i = 0; i < HTTP_TOTALS_REASONS; i++)
        ended += url->window.ended[i];
    must(url->total_buckets[MESH_URL_BUCKETS] == http_totals_succeeded(&url->total));
    must(applied || http_totals_probed(&url->total) + http_totals_unsent(&url->total) == 0);
    must(!url->has_gauges || (url->window.agents > 0 && ended == url->window.agents));
}

static void check_mesh(struct shard *shard, const struct known *known, bool applied)
{
    struct shard_merged merged;

    must(shard_merge(shard, known, NOW, &merged) == PROBER_OK);
    for (size_t i = 0; i < merged.count; i++) {
        const struct mesh_pair *p = &merged.pairs[i];

        must(icmp_totals_are_lawful(&p->total));
        must(icmp_totals_are_lawful(&p->window.counts));
        must(p->total_buckets[HISTOGRAM_BUCKETS] == p->total.received);
        must(applied || p->total.sent == 0);
        if (p->has_gauges && p->window.rtt.count > 0) {
            double mean = moments_mean_ns(&p->window.rtt);

            must(p->window.rtt.count == p->window.counts.received);
            must(mean + 1 >= (double)p->window.rtt.min_ns &&
                 mean - 1 <= (double)p->window.rtt.max_ns);
            must(moments_stddev_ns(&p->window.rtt) <= (double)p->window.rtt.max_ns + 1);
        }
    }
    for (size_t i = 0; i < merged.url_count; i++)
        check_url(&merged.urls[i], applied);
    free(merged.pairs);
    free(merged.urls);
}

static void apply(struct shard *shard, const struct known *known, const struct wire_report *report)
{
    struct session session = {.region = (char[]){"a"}, .probe_interval_ns = EXPIRY / 5};
    enum wire_outcome first, second;

    must(shard_apply(shard, &session, report, NOW, &first) == PROBER_OK);
    must(shard_apply(shard, &session, report, NOW, &second) == PROBER_OK);
    must(second == (first == WIRE_APPLIED ? WIRE_DUPLICATE : first));
    check_mesh(shard, known, first == WIRE_APPLIED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct directory directory;
    struct shard_budget budget = {.cells_max = 1000};
    struct shard_config config = {.count = 1,
                                  .expiry_ns = EXPIRY,
                                  .backfill_ns = EXPIRY,
                                  .pairs_max = 100,
                                  .budget = &budget};
    struct wire_request request;
    struct known *known;
    struct shard *shard;

    if (wire_request_decode(data, size, &request, NULL) != PROBER_OK)
        return 0;
    if (request.call == WIRE_REPORT) {
        must(known_create(&known, &directory) == PROBER_OK);
        must(shard_create(&shard, &config) == PROBER_OK);
        apply(shard, known, &request.as.report);
        shard_destroy(shard);
        known_destroy(known);
        must(atomic_load(&budget.cells) == 0);
    }
    wire_request_free(&request);
    return 0;
}
