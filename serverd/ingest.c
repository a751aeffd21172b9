#include "serverd/ingest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/queue.h"
#include "serverd/known.h"
#include "serverd/reply.h"
#include "serverd/shard.h"

#define SHARDS_MAX 8
#define BATCH 64
#define QUEUE_CAPACITY 1024
#define CELLS_MAX 4000000
#define PAIRS_MAX 65536
#define RATIO_DEFAULT 5

/* What waits in a worker's queue: a report, or (without a session) the collection at hand. */
struct item {
    struct session *session;
    struct link_call *call;
    struct wire_request request;
    uint64_t received_ns;
};

struct worker {
    struct ingest *ingest; /* immutable after start, as are the next two */
    struct queue *queue;
    pthread_t thread;
    bool started;
    struct shard *shard;     /* owned by the thread while it runs */
    atomic_size_t waiting;   /* reports in the queue */
    /* Written by the thread during a collection, read by the collector after it. */
    struct shard_arrival *arrivals;
    size_t arrival_count;
    struct shard_merged merged;
    struct shard_counts counts;
    size_t agents;
    enum prober_error err;
};

/* A collection that goes through the shards in steps, each of which all take before the next. */
struct collection {
    const struct known *known;
    uint64_t now_ns;
    void (*step)(struct worker *w, const struct collection *c);
};

struct ingest {
    struct ingest_config config; /* immutable after start */
    struct shard_budget budget;
    struct worker workers[SHARDS_MAX]; /* [config.shards] */
    atomic_uint_fast64_t busy;
    uint64_t collections; /* the collector's */
    uint64_t arrivals_unknown;
    struct item token; /* stands in the queues for `collection` */
    pthread_mutex_t lock;
    pthread_cond_t done;
    const struct collection *collection; /* guarded by lock, as is `pending` */
    unsigned pending;
};

static void item_free(struct item *item)
{
    wire_request_free(&item->request);
    session_put(item->session);
    free(item);
}

/* ---- the shards' threads ---- */

static void answer(const struct ingest *ingest, struct link_call *call,
                   const struct wire_reply *content)
{
    struct wire_reply message = *content;

    if (!call)
        return;
    message.protocol = WIRE_PROTOCOL;
    message.server_boot_id = ingest->config.server_boot;
    reply_send(call, &message);
}

static void take_report(struct worker *w, struct item *item)
{
    const struct wire_report *report = &item->request.as.report;
    struct wire_reply reply = {.status = WIRE_OK, .message = "", .call = WIRE_REPORT};

    reply.as.report.sequence = report->sequence;
    if (atomic_load(&item->session->expelled))
        reply = (struct wire_reply){.status = WIRE_HELLO_NEEDED, .message = "say hello first"};
    else if (shard_apply(w->shard, item->session, report, item->received_ns,
                         &reply.as.report.outcome) != PROBER_OK)
        reply = (struct wire_reply){.status = WIRE_BUSY, .message = "out of memory"};
    answer(w->ingest, item->call, &reply);
    item_free(item);
    atomic_fetch_sub(&w->waiting, 1);
}

static void take_step(struct worker *w)
{
    struct ingest *ingest = w->ingest;
    const struct collection *c;

    pthread_mutex_lock(&ingest->lock);
    c = ingest->collection;
    pthread_mutex_unlock(&ingest->lock);
    c->step(w, c);
    pthread_mutex_lock(&ingest->lock);
    if (--ingest->pending == 0)
        pthread_cond_signal(&ingest->done);
    pthread_mutex_unlock(&ingest->lock);
}

static void *work(void *context)
{
    struct worker *w = context;
    void *items[BATCH];
    size_t n;

    while ((n = queue_pop(w->queue, items, BATCH, UINT64_MAX)) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (items[i] == &w->ingest->token)
                take_step(w);
            else
                take_report(w, items[i]);
        }
    }
    return NULL;
}

/* ---- life ---- */

static uint64_t expiry_of(const struct ingest_config *config, unsigned ratio)
{
    uint64_t interval_ns = config->aggregation_interval_ns;

    if (ratio == 0 || interval_ns > UINT64_MAX / ratio)
        return UINT64_MAX;
    return ratio * interval_ns;
}

static unsigned shards_of(unsigned wanted)
{
    long cores = wanted ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);

    if (cores < 1)
        return 1;
    return cores < SHARDS_MAX ? (unsigned)cores : SHARDS_MAX;
}

static enum prober_error start_worker(struct ingest *ingest, unsigned number)
{
    const struct ingest_config *config = &ingest->config;
    struct worker *w = &ingest->workers[number];
    unsigned ratio = config->series_cache_ratio;
    struct shard_config shard = {
        .number = number,
        .count = config->shards,
        .expiry_ns = expiry_of(config, ratio),
        /* Series that never expire do not make yesterday's results today's. */
        .backfill_ns = expiry_of(config, ratio ? ratio : RATIO_DEFAULT),
        .pairs_max = config->pairs_max,
        .budget = &ingest->budget,
        .outage = config->outage,
        .outage_context = config->outage_context,
    };
    enum prober_error err = shard_create(&w->shard, &shard);

    w->ingest = ingest;
    if (!err) /* one more for the token */
        err = queue_create(&w->queue, config->queue_capacity + 1);
    if (err)
        return err;
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        return PROBER_ERR_IO;
    w->started = true;
    return PROBER_OK;
}

enum prober_error ingest_create(struct ingest **out, const struct ingest_config *config,
                                struct prober_failure *why)
{
    struct ingest *ingest = calloc(1, sizeof(*ingest));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!ingest)
        return prober_fail(why, err, "cannot start the ingest: %s", prober_error_text(err));
    ingest->config = *config;
    ingest->config.shards = shards_of(config->shards);
    if (config->queue_capacity == 0)
        ingest->config.queue_capacity = QUEUE_CAPACITY;
    if (config->pairs_max == 0)
        ingest->config.pairs_max = PAIRS_MAX;
    ingest->budget.cells_max = config->cells_max ? config->cells_max : CELLS_MAX;
    pthread_mutex_init(&ingest->lock, NULL);
    pthread_cond_init(&ingest->done, NULL);
    err = PROBER_OK;
    for (unsigned i = 0; i < ingest->config.shards && !err; i++)
        err = start_worker(ingest, i);
    if (err) {
        ingest_destroy(ingest);
        return prober_fail(why, err, "cannot start the ingest: %s", prober_error_text(err));
    }
    *out = ingest;
    return PROBER_OK;
}

void ingest_destroy(struct ingest *ingest)
{
    if (!ingest)
        return;
    for (unsigned i = 0; i < ingest->config.shards; i++)
        if (ingest->workers[i].queue)
            queue_close(ingest->workers[i].queue);
    for (unsigned i = 0; i < ingest->config.shards; i++) {
        struct worker *w = &ingest->workers[i];

        if (w->started)
            pthread_join(w->thread, NULL);
        queue_destroy(w->queue);
        shard_destroy(w->shard);
    }
    pthread_cond_destroy(&ingest->done);
    pthread_mutex_destroy(&ingest->lock);
    free(ingest);
}

/* ---- reports ---- */

unsigned ingest_shard_of(const struct ingest *ingest, const char *region)
{
    return shard_of(region, ingest->config.shards);
}

static bool enqueue(struct worker *w, struct item *item)
{
    if (atomic_fetch_add(&w->waiting, 1) < w->ingest->config.queue_capacity &&
        queue_push(w->queue, item) == PROBER_OK)
        return true;
    atomic_fetch_sub(&w->waiting, 1);
    return false;
}

void ingest_submit(struct ingest *ingest, struct session *session, struct link_call *call,
                   struct wire_request *request, uint64_t now_ns)
{
    struct item *item = malloc(sizeof(*item));
    struct wire_reply refusal = {.status = WIRE_BUSY, .message = "the ingest queue is full"};

    if (item) {
        *item = (struct item){session, call, *request, now_ns};
        *request = (struct wire_request){0};
        if (enqueue(&ingest->workers[session->shard % ingest->config.shards], item))
            return;
        item_free(item);
    } else {
        wire_request_free(request);
        session_put(session);
    }
    atomic_fetch_add(&ingest->busy, 1);
    answer(ingest, call, &refusal);
}

/* ---- collecting ---- */

static void step_take_arrivals(struct worker *w, const struct collection *c)
{
    (void)c;
    w->arrivals = NULL;
    w->arrival_count = 0;
    w->err = shard_take_arrivals(w->shard, &w->arrivals, &w->arrival_count);
}

static void step_add_arrivals(struct worker *w, const struct collection *c)
{
    for (unsigned i = 0; i < w->ingest->config.shards; i++)
        shard_add_arrivals(w->shard, c->known, w->ingest->workers[i].arrivals,
                           w->ingest->workers[i].arrival_count);
}

static void step_merge(struct worker *w, const struct collection *c)
{
    enum prober_error err = shard_merge(w->shard, c->known, c->now_ns, &w->merged);

    w->err = w->err ? w->err : err;
    w->counts = *shard_counts(w->shard);
    w->agents = shard_agents(w->shard);
}

static void run_step(struct ingest *ingest, struct collection *c,
                     void (*step)(struct worker *w, const struct collection *c))
{
    c->step = step;
    pthread_mutex_lock(&ingest->lock);
    ingest->collection = c;
    ingest->pending = ingest->config.shards;
    pthread_mutex_unlock(&ingest->lock);
    for (unsigned i = 0; i < ingest->config.shards; i++)
        queue_push(ingest->workers[i].queue, &ingest->token); /* there is always room for it */
    pthread_mutex_lock(&ingest->lock);
    while (ingest->pending > 0)
        pthread_cond_wait(&ingest->done, &ingest->lock);
    pthread_mutex_unlock(&ingest->lock);
}

static void count_unknown_arrivals(struct ingest *ingest, const struct known *known)
{
    for (unsigned i = 0; i < ingest->config.shards; i++) {
        const struct worker *w = &ingest->workers[i];

        for (size_t j = 0; j < w->arrival_count; j++)
            if (!known_region_of(known, w->arrivals[j].sender))
                ingest->arrivals_unknown += w->arrivals[j].count;
    }
}

static int compare_pairs(const void *a, const void *b)
{
    const struct mesh_pair *x = a, *y = b;
    int order = strcmp(x->source, y->source);

    return order ? order : strcmp(x->target, y->target);
}

static int compare_urls(const void *a, const void *b)
{
    const struct mesh_url *x = a, *y = b;
    int order = strcmp(x->source, y->source);

    if (order == 0)
        order = strcmp(x->region, y->region);
    return order ? order : strcmp(x->target, y->target);
}

static void add_worker(struct mesh *mesh, const struct worker *w)
{
    const struct shard_counts *c = &w->counts;
    size_t waiting = atomic_load(&w->waiting);
    double lag = (double)w->merged.lag_ns / 1e9;

    memcpy(&mesh->pairs[mesh->pair_count], w->merged.pairs, w->merged.count * sizeof(*mesh->pairs));
    mesh->pair_count += w->merged.count;
    memcpy(&mesh->urls[mesh->url_count], w->merged.urls, w->merged.url_count * sizeof(*mesh->urls));
    mesh->url_count += w->merged.url_count;
    mesh->receive_points_icmp += c->points;
    mesh->receive_points_http += c->points_http;
    mesh->reports_applied += c->applied;
    mesh->reports_duplicate += c->duplicate;
    mesh->reports_backfilled += c->backfilled;
    mesh->reports_unknown_table += c->unknown_table;
    mesh->reports_invalid += c->invalid;
    mesh->reports_full += c->full;
    mesh->arrivals_unknown += c->arrivals_missed;
    mesh->agents += w->agents;
    if (waiting > mesh->queue_depth_max)
        mesh->queue_depth_max = waiting;
    if (lag > mesh->report_lag_seconds)
        mesh->report_lag_seconds = lag;
}

/* Copies names to the mesh's memory: one that is that of the row before is not copied again. */
struct keeper {
    char *to;
    const char *shared[2]; /* the source and region kept last */
};

static const char *keep(struct keeper *k, const char *name)
{
    const char *kept = k->to;

    k->to = stpcpy(k->to, name) + 1;
    return kept;
}

static const char *keep_shared(struct keeper *k, int which, const char *name)
{
    if (!k->shared[which] || strcmp(k->shared[which], name) != 0)
        k->shared[which] = keep(k, name);
    return k->shared[which];
}

static size_t names_room(const struct mesh *mesh)
{
    size_t room = 1;

    for (size_t i = 0; i < mesh->pair_count; i++)
        room += strlen(mesh->pairs[i].source) + strlen(mesh->pairs[i].target) + 2;
    for (size_t i = 0; i < mesh->url_count; i++)
        room += strlen(mesh->urls[i].source) + strlen(mesh->urls[i].region) +
                strlen(mesh->urls[i].target) + 3;
    return room;
}

/* The names still belong to the shards: the mesh gets copies. */
static enum prober_error own_names(struct mesh *mesh)
{
    struct keeper k = {.shared = {NULL, NULL}};

    k.to = mesh->memory = malloc(names_room(mesh));
    if (!k.to)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < mesh->pair_count; i++) {
        mesh->pairs[i].source = keep_shared(&k, 0, mesh->pairs[i].source);
        mesh->pairs[i].target = keep(&k, mesh->pairs[i].target);
    }
    for (size_t i = 0; i < mesh->url_count; i++) {
        struct mesh_url *url = &mesh->urls[i];

        url->source = keep_shared(&k, 0, url->source);
        url->region = keep_shared(&k, 1, url->region);
        url->target = keep(&k, url->target);
    }
    return PROBER_OK;
}

static enum prober_error make_mesh(struct ingest *ingest, const struct collection *c,
                                   uint64_t now_real_ns, struct mesh **out)
{
    struct mesh *mesh = calloc(1, sizeof(*mesh));
    enum prober_error err = PROBER_ERR_NOMEM;
    size_t pairs = 1, urls = 1;

    if (!mesh)
        return err;
    atomic_init(&mesh->references, 1);
    mesh->server_boot = ingest->config.server_boot;
    mesh->made_mono_ns = c->now_ns;
    mesh->made_real_ns = now_real_ns;
    mesh->number = ingest->collections;
    mesh->reports_busy = atomic_load(&ingest->busy);
    mesh->cells = atomic_load(&ingest->budget.cells);
    mesh->arrivals_unknown = ingest->arrivals_unknown;
    for (unsigned i = 0; i < ingest->config.shards; i++) {
        pairs += ingest->workers[i].merged.count;
        urls += ingest->workers[i].merged.url_count;
    }
    mesh->pairs = malloc(pairs * sizeof(*mesh->pairs));
    mesh->urls = malloc(urls * sizeof(*mesh->urls));
    if (mesh->pairs && mesh->urls) {
        for (unsigned i = 0; i < ingest->config.shards; i++)
            add_worker(mesh, &ingest->workers[i]);
        qsort(mesh->pairs, mesh->pair_count, sizeof(*mesh->pairs), compare_pairs);
        qsort(mesh->urls, mesh->url_count, sizeof(*mesh->urls), compare_urls);
        err = own_names(mesh);
    }
    if (err) {
        mesh_put(mesh);
        return err;
    }
    *out = mesh;
    return PROBER_OK;
}

enum prober_error ingest_collect(struct ingest *ingest, const struct directory *directory,
                                 uint64_t now_ns, uint64_t now_real_ns, struct mesh **out)
{
    struct known *known = NULL;
    struct collection c = {.now_ns = now_ns};
    enum prober_error err = known_create(&known, directory);

    if (err)
        return err;
    c.known = known;
    ingest->collections++;
    run_step(ingest, &c, step_take_arrivals);
    count_unknown_arrivals(ingest, known);
    run_step(ingest, &c, step_add_arrivals);
    run_step(ingest, &c, step_merge);
    for (unsigned i = 0; i < ingest->config.shards && !err; i++)
        err = ingest->workers[i].err;
    if (!err)
        err = make_mesh(ingest, &c, now_real_ns, out);
    for (unsigned i = 0; i < ingest->config.shards; i++) {
        free(ingest->workers[i].arrivals);
        free(ingest->workers[i].merged.pairs);
        free(ingest->workers[i].merged.urls);
        ingest->workers[i].merged = (struct shard_merged){0};
    }
    known_destroy(known);
    return err;
}
