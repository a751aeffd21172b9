#include <stdlib.h>
#include <string.h>

#include "libprober/spec.h"
#include "serverd/shard_state.h"

#define EXPIRY_MAX UINT64_C(253402300799) /* the end of the year 9999, as certificates have it */

/* ---- URLs ---- */

static uint32_t hash_url(const char *region, const char *target)
{
    return index_hash_text(region) * 31 + index_hash_text(target);
}

struct url *shard_find_url(const struct source *source, const char *region, const char *target)
{
    uint32_t hash = hash_url(region, target), at;
    size_t cursor = 0;

    while ((at = index_next(&source->by_url, hash, &cursor)) != INDEX_NONE)
        if (strcmp(source->urls[at]->target, target) == 0 &&
            strcmp(source->urls[at]->text, region) == 0)
            return source->urls[at];
    return NULL;
}

static struct url *make_url(const char *region, const char *target)
{
    size_t region_room = strlen(region) + 1, target_room = strlen(target) + 1;
    struct url *url = calloc(1, sizeof(*url) + region_room + target_room);

    if (!url)
        return NULL;
    url->hash = hash_url(region, target);
    memcpy(url->text, region, region_room);
    url->target = memcpy(url->text + region_room, target, target_room);
    return url;
}

struct url *shard_url(struct shard *s, struct source *source, const char *region,
                      const char *target, bool *full)
{
    struct url *url = shard_find_url(source, region, target);

    if (url)
        return url;
    if (full && s->unplanned_url_count >= s->config.pairs_max) {
        *full = true;
        return NULL;
    }
    if (!shard_grow(&source->urls, &source->url_room, source->url_count, sizeof(*source->urls)) ||
        !index_reserve(&source->by_url, source->url_count + 1) || !(url = make_url(region, target)))
        return NULL;
    index_add(&source->by_url, url->hash, (uint32_t)source->url_count);
    source->urls[source->url_count++] = url;
    s->url_count++;
    s->unplanned_url_count++;
    return url;
}

void shard_clear_urls(struct source *source)
{
    for (size_t i = 0; i < source->url_count; i++)
        free(source->urls[i]);
    free(source->urls);
    index_free(&source->by_url);
}

/* ---- cells ---- */

static struct http_cell *find_cell(const struct boot *boot, uint32_t number)
{
    size_t cursor = 0;
    uint32_t at = index_next(&boot->by_http_number, index_hash_number(number), &cursor);

    /* No two numbers share a hash. */
    return at == INDEX_NONE ? NULL : &boot->http_cells[at];
}

static struct http_cell *make_cell(struct shard *s, struct boot *boot, uint32_t number, bool *full)
{
    struct http_cell *cell;

    if (!shard_grow(&boot->http_cells, &boot->http_cell_room, boot->http_cell_count,
                    sizeof(*boot->http_cells)) ||
        !index_reserve(&boot->by_http_number, boot->http_cell_count + 1))
        return NULL;
    if (!shard_take_budget(s)) {
        *full = true;
        return NULL;
    }
    cell = &boot->http_cells[boot->http_cell_count];
    *cell = (struct http_cell){.number = number};
    index_add(&boot->by_http_number, index_hash_number(number), (uint32_t)boot->http_cell_count++);
    return cell;
}

void shard_clear_http_cells(struct shard *s, struct boot *boot)
{
    for (size_t i = 0; i < boot->http_cell_count; i++)
        boot->http_cells[i].url->cells--;
    atomic_fetch_sub(&s->config.budget->cells, boot->http_cell_count);
    free(boot->http_cells);
    boot->http_cells = NULL;
    boot->http_cell_count = boot->http_cell_room = 0;
    index_free(&boot->by_http_number);
}

bool shard_name_url(struct shard *s, struct boot *boot, const struct wire_target_name *name,
                    uint64_t now_ns, bool *full)
{
    uint64_t hash = shard_hash_name(s, name);
    struct http_cell *cell = find_cell(boot, name->number);
    struct strbuf shown = STRBUF_INIT;
    struct url *url = NULL;

    if (cell && cell->name_hash == hash)
        return true;
    probe_target_put(&shown, PROBE_HTTP, name->target);
    if (strbuf_ok(&shown))
        url = shard_url(s, boot->source, name->region, shown.bytes, full);
    strbuf_free(&shown);
    if (!url || (!cell && !(cell = make_cell(s, boot, name->number, full))))
        return false;
    if (cell->url)
        cell->url->cells--;
    url->cells++;
    *cell = (struct http_cell){
        .url = url, .ended_ns = now_ns, .name_hash = hash, .number = name->number};
    return true;
}

/* ---- applying ---- */

enum wire_outcome shard_find_http_rows(struct shard *s, const struct boot *boot,
                                       const struct wire_report *report)
{
    for (size_t row = 0; row < report->rows; row++) {
        const struct http_cell *cell = find_cell(boot, report->target[row]);

        if (!cell)
            return WIRE_UNKNOWN_TABLE;
        s->rows[row] = (uint32_t)(cell - boot->http_cells);
    }
    return WIRE_APPLIED;
}

#define COLUMN(name) (c->name ? c->name[row] : 0)

static void count_row(struct url *url, const struct wire_http_columns *c, size_t row)
{
    uint64_t duration_ns = COLUMN(duration_ns);
    size_t bucket = 0;

    http_totals_add(&url->total, COLUMN(reason), COLUMN(unsent_late));
    if (COLUMN(reason) != HTTP_SUCCEEDED)
        return;
    while (bucket < MESH_URL_BUCKETS && duration_ns > mesh_url_bounds_ns[bucket])
        bucket++;
    url->buckets[bucket]++;
    url->total_duration_ns += duration_ns;
}

/* What a probed server's certificates say may be nonsense. */
static uint64_t expiry_or_none(uint64_t expiry)
{
    return expiry <= EXPIRY_MAX ? expiry : 0;
}

static void keep_result(struct http_cell *cell, const struct wire_http_columns *c, size_t row,
                        uint64_t sequence, uint64_t ended_ns)
{
    bool answered = COLUMN(status) > 0;

    cell->ended_ns = ended_ns;
    cell->sequence = sequence;
    cell->reason = (uint8_t)http_totals_reason(COLUMN(reason));
    cell->duration_ns = COLUMN(duration_ns);
    cell->phases_ns[HTTP_PHASE_RESOLVE] = COLUMN(resolve_ns);
    cell->phases_ns[HTTP_PHASE_CONNECT] = COLUMN(connect_ns);
    cell->phases_ns[HTTP_PHASE_TLS] = COLUMN(tls_ns);
    cell->phases_ns[HTTP_PHASE_PROCESSING] = COLUMN(processing_ns);
    cell->phases_ns[HTTP_PHASE_TRANSFER] = COLUMN(transfer_ns);
    cell->status = (uint16_t)COLUMN(status);
    cell->version = (uint8_t)COLUMN(version);
    cell->tls_version = (uint16_t)COLUMN(tls_version);
    cell->redirects = COLUMN(redirects);
    cell->dns_answers = COLUMN(dns_answers);
    cell->content_length = answered ? COLUMN(content_length) : 0;
    cell->body_length = answered ? COLUMN(body_decoded) + 1 : 0;
    cell->earliest_cert_expiry = expiry_or_none(COLUMN(earliest_cert_expiry));
    cell->last_chain_expiry = expiry_or_none(COLUMN(last_chain_expiry));
    cell->has_result = true;
}

/* Sequence numbers follow one another in time, as the probes in them do. */
static bool is_newer(const struct http_cell *cell, uint64_t sequence, uint64_t ended_ns)
{
    if (!cell->has_result || sequence != cell->sequence)
        return !cell->has_result || sequence > cell->sequence;
    return !shard_is_later(cell->ended_ns, ended_ns);
}

void shard_apply_http_rows(struct shard *s, struct boot *boot, const struct wire_report *report,
                           uint64_t now_ns)
{
    const struct wire_http_columns *c = &report->http;

    for (size_t row = 0; row < report->rows; row++) {
        struct http_cell *cell = &boot->http_cells[s->rows[row]];
        /* Perhaps before the clock's 0: it wraps. */
        uint64_t ended_ns = now_ns - (report->age_ns + COLUMN(age_ns));

        count_row(cell->url, c, row);
        /* A probe that measured nothing says nothing about the URL: what was seen before stays. */
        if (COLUMN(reason) != HTTP_FAILED_LOCAL && is_newer(cell, report->sequence, ended_ns))
            keep_result(cell, c, row, report->sequence, ended_ns);
    }
    s->counts.points_http += report->rows;
}

void shard_backfill_http_rows(struct shard *s, struct boot *boot, const struct wire_report *report)
{
    const struct wire_http_columns *c = &report->http;

    for (size_t row = 0; row < report->rows; row++)
        http_results_add(&boot->http_cells[s->rows[row]].url->backfilled, COLUMN(reason),
                         COLUMN(unsent_late));
}
