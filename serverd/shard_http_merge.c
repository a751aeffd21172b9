#include <stdlib.h>
#include <string.h>

#include "libprober/spec.h"
#include "serverd/plan.h"
#include "serverd/shard_state.h"

/* ---- the fresh cells of each URL ---- */

/* The cells to merge: those of a URL lie together. */
struct gathered {
    const struct http_cell **cells; /* [count] */
    size_t *ends;                   /* [url_count]: the cells of slot i end there */
    uint64_t *values;               /* [count]: scratch */
};

/* The last probe of one that takes long may be as old as the next one takes longer. */
static bool is_fresh(const struct boot *boot, const struct http_cell *cell, uint64_t now_ns)
{
    uint64_t longer_ns =
        cell->duration_ns > boot->timeout_ns ? cell->duration_ns - boot->timeout_ns : 0;

    return cell->has_result && shard_age(cell->ended_ns, now_ns) <= boot->fresh_ns + longer_ns;
}

static size_t count_cells(const struct source *source)
{
    size_t count = 0;

    for (const struct boot *boot = source->boots; boot; boot = boot->next)
        count += boot->http_cell_count;
    return count;
}

/* Room for the largest source. */
static enum prober_error gathered_create(struct gathered *g, const struct shard *s)
{
    size_t cells = 1, urls = 1;

    for (size_t i = 0; i < s->source_count; i++) {
        size_t count = count_cells(s->sources[i]);

        cells = count > cells ? count : cells;
        urls = s->sources[i]->url_count > urls ? s->sources[i]->url_count : urls;
    }
    g->cells = malloc(cells * sizeof(struct http_cell *));
    g->ends = malloc(urls * sizeof(*g->ends));
    g->values = malloc(cells * sizeof(*g->values));
    return g->cells && g->ends && g->values ? PROBER_OK : PROBER_ERR_NOMEM;
}

static void gathered_free(struct gathered *g)
{
    free(g->cells);
    free(g->ends);
    free(g->values);
}

/* Sorts the fresh cells by URL: counted first, then put in their places. */
static void gather(struct gathered *g, struct source *source, uint64_t now_ns)
{
    size_t at = 0;

    memset(g->ends, 0, source->url_count * sizeof(*g->ends));
    for (size_t i = 0; i < source->url_count; i++)
        source->urls[i]->slot = i;
    for (const struct boot *boot = source->boots; boot; boot = boot->next)
        for (size_t i = 0; i < boot->http_cell_count; i++)
            if (is_fresh(boot, &boot->http_cells[i], now_ns))
                g->ends[boot->http_cells[i].url->slot]++;
    for (size_t i = 0; i < source->url_count; i++) {
        size_t count = g->ends[i];

        g->ends[i] = at;
        at += count;
    }
    for (const struct boot *boot = source->boots; boot; boot = boot->next)
        for (size_t i = 0; i < boot->http_cell_count; i++)
            if (is_fresh(boot, &boot->http_cells[i], now_ns))
                g->cells[g->ends[boot->http_cells[i].url->slot]++] = &boot->http_cells[i];
}

/* ---- what agents saw ---- */

static int compare_values(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The value that comes most often, of several such the greatest; 0 without any. Sorts them. */
static uint64_t most_common(uint64_t *values, size_t count)
{
    uint64_t best = 0;
    size_t best_run = 0, run = 0, same = 1;

    while (same < count && values[same] == values[0])
        same++;
    if (count > 0 && same == count) /* as a rule */
        return values[0];
    qsort(values, count, sizeof(*values), compare_values);
    for (size_t i = 0; i < count; i++) {
        run = i > 0 && values[i] == values[i - 1] ? run + 1 : 1;
        if (run >= best_run) {
            best = values[i];
            best_run = run;
        }
    }
    return best;
}

/* What a probe saw of each thing that agents may see differently; 0: nothing. */
static uint64_t seen_status(const struct http_cell *cell)
{
    return cell->status;
}

static uint64_t seen_version(const struct http_cell *cell)
{
    return cell->version;
}

static uint64_t seen_tls_version(const struct http_cell *cell)
{
    return cell->tls_version;
}

static uint64_t seen_dns_answers(const struct http_cell *cell)
{
    return cell->dns_answers;
}

static uint64_t seen_redirects(const struct http_cell *cell)
{
    return cell->status > 0 || cell->redirects > 0 ? cell->redirects + UINT64_C(1) : 0;
}

static uint64_t seen_content_length(const struct http_cell *cell)
{
    return cell->content_length;
}

static uint64_t seen_body_length(const struct http_cell *cell)
{
    return cell->body_length;
}

static uint64_t agreed(uint64_t *values, const struct http_cell *const *cells, size_t count,
                       uint64_t (*seen)(const struct http_cell *cell))
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t value = seen(cells[i]);

        if (value)
            values[n++] = value;
    }
    return most_common(values, n);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

static void note_expiry(struct mesh_url_window *w, const struct http_cell *cell)
{
    uint64_t expiry = cell->earliest_cert_expiry;

    w->last_chain_expiry = earlier(w->last_chain_expiry, cell->last_chain_expiry);
    if (expiry == 0 || (w->earliest_cert_expiry > 0 && w->earliest_cert_expiry < expiry))
        return;
    /* Of several that saw the same: who could talk over it says more. */
    if (expiry != w->earliest_cert_expiry || cell->tls_version > w->earliest_tls_version)
        w->earliest_tls_version = cell->tls_version;
    w->earliest_cert_expiry = expiry;
}

static void note_cell(struct mesh_url_window *w, const struct http_cell *cell)
{
    if (w->agents++ == 0 || shard_is_later(cell->ended_ns, w->ended_ns))
        w->ended_ns = cell->ended_ns;
    w->ended[cell->reason]++;
    note_expiry(w, cell);
    if (cell->reason != HTTP_SUCCEEDED)
        return;
    w->duration_ns += (double)cell->duration_ns;
    for (size_t phase = 0; phase < HTTP_PHASE_COUNT; phase++)
        w->phases_ns[phase] += (double)cell->phases_ns[phase];
}

static void set_gauges(struct url *url, const struct http_cell *const *cells, size_t count,
                       uint64_t *values)
{
    struct mesh_url_window w = {.agents = 0};
    double succeeded;

    for (size_t i = 0; i < count; i++)
        note_cell(&w, cells[i]);
    succeeded = w.ended[HTTP_SUCCEEDED] ? w.ended[HTTP_SUCCEEDED] : 1;
    w.duration_ns /= succeeded;
    for (size_t phase = 0; phase < HTTP_PHASE_COUNT; phase++)
        w.phases_ns[phase] /= succeeded;
    w.status = (uint32_t)agreed(values, cells, count, seen_status);
    w.version = (uint32_t)agreed(values, cells, count, seen_version);
    w.tls_version = (uint32_t)agreed(values, cells, count, seen_tls_version);
    w.dns_answers = (uint32_t)agreed(values, cells, count, seen_dns_answers);
    w.redirects = agreed(values, cells, count, seen_redirects);
    w.content_length = agreed(values, cells, count, seen_content_length);
    w.body_length = agreed(values, cells, count, seen_body_length);
    url->window = w;
    url->has_gauges = true;
}

static void merge_source(const struct shard *s, struct source *source, struct gathered *g,
                         uint64_t now_ns)
{
    size_t from = 0;

    gather(g, source, now_ns);
    for (size_t i = 0; i < source->url_count; from = g->ends[i++]) {
        struct url *url = source->urls[i];

        if (g->ends[i] > from)
            set_gauges(url, &g->cells[from], g->ends[i] - from, g->values);
        else if (url->has_gauges && shard_age(url->window.ended_ns, now_ns) > s->config.expiry_ns)
            url->has_gauges = false;
    }
}

enum prober_error shard_merge_urls(struct shard *s, uint64_t now_ns)
{
    struct gathered g = {NULL, NULL, NULL};
    enum prober_error err = gathered_create(&g, s);

    for (size_t i = 0; i < s->source_count && !err; i++)
        if (s->sources[i]->url_count > 0)
            merge_source(s, s->sources[i], &g, now_ns);
    gathered_free(&g);
    return err;
}

/* ---- what comes and goes ---- */

/* Makes the URL of a target in each source of ours whose agents get `e`, and marks it in all sources
 * that have it. */
static enum prober_error plan_target(struct shard *s, const struct plan *plan,
                                     const struct plan_region *region, const struct plan_entry *e,
                                     const char *shown)
{
    struct url *url;

    for (size_t i = 0; i < plan->region_count; i++) {
        const struct plan_region *from = &plan->regions[i];
        struct source *source;

        if (!plan_reaches(plan, from, region, e) ||
            shard_of(from->name, s->config.count) != s->config.number)
            continue;
        source = shard_source(s, from->name);
        url = source ? shard_url(s, source, region->name, shown, NULL) : NULL;
        if (!url)
            return PROBER_ERR_NOMEM;
        s->unplanned_url_count -= !url->planned;
        url->planned = true;
    }
    for (size_t i = 0; i < s->source_count; i++)
        if ((url = shard_find_url(s->sources[i], region->name, shown)))
            url->listed = true;
    return PROBER_OK;
}

static enum prober_error plan_entry(struct shard *s, const struct plan *plan,
                                    const struct plan_region *region, const struct plan_entry *e)
{
    struct strbuf shown = STRBUF_INIT;
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; i < e->target_count && !err; i++) {
        strbuf_clear(&shown);
        probe_target_put(&shown, PROBE_HTTP, e->targets[i].text);
        err = strbuf_ok(&shown) ? plan_target(s, plan, region, e, shown.bytes) : PROBER_ERR_NOMEM;
    }
    strbuf_free(&shown);
    return err;
}

static void clear_plan(struct shard *s)
{
    for (size_t i = 0; i < s->source_count; i++)
        for (size_t j = 0; j < s->sources[i]->url_count; j++)
            s->sources[i]->urls[j]->planned = s->sources[i]->urls[j]->listed = false;
    s->unplanned_url_count = s->url_count;
}

/* Of one plan nothing changes: what is planned by it is there, and stays. */
enum prober_error shard_plan_urls(struct shard *s, const struct known *known)
{
    const struct directory *directory = known_directory(known);
    const struct plan *plan = directory->plan;
    enum prober_error err = PROBER_OK;

    if (directory->plan_revision != 0 && directory->plan_revision == s->planned_revision)
        return PROBER_OK;
    clear_plan(s);
    for (size_t i = 0; plan && i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count && !err; k++)
            if (plan->regions[i].entries[k].kind == PROBE_HTTP)
                err = plan_entry(s, plan, &plan->regions[i], &plan->regions[i].entries[k]);
    s->planned_revision = err ? 0 : directory->plan_revision;
    return err;
}

void shard_drop_http_cells(struct shard *s, struct boot *boot, bool all, uint64_t now_ns)
{
    uint64_t idle_ns = boot->fresh_ns > SHARD_IDLE_NS ? boot->fresh_ns : SHARD_IDLE_NS;
    size_t kept = 0;

    for (size_t i = 0; i < boot->http_cell_count; i++) {
        struct http_cell *cell = &boot->http_cells[i];

        if (!all && (shard_age(cell->ended_ns, now_ns) <= idle_ns || is_fresh(boot, cell, now_ns)))
            boot->http_cells[kept++] = *cell;
        else
            cell->url->cells--;
    }
    if (kept == boot->http_cell_count)
        return;
    atomic_fetch_sub(&s->config.budget->cells, boot->http_cell_count - kept);
    boot->http_cell_count = kept;
    if (kept == 0) {
        shard_clear_http_cells(s, boot);
        return;
    }
    index_clear(&boot->by_http_number);
    for (size_t i = 0; i < kept; i++)
        index_add(&boot->by_http_number, index_hash_number(boot->http_cells[i].number),
                  (uint32_t)i);
}

bool shard_has_http_result(const struct boot *boot)
{
    for (size_t i = 0; i < boot->http_cell_count; i++)
        if (boot->http_cells[i].has_result)
            return true;
    return false;
}

/* A URL that comes back must find its counters, so it is kept while it is listed. */
static bool is_wanted(const struct source *source, const struct url *url, const struct known *known)
{
    return url->planned || url->has_gauges || url->cells > 0 ||
           (url->listed && known_region(known, source->name));
}

void shard_forget_urls(struct shard *s, struct source *source, const struct known *known)
{
    size_t kept = 0;

    for (size_t i = 0; i < source->url_count; i++) {
        if (is_wanted(source, source->urls[i], known))
            source->urls[kept++] = source->urls[i];
        else
            free(source->urls[i]);
    }
    if (kept == source->url_count)
        return;
    s->url_count -= source->url_count - kept;
    s->unplanned_url_count -= source->url_count - kept; /* a planned URL is wanted */
    source->url_count = kept;
    index_clear(&source->by_url);
    for (size_t i = 0; i < kept; i++)
        index_add(&source->by_url, source->urls[i]->hash, (uint32_t)i);
}

/* ---- rows ---- */

static void fill_row(struct mesh_url *row, const struct source *source, const struct url *url,
                     uint64_t now_ns)
{
    uint64_t sum = 0;

    *row = (struct mesh_url){
        .source = source->name,
        .region = url->text,
        .target = url->target,
        .planned = url->planned,
        .has_gauges = url->has_gauges,
        .total = url->total,
        .total_failed = http_totals_failed(&url->total),
        .total_duration_ns = url->total_duration_ns,
        .backfilled = url->backfilled,
    };
    if (url->has_gauges) {
        row->window = url->window;
        row->age_ns = shard_age(url->window.ended_ns, now_ns);
    }
    for (size_t i = 0; i <= MESH_URL_BUCKETS; i++) {
        sum += url->buckets[i];
        row->total_buckets[i] = sum;
    }
}

enum prober_error shard_url_rows(const struct shard *s, uint64_t now_ns, struct mesh_url **out,
                                 size_t *count)
{
    struct mesh_url *rows = malloc((s->url_count ? s->url_count : 1) * sizeof(*rows));

    if (!rows)
        return PROBER_ERR_NOMEM;
    *count = 0;
    for (size_t i = 0; i < s->source_count; i++) {
        const struct source *source = s->sources[i];

        for (size_t j = 0; j < source->url_count; j++)
            if (source->urls[j]->planned || source->urls[j]->has_gauges)
                fill_row(&rows[(*count)++], source, source->urls[j], now_ns);
    }
    *out = rows;
    return PROBER_OK;
}
