#include "serverd/shard.h"

#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/random.h"
#include "common/siphash.h"
#include "serverd/laws.h"
#include "serverd/shard_state.h"

#define PERIOD_MAX_NS (UINT64_C(86400) * 1000000000) /* of a probe interval or timeout */
#define ROOM_MIN 4

unsigned shard_of(const char *region, unsigned count)
{
    return index_hash_text(region) % count;
}

bool shard_grow(void *array, size_t *room, size_t count, size_t size)
{
    void **elements = array, *grown;
    size_t wanted = *room ? *room * 2 : ROOM_MIN;

    if (count < *room)
        return true;
    grown = realloc(*elements, wanted * size);
    if (!grown)
        return false;
    *elements = grown;
    *room = wanted;
    return true;
}

bool shard_is_later(uint64_t a_ns, uint64_t b_ns)
{
    return (int64_t)(a_ns - b_ns) > 0;
}

uint64_t shard_age(uint64_t ended_ns, uint64_t now_ns)
{
    return shard_is_later(now_ns, ended_ns) ? now_ns - ended_ns : 0;
}

uint32_t shard_hash_id(const struct prober_id *id)
{
    uint32_t hash;

    memcpy(&hash, id->bytes, sizeof(hash));
    return hash;
}

/* ---- sources and pairs ---- */

struct source *shard_find_source(const struct shard *s, const char *name)
{
    uint32_t hash = index_hash_text(name), at;
    size_t cursor = 0;

    while ((at = index_next(&s->by_name, hash, &cursor)) != INDEX_NONE)
        if (strcmp(s->sources[at]->name, name) == 0)
            return s->sources[at];
    return NULL;
}

struct source *shard_source(struct shard *s, const char *name)
{
    struct source *source = shard_find_source(s, name);

    if (source)
        return source;
    if (!shard_grow(&s->sources, &s->source_room, s->source_count, sizeof(*s->sources)) ||
        !index_reserve(&s->by_name, s->source_count + 1))
        return NULL;
    source = calloc(1, sizeof(*source));
    if (!source || !(source->name = strdup(name))) {
        free(source);
        return NULL;
    }
    index_add(&s->by_name, index_hash_text(name), (uint32_t)s->source_count);
    s->sources[s->source_count++] = source;
    return source;
}

struct pair *shard_find_pair(const struct source *source, const char *target)
{
    uint32_t hash = index_hash_text(target), at;
    size_t cursor = 0;

    while ((at = index_next(&source->by_target, hash, &cursor)) != INDEX_NONE)
        if (strcmp(source->pairs[at]->target, target) == 0)
            return source->pairs[at];
    return NULL;
}

struct pair *shard_pair(struct shard *s, struct source *source, const char *target, bool *full)
{
    struct pair *pair = shard_find_pair(source, target);

    if (pair)
        return pair;
    if (full && s->unplanned_count >= s->config.pairs_max) {
        *full = true;
        return NULL;
    }
    if (!shard_grow(&source->pairs, &source->pair_room, source->pair_count,
                    sizeof(*source->pairs)) ||
        !index_reserve(&source->by_target, source->pair_count + 1))
        return NULL;
    pair = calloc(1, sizeof(*pair));
    if (!pair || !(pair->target = strdup(target))) {
        free(pair);
        return NULL;
    }
    index_add(&source->by_target, index_hash_text(target), (uint32_t)source->pair_count);
    source->pairs[source->pair_count++] = pair;
    s->pair_count++;
    s->unplanned_count++;
    return pair;
}

void shard_pair_destroy(struct pair *pair)
{
    free(pair->target);
    free(pair);
}

void shard_source_destroy(struct source *source)
{
    for (size_t i = 0; i < source->pair_count; i++)
        shard_pair_destroy(source->pairs[i]);
    free(source->pairs);
    index_free(&source->by_target);
    shard_clear_urls(source);
    free(source->senders);
    index_free(&source->by_sender);
    free(source->name);
    free(source);
}

/* ---- agents, their boots, and the cells ---- */

static struct agent *find_agent(const struct shard *s, const struct prober_id *id)
{
    size_t cursor = 0;
    uint32_t at;

    while ((at = index_next(&s->by_id, shard_hash_id(id), &cursor)) != INDEX_NONE)
        if (prober_id_equal(&s->agents[at]->id, id))
            return s->agents[at];
    return NULL;
}

static struct agent *make_agent(struct shard *s, const struct prober_id *id)
{
    struct agent *agent = NULL;

    if (!shard_grow(&s->agents, &s->agent_room, s->agent_count, sizeof(*s->agents)) ||
        !index_reserve(&s->by_id, s->agent_count + 1))
        return NULL;
    agent = calloc(1, sizeof(*agent));
    if (!agent)
        return NULL;
    agent->id = *id;
    index_add(&s->by_id, shard_hash_id(id), (uint32_t)s->agent_count);
    s->agents[s->agent_count++] = agent;
    return agent;
}

void shard_cell_clear(struct shard *s, struct cell *cell)
{
    if (cell->pair)
        cell->pair->cells--;
    free(cell->bins);
    atomic_fetch_sub(&s->config.budget->cells, 1);
}

void shard_boot_destroy(struct shard *s, struct boot *boot)
{
    struct boot **link = &boot->source->boots;

    while (*link != boot)
        link = &(*link)->next;
    *link = boot->next;
    for (size_t i = 0; i < boot->cell_count; i++)
        shard_cell_clear(s, &boot->cells[i]);
    free(boot->cells);
    index_free(&boot->by_number);
    shard_clear_http_cells(s, boot);
    free(boot);
}

static struct boot *find_boot(const struct agent *agent, const struct prober_id *id,
                              const char *region)
{
    for (size_t i = 0; i < agent->boot_count; i++)
        if (prober_id_equal(&agent->boots[i]->id, id) &&
            strcmp(agent->boots[i]->source->name, region) == 0)
            return agent->boots[i];
    return NULL;
}

/* A new boot, in place of the one not heard for longest when there are too many. */
static struct boot *make_boot(struct shard *s, struct agent *agent, const struct prober_id *id,
                              const char *region)
{
    struct source *source = shard_source(s, region);
    struct boot *boot = source ? calloc(1, sizeof(*boot)) : NULL;

    if (!boot)
        return NULL;
    boot->id = *id;
    boot->agent = agent;
    boot->source = source;
    boot->next = source->boots;
    source->boots = boot;
    if (agent->boot_count == SHARD_BOOTS_MAX)
        shard_boot_destroy(s, agent->boots[--agent->boot_count]);
    agent->boots[agent->boot_count++] = boot;
    return boot;
}

/* Notes that the boot was heard: it comes first, and takes the session's periods. */
static void hear_boot(struct boot *boot, const struct session *session, uint64_t now_ns)
{
    struct agent *agent = boot->agent;
    uint64_t interval = session->probe_interval_ns, timeout = session->probe_timeout_ns;
    size_t at = 0;

    while (agent->boots[at] != boot)
        at++;
    memmove(&agent->boots[1], &agent->boots[0], at * sizeof(agent->boots[0]));
    agent->boots[0] = boot;
    boot->heard_ns = now_ns;
    boot->timeout_ns = timeout < PERIOD_MAX_NS ? timeout : PERIOD_MAX_NS;
    boot->fresh_ns = 2 * (interval < PERIOD_MAX_NS ? interval : PERIOD_MAX_NS) + boot->timeout_ns;
}

static struct cell *find_cell(const struct boot *boot, uint32_t number)
{
    size_t cursor = 0;
    uint32_t at = index_next(&boot->by_number, index_hash_number(number), &cursor);

    /* No two numbers share a hash. */
    return at == INDEX_NONE ? NULL : &boot->cells[at];
}

bool shard_take_budget(struct shard *s)
{
    struct shard_budget *budget = s->config.budget;

    if (atomic_fetch_add(&budget->cells, 1) < budget->cells_max)
        return true;
    atomic_fetch_sub(&budget->cells, 1);
    return false;
}

static struct cell *make_cell(struct shard *s, struct boot *boot, uint32_t number, bool *full)
{
    struct cell *cell;

    if (!shard_grow(&boot->cells, &boot->cell_room, boot->cell_count, sizeof(*boot->cells)) ||
        !index_reserve(&boot->by_number, boot->cell_count + 1))
        return NULL;
    if (!shard_take_budget(s)) {
        *full = true;
        return NULL;
    }
    cell = &boot->cells[boot->cell_count];
    *cell = (struct cell){.number = number};
    index_add(&boot->by_number, index_hash_number(number), (uint32_t)boot->cell_count++);
    return cell;
}

uint64_t shard_hash_name(const struct shard *s, const struct wire_target_name *name)
{
    uint64_t parts[3] = {
        siphash24(&s->key, name->region, strlen(name->region)),
        siphash24(&s->key, name->target, strlen(name->target)),
        (uint64_t)name->kind << 1 | name->control,
    };

    return siphash24(&s->key, parts, sizeof(parts));
}

/* Gives a number its name: a new cell, or an emptied one when the name is another. False for lack of
 * memory or, with *full set, of room. */
static bool name_icmp_target(struct shard *s, struct boot *boot,
                             const struct wire_target_name *name, uint64_t now_ns, bool *full)
{
    uint64_t hash = shard_hash_name(s, name);
    struct cell *cell = find_cell(boot, name->number);
    struct pair *pair = NULL;
    struct prober_addr addr;

    if (cell && cell->name_hash == hash)
        return true;
    if (!name->control && !(pair = shard_pair(s, boot->source, name->region, full)))
        return false;
    if (!cell && !(cell = make_cell(s, boot, name->number, full)))
        return false;
    if (cell->pair)
        cell->pair->cells--;
    if (pair)
        pair->cells++;
    cell->pair = pair;
    cell->name_hash = hash;
    cell->has_window = false;
    cell->has_name = prober_addr_parse(name->target, &addr) != PROBER_OK;
    cell->ended_ns = now_ns;
    return true;
}

/* ---- applying ---- */

/* Finds the cell of each row. WIRE_APPLIED when all are there, once each. */
static enum wire_outcome find_icmp_rows(struct shard *s, const struct boot *boot,
                                        const struct wire_report *report)
{
    s->stamp++;
    for (size_t row = 0; row < report->rows; row++) {
        struct cell *cell = find_cell(boot, report->target[row]);

        if (!cell)
            return WIRE_UNKNOWN_TABLE;
        if (cell->stamp == s->stamp)
            return WIRE_INVALID;
        cell->stamp = s->stamp;
        s->rows[row] = (uint32_t)(cell - boot->cells);
    }
    return WIRE_APPLIED;
}

/* Keeps a row as its cell's newest window. When there is no memory for its bins, the window before
 * stays: a gauge that is a little old is better than one that is wrong. */
static void keep_window(struct cell *cell, const struct wire_report *report, size_t row,
                        size_t from, const struct icmp_counts *counts, uint64_t ended_ns)
{
    const struct wire_icmp_columns *c = &report->icmp;
    uint32_t bins = c->histogram_bins ? c->histogram_bins[row] : 0;
    unsigned bin = 0;

    if (bins > cell->bin_room) {
        struct histogram_pair *room = realloc(cell->bins, bins * sizeof(*room));

        if (!room)
            return;
        cell->bins = room;
        cell->bin_room = (uint16_t)bins;
    }
    for (uint32_t i = 0; i < bins; i++) {
        bin += c->bin_step[from + i];
        cell->bins[i] = (struct histogram_pair){(uint16_t)bin, (uint16_t)c->bin_count[from + i]};
    }
    cell->bin_count = (uint16_t)bins;
    cell->counts = *counts;
#define COLUMN(name) (c->name ? c->name[row] : 0)
    cell->rtt_sum_ns = COLUMN(rtt_sum_ns);
    cell->rtt_min_ns = COLUMN(rtt_min_ns);
    cell->rtt_max_ns = COLUMN(rtt_max_ns);
    cell->square_low = COLUMN(rtt_square_low);
    cell->square_high = COLUMN(rtt_square_high);
    cell->jitter_ns = COLUMN(jitter_ns);
    cell->resolve_ns = COLUMN(resolve_ns);
#undef COLUMN
    cell->window = report->window;
    cell->ended_ns = ended_ns;
    cell->has_window = true;
}

static void count_row(struct pair *pair, const struct wire_icmp_columns *c, size_t row, size_t from,
                      const struct icmp_counts *counts)
{
    uint32_t bins = c->histogram_bins ? c->histogram_bins[row] : 0;
    unsigned bin = 0;

    icmp_totals_add(&pair->total, counts);
    pair->total_rtt_ns += c->rtt_sum_ns ? c->rtt_sum_ns[row] : 0;
    for (uint32_t i = 0; i < bins; i++) {
        bin += c->bin_step[from + i];
        /* The bins of an octave are one of the original's buckets. */
        pair->buckets[bin / HISTOGRAM_SUB_BINS] += c->bin_count[from + i];
    }
}

static void apply_icmp_rows(struct shard *s, struct boot *boot, const struct wire_report *report,
                            uint64_t now_ns)
{
    const struct wire_icmp_columns *c = &report->icmp;
    uint64_t ended_ns = now_ns - report->age_ns; /* perhaps before the clock's 0: it wraps */
    size_t from = 0;

    for (size_t row = 0; row < report->rows; row++) {
        struct cell *cell = &boot->cells[s->rows[row]];
        struct icmp_counts counts = laws_row_counts(c, row);

        if (cell->pair)
            count_row(cell->pair, c, row, from, &counts);
        if (!cell->has_window || (int32_t)(report->window - cell->window) >= 0)
            keep_window(cell, report, row, from, &counts, ended_ns);
        from += c->histogram_bins ? c->histogram_bins[row] : 0;
    }
    s->counts.points += report->rows;
}

/* Counts a report that is too old for today's counters, and tells of the outage pair by pair. */
static void backfill_icmp_rows(struct shard *s, struct boot *boot, const struct wire_report *report)
{
    for (size_t row = 0; row < report->rows; row++) {
        struct pair *pair = boot->cells[s->rows[row]].pair;
        struct icmp_counts counts = laws_row_counts(&report->icmp, row);

        if (pair)
            icmp_totals_add(&pair->late, &counts);
    }
    for (size_t row = 0; row < report->rows; row++) {
        struct pair *pair = boot->cells[s->rows[row]].pair;
        struct ingest_outage outage = {
            .agent_id = boot->agent->id,
            .source = boot->source->name,
            .age_ns = report->age_ns,
            .window_ns = report->window_ns,
        };

        if (!pair || pair->told == s->stamp)
            continue;
        pair->told = s->stamp;
        outage.target = pair->target;
        outage.counts = pair->late;
        icmp_totals_merge(&pair->backfilled, &pair->late);
        pair->late = (struct icmp_totals){0};
        if (s->config.outage)
            s->config.outage(s->config.outage_context, &outage);
    }
}

static struct sender *find_sender(struct source *source, uint32_t number)
{
    size_t cursor = 0;
    uint32_t at = index_next(&source->by_sender, index_hash_number(number), &cursor);

    return at == INDEX_NONE ? NULL : &source->senders[at];
}

/* Adds up whose requests the agent saw. What finds no room is counted as missed. */
static void note_arrivals(struct shard *s, struct source *source, const struct wire_arrivals *a)
{
    for (size_t i = 0; i < a->length; i++) {
        struct sender *sender = find_sender(source, a->sender[i]);

        if (!sender && source->sender_count < SHARD_SENDERS_MAX &&
            shard_grow(&source->senders, &source->sender_room, source->sender_count,
                       sizeof(*sender)) &&
            index_reserve(&source->by_sender, source->sender_count + 1)) {
            index_add(&source->by_sender, index_hash_number(a->sender[i]),
                      (uint32_t)source->sender_count);
            sender = &source->senders[source->sender_count++];
            *sender = (struct sender){.number = a->sender[i]};
        }
        if (sender)
            sender->arrived += a->count[i];
        else
            s->counts.arrivals_missed += a->count[i];
    }
}

static bool name_target(struct shard *s, struct boot *boot, const struct wire_target_name *name,
                        uint64_t now_ns, bool *full)
{
    return name->kind == WIRE_KIND_HTTP ? shard_name_url(s, boot, name, now_ns, full)
                                        : name_icmp_target(s, boot, name, now_ns, full);
}

/* The boot's table of names, brought up to date, and the report's rows looked up in it. */
static enum prober_error prepare(struct shard *s, struct boot *boot,
                                 const struct wire_report *report, uint64_t now_ns,
                                 enum wire_outcome *outcome)
{
    bool full = false;

    for (size_t i = 0; i < report->name_count; i++) {
        if (name_target(s, boot, &report->names[i], now_ns, &full))
            continue;
        if (!full)
            return PROBER_ERR_NOMEM;
        s->counts.full++;
        *outcome = WIRE_INVALID;
        return PROBER_ERR_FULL;
    }
    *outcome = report->kind == WIRE_KIND_HTTP ? shard_find_http_rows(s, boot, report)
                                              : find_icmp_rows(s, boot, report);
    s->counts.unknown_table += *outcome == WIRE_UNKNOWN_TABLE;
    s->counts.invalid += *outcome == WIRE_INVALID;
    return PROBER_OK;
}

static void apply_rows(struct shard *s, struct boot *boot, const struct wire_report *report,
                       uint64_t now_ns)
{
    if (report->kind == WIRE_KIND_HTTP)
        shard_apply_http_rows(s, boot, report, now_ns);
    else
        apply_icmp_rows(s, boot, report, now_ns);
    if (report->age_ns > s->lag_ns)
        s->lag_ns = report->age_ns;
}

static void backfill_rows(struct shard *s, struct boot *boot, const struct wire_report *report)
{
    if (report->kind == WIRE_KIND_HTTP)
        shard_backfill_http_rows(s, boot, report);
    else
        backfill_icmp_rows(s, boot, report);
}

static struct boot *boot_of(struct shard *s, const struct session *session)
{
    struct agent *agent = find_agent(s, &session->agent_id);
    struct boot *boot = agent ? find_boot(agent, &session->boot_id, session->region) : NULL;

    if (!agent)
        agent = make_agent(s, &session->agent_id);
    if (agent && !boot)
        boot = make_boot(s, agent, &session->boot_id, session->region);
    return boot;
}

/* True when the report must not be applied for what is known of its sequence number. */
static bool is_settled(struct shard *s, const struct boot *boot, uint64_t sequence,
                       enum wire_outcome *outcome)
{
    switch (applied_has(&boot->applied, sequence)) {
    case APPLIED_YES:
        s->counts.duplicate++;
        *outcome = applied_has(&boot->backfilled, sequence) == APPLIED_YES ? WIRE_BACKFILLED
                                                                           : WIRE_DUPLICATE;
        return true;
    case APPLIED_UNSURE:
        s->counts.invalid++;
        *outcome = WIRE_INVALID;
        return true;
    case APPLIED_NO:
        break;
    }
    return false;
}

/* A window that the gauges may still show is today's, however short the expiry is. */
static bool is_backfill(const struct shard *s, const struct boot *boot,
                        const struct wire_report *report)
{
    return report->age_ns > s->config.backfill_ns && report->age_ns > boot->fresh_ns;
}

enum prober_error shard_apply(struct shard *s, const struct session *session,
                              const struct wire_report *report, uint64_t now_ns,
                              enum wire_outcome *outcome)
{
    struct boot *boot;
    enum prober_error err;

    if (laws_broken(report)) {
        s->counts.invalid++;
        *outcome = WIRE_INVALID;
        return PROBER_OK;
    }
    boot = boot_of(s, session);
    if (!boot)
        return PROBER_ERR_NOMEM;
    hear_boot(boot, session, now_ns);
    if (is_settled(s, boot, report->sequence, outcome))
        return PROBER_OK;
    err = prepare(s, boot, report, now_ns, outcome);
    if (err == PROBER_ERR_FULL)
        return PROBER_OK;
    if (err || *outcome != WIRE_APPLIED)
        return err;
    applied_add(&boot->applied, report->sequence);
    if (is_backfill(s, boot, report)) {
        applied_add(&boot->backfilled, report->sequence);
        backfill_rows(s, boot, report);
        s->counts.backfilled++;
        *outcome = WIRE_BACKFILLED;
        return PROBER_OK;
    }
    apply_rows(s, boot, report, now_ns);
    note_arrivals(s, boot->source, &report->arrivals);
    s->counts.applied++;
    return PROBER_OK;
}

/* ---- the rest ---- */

enum prober_error shard_create(struct shard **out, const struct shard_config *config)
{
    struct shard *s = calloc(1, sizeof(*s));

    if (!s)
        return PROBER_ERR_NOMEM;
    s->config = *config;
    random_bytes(&s->key, sizeof(s->key));
    *out = s;
    return PROBER_OK;
}

const struct shard_counts *shard_counts(const struct shard *s)
{
    return &s->counts;
}

size_t shard_agents(const struct shard *s)
{
    return s->agent_count;
}

void shard_destroy(struct shard *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->agent_count; i++) {
        for (size_t j = 0; j < s->agents[i]->boot_count; j++)
            shard_boot_destroy(s, s->agents[i]->boots[j]);
        free(s->agents[i]);
    }
    for (size_t i = 0; i < s->source_count; i++)
        shard_source_destroy(s->sources[i]);
    free(s->agents);
    index_free(&s->by_id);
    free(s->sources);
    index_free(&s->by_name);
    free(s);
}
