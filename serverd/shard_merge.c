#include "serverd/shard.h"

#include <stdlib.h>
#include <string.h>

#include "serverd/shard_state.h"

/* What the fresh cells of a pair sum to. */
struct sums {
    struct mesh_window window;
    struct histogram histogram;
    double jitter_weighted, resolve_sum;
    uint64_t resolved;
};

/* ---- arrivals ---- */

enum prober_error shard_take_arrivals(struct shard *s, struct shard_arrival **out, size_t *count)
{
    struct shard_arrival *arrivals;
    size_t total = 0, n = 0;

    for (size_t i = 0; i < s->source_count; i++)
        total += s->sources[i]->sender_count;
    arrivals = malloc((total ? total : 1) * sizeof(*arrivals));
    if (!arrivals)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < s->source_count; i++) {
        struct source *source = s->sources[i];

        for (size_t j = 0; j < source->sender_count; j++)
            arrivals[n++] = (struct shard_arrival){source->name, source->senders[j].number,
                                                   source->senders[j].arrived};
        source->sender_count = 0;
        index_clear(&source->by_sender);
    }
    *out = arrivals;
    *count = n;
    return PROBER_OK;
}

void shard_add_arrivals(struct shard *s, const struct known *known,
                        const struct shard_arrival *arrivals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *region = known_region_of(known, arrivals[i].sender);
        const struct source *source = NULL;
        struct pair *pair = NULL;

        /* Inside a region the hidden controls arrive as well: what was meant for the pair cannot be
         * told from them. */
        if (region && strcmp(region, arrivals[i].target) != 0)
            source = shard_find_source(s, region);
        if (source)
            pair = shard_find_pair(source, arrivals[i].target);
        if (pair)
            pair->arrived += arrivals[i].count;
    }
}

/* ---- gauges ---- */

static void merge_cell(struct sums *sums, const struct cell *cell)
{
    const struct icmp_counts *c = &cell->counts;
    uint32_t lost = c->lost_timeout + c->lost_unreachable + c->lost_ttl;
    struct mesh_window *w = &sums->window;
    struct moments rtt = {
        .count = c->received,
        .sum_ns = cell->rtt_sum_ns,
        .square_ns2 = (moments_square)cell->square_high << 64 | cell->square_low,
        .min_ns = cell->rtt_min_ns,
        .max_ns = cell->rtt_max_ns,
    };

    if (w->cells++ == 0 || shard_is_later(cell->ended_ns, w->ended_ns))
        w->ended_ns = cell->ended_ns;
    w->failed_cells += c->received == 0 && (lost > 0 || (c->sent == 0 && c->unsent_name > 0));
    icmp_totals_add(&w->counts, c);
    if (c->received > 0)
        moments_merge(&w->rtt, &rtt);
    for (uint16_t i = 0; i < cell->bin_count; i++)
        sums->histogram.bins[cell->bins[i].bin] += cell->bins[i].count;
    sums->jitter_weighted += (double)cell->jitter_ns * c->received;
    if (cell->has_name && c->sent > 0) {
        sums->resolve_sum += (double)cell->resolve_ns;
        sums->resolved++;
    }
}

static void merge_boot(const struct boot *boot, struct sums *sums, uint64_t now_ns)
{
    for (size_t i = 0; i < boot->cell_count; i++) {
        const struct cell *cell = &boot->cells[i];

        if (cell->pair && cell->has_window && shard_age(cell->ended_ns, now_ns) <= boot->fresh_ns)
            merge_cell(&sums[cell->pair->slot], cell);
    }
}

static void set_gauges(struct pair *pair, const struct sums *sums)
{
    struct mesh_window *w = &pair->window;

    *w = sums->window;
    pair->has_gauges = true;
    if (w->rtt.count > 0) {
        w->jitter_ns = sums->jitter_weighted / (double)w->rtt.count;
        w->p50_ns = histogram_quantile_ns(&sums->histogram, 0.5, w->rtt.min_ns, w->rtt.max_ns);
        w->p90_ns = histogram_quantile_ns(&sums->histogram, 0.9, w->rtt.min_ns, w->rtt.max_ns);
        w->p99_ns = histogram_quantile_ns(&sums->histogram, 0.99, w->rtt.min_ns, w->rtt.max_ns);
    }
    if (sums->resolved > 0)
        w->resolve_ns = sums->resolve_sum / (double)sums->resolved;
}

static void merge_source(struct shard *s, struct source *source, struct sums *sums, uint64_t now_ns)
{
    memset(sums, 0, source->pair_count * sizeof(*sums));
    for (size_t i = 0; i < source->pair_count; i++)
        source->pairs[i]->slot = i;
    for (const struct boot *boot = source->boots; boot; boot = boot->next)
        merge_boot(boot, sums, now_ns);
    for (size_t i = 0; i < source->pair_count; i++) {
        struct pair *pair = source->pairs[i];

        if (sums[i].window.cells > 0)
            set_gauges(pair, &sums[i]);
        else if (pair->has_gauges && shard_age(pair->window.ended_ns, now_ns) > s->config.expiry_ns)
            pair->has_gauges = false;
    }
}

static enum prober_error merge_sources(struct shard *s, uint64_t now_ns)
{
    struct sums *sums;
    size_t most = 1;

    for (size_t i = 0; i < s->source_count; i++)
        if (s->sources[i]->pair_count > most)
            most = s->sources[i]->pair_count;
    sums = malloc(most * sizeof(*sums));
    if (!sums)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < s->source_count; i++)
        merge_source(s, s->sources[i], sums, now_ns);
    free(sums);
    return PROBER_OK;
}

/* ---- what comes and goes ---- */

static enum prober_error make_planned(struct shard *s, const struct directory *directory)
{
    size_t planned_count = 0;

    for (size_t i = 0; i < s->source_count; i++)
        for (size_t j = 0; j < s->sources[i]->pair_count; j++)
            s->sources[i]->pairs[j]->planned = false;
    for (size_t i = 0; i < directory->pair_count; i++) {
        const struct directory_pair *planned = &directory->pairs[i];
        struct source *source;
        struct pair *pair;

        if (shard_of(planned->source, s->config.count) != s->config.number)
            continue;
        source = shard_source(s, planned->source);
        pair = source ? shard_pair(s, source, planned->target, NULL) : NULL;
        if (!pair)
            return PROBER_ERR_NOMEM;
        planned_count += !pair->planned;
        pair->planned = true;
    }
    s->unplanned_count = s->pair_count - planned_count;
    return PROBER_OK;
}

/* Drops the cells that are idle, or all of them, and packs the rest. */
static void drop_cells(struct shard *s, struct boot *boot, bool all, uint64_t now_ns)
{
    uint64_t idle_ns = boot->fresh_ns > SHARD_IDLE_NS ? boot->fresh_ns : SHARD_IDLE_NS;
    size_t kept = 0;

    for (size_t i = 0; i < boot->cell_count; i++) {
        if (all || shard_age(boot->cells[i].ended_ns, now_ns) > idle_ns)
            shard_cell_clear(s, &boot->cells[i]);
        else
            boot->cells[kept++] = boot->cells[i];
    }
    if (kept == boot->cell_count)
        return;
    boot->cell_count = kept;
    index_clear(&boot->by_number);
    for (size_t i = 0; i < kept; i++)
        index_add(&boot->by_number, index_hash_number(boot->cells[i].number), (uint32_t)i);
    if (kept == 0) {
        free(boot->cells);
        boot->cells = NULL;
        boot->cell_room = 0;
        index_free(&boot->by_number);
    }
}

static bool has_window(const struct boot *boot)
{
    for (size_t i = 0; i < boot->cell_count; i++)
        if (boot->cells[i].has_window)
            return true;
    return false;
}

/* Once a boot has a window, the cells of the boots heard before it are of the past: they would show
 * what is over. Their sequence numbers stay, so that a late copy of a report is known as such. */
static void drop_stale_cells(struct shard *s, uint64_t now_ns)
{
    for (size_t i = 0; i < s->agent_count; i++) {
        struct agent *agent = s->agents[i];
        bool superseded = false, http_superseded = false;

        for (size_t j = 0; j < agent->boot_count; j++) {
            struct boot *boot = agent->boots[j];

            drop_cells(s, boot, superseded, now_ns);
            shard_drop_http_cells(s, boot, http_superseded, now_ns);
            superseded = superseded || has_window(boot);
            http_superseded = http_superseded || shard_has_http_result(boot);
        }
    }
}

static void forget_agents(struct shard *s, const struct known *known, uint64_t now_ns)
{
    uint64_t idle_ns =
        s->config.backfill_ns > SHARD_IDLE_NS ? s->config.backfill_ns : SHARD_IDLE_NS;
    size_t kept = 0;

    for (size_t i = 0; i < s->agent_count; i++) {
        struct agent *agent = s->agents[i];

        if (agent->boot_count > 0 && (shard_age(agent->boots[0]->heard_ns, now_ns) <= idle_ns ||
                                      known_agent(known, &agent->id))) {
            s->agents[kept++] = agent;
            continue;
        }
        for (size_t j = 0; j < agent->boot_count; j++)
            shard_boot_destroy(s, agent->boots[j]);
        free(agent);
    }
    if (kept == s->agent_count)
        return;
    s->agent_count = kept;
    index_clear(&s->by_id);
    for (size_t i = 0; i < kept; i++)
        index_add(&s->by_id, shard_hash_id(&s->agents[i]->id), (uint32_t)i);
}

/* A pair that comes back must find its counters, so it is kept while its regions are known. */
static bool is_wanted(const struct source *source, const struct pair *pair,
                      const struct known *known)
{
    return pair->planned || pair->has_gauges || pair->cells > 0 ||
           (known_region(known, source->name) && known_region(known, pair->target));
}

static void forget_pairs(struct shard *s, struct source *source, const struct known *known)
{
    size_t kept = 0;

    for (size_t i = 0; i < source->pair_count; i++) {
        if (is_wanted(source, source->pairs[i], known))
            source->pairs[kept++] = source->pairs[i];
        else
            shard_pair_destroy(source->pairs[i]);
    }
    if (kept == source->pair_count)
        return;
    s->pair_count -= source->pair_count - kept;
    s->unplanned_count -= source->pair_count - kept; /* a planned pair is wanted */
    source->pair_count = kept;
    index_clear(&source->by_target);
    for (size_t i = 0; i < kept; i++)
        index_add(&source->by_target, index_hash_text(source->pairs[i]->target), (uint32_t)i);
}

static void forget_sources(struct shard *s, const struct known *known)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->source_count; i++) {
        struct source *source = s->sources[i];

        forget_pairs(s, source, known);
        shard_forget_urls(s, source, known);
        if (source->pair_count > 0 || source->url_count > 0 || source->boots)
            s->sources[kept++] = source;
        else
            shard_source_destroy(source);
    }
    if (kept == s->source_count)
        return;
    s->source_count = kept;
    index_clear(&s->by_name);
    for (size_t i = 0; i < kept; i++)
        index_add(&s->by_name, index_hash_text(s->sources[i]->name), (uint32_t)i);
}

/* ---- rows ---- */

static void fill_row(struct mesh_pair *row, const struct source *source, const struct pair *pair,
                     uint64_t now_ns)
{
    uint64_t sum = 0;

    *row = (struct mesh_pair){
        .source = source->name,
        .target = pair->target,
        .planned = pair->planned,
        .has_gauges = pair->has_gauges,
        .total = pair->total,
        .total_rtt_ns = pair->total_rtt_ns,
        .backfilled = pair->backfilled,
        .arrived = pair->arrived,
    };
    if (pair->has_gauges) {
        row->window = pair->window;
        row->age_ns = shard_age(pair->window.ended_ns, now_ns);
    }
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        sum += pair->buckets[i];
        row->total_buckets[i] = sum;
    }
}

static enum prober_error make_pair_rows(const struct shard *s, uint64_t now_ns,
                                        struct shard_merged *out)
{
    struct mesh_pair *rows = malloc((s->pair_count ? s->pair_count : 1) * sizeof(*rows));
    size_t count = 0;

    if (!rows)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < s->source_count; i++) {
        const struct source *source = s->sources[i];

        for (size_t j = 0; j < source->pair_count; j++)
            if (source->pairs[j]->planned || source->pairs[j]->has_gauges)
                fill_row(&rows[count++], source, source->pairs[j], now_ns);
    }
    out->pairs = rows;
    out->count = count;
    return PROBER_OK;
}

static enum prober_error make_rows(const struct shard *s, uint64_t now_ns, struct shard_merged *out)
{
    struct shard_merged merged = {.lag_ns = s->lag_ns};
    enum prober_error err = make_pair_rows(s, now_ns, &merged);

    if (!err)
        err = shard_url_rows(s, now_ns, &merged.urls, &merged.url_count);
    if (err)
        free(merged.pairs);
    else
        *out = merged;
    return err;
}

enum prober_error shard_merge(struct shard *s, const struct known *known, uint64_t now_ns,
                              struct shard_merged *out)
{
    enum prober_error err = make_planned(s, known_directory(known));

    if (!err)
        err = shard_plan_urls(s, known);
    if (err)
        return err;
    drop_stale_cells(s, now_ns);
    err = merge_sources(s, now_ns);
    if (!err)
        err = shard_merge_urls(s, now_ns);
    if (err)
        return err;
    forget_agents(s, known, now_ns);
    forget_sources(s, known);
    err = make_rows(s, now_ns, out);
    if (!err)
        s->lag_ns = 0;
    return err;
}
