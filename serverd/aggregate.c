#include "serverd/aggregate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/compress.h"
#include "common/log.h"
#include "common/strbuf.h"

#define FORMATS 2
#define INTERVAL_MIN_NS UINT64_C(1000000)
#define GZIP_LEVEL 1 /* a scrape compresses well, and is read once */

struct aggregate_scrape {
    atomic_uint references;
    bool gzip;
    char *bytes;
    size_t len;
};

/* What one aggregation came to. The aggregate holds one reference, each reader another. */
struct snapshot {
    atomic_uint references;
    struct mesh *mesh;
    struct aggregate_scrape *plain[FORMATS];
    pthread_mutex_t lock;
    struct aggregate_scrape *gzip[FORMATS]; /* guarded by lock; NULL until asked for */
    bool gzip_asked[FORMATS];               /* guarded by lock: by a scrape */
};

struct aggregate {
    struct aggregate_config config;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t change; /* stop, wanted or done changed */
    bool stop;             /* guarded by lock, as are the next three */
    uint64_t wanted, done; /* refreshes asked for, and made */
    struct snapshot *snapshot;
    struct exposition_health health; /* the thread's */
    atomic_uint_fast64_t progress_ns;
    atomic_uint_fast64_t failures;
};

/* ---- scrapes and snapshots ---- */

static struct aggregate_scrape *make_scrape(void *bytes, size_t len, bool gzip)
{
    struct aggregate_scrape *s = bytes ? malloc(sizeof(*s)) : NULL;

    if (!s) {
        free(bytes);
        return NULL;
    }
    s->gzip = gzip;
    s->bytes = bytes;
    s->len = len;
    atomic_init(&s->references, 1);
    return s;
}

static struct aggregate_scrape *scrape_get(struct aggregate_scrape *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void aggregate_scrape_put(struct aggregate_scrape *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    free(s->bytes);
    free(s);
}

const void *aggregate_scrape_bytes(const struct aggregate_scrape *s, size_t *len)
{
    *len = s->len;
    return s->bytes;
}

bool aggregate_scrape_is_gzip(const struct aggregate_scrape *s)
{
    return s->gzip;
}

static void snapshot_put(struct snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    for (int format = 0; format < FORMATS; format++) {
        aggregate_scrape_put(s->plain[format]);
        aggregate_scrape_put(s->gzip[format]);
    }
    mesh_put(s->mesh);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Compresses a format unless it is there; the caller holds the lock. */
static void compress(struct snapshot *s, enum metrics_format format)
{
    const struct aggregate_scrape *plain = s->plain[format];
    void *bytes;
    size_t len;

    if (!s->gzip[format] &&
        compress_gzip(plain->bytes, plain->len, GZIP_LEVEL, &bytes, &len) == PROBER_OK)
        s->gzip[format] = make_scrape(bytes, len, true);
}

static struct aggregate_scrape *snapshot_gzip(struct snapshot *s, enum metrics_format format)
{
    struct aggregate_scrape *scrape;

    pthread_mutex_lock(&s->lock);
    s->gzip_asked[format] = true;
    compress(s, format);
    scrape = s->gzip[format] ? s->gzip[format] : s->plain[format];
    scrape_get(scrape);
    pthread_mutex_unlock(&s->lock);
    return scrape;
}

/* Compresses what the snapshot before was asked for, so that no scrape has to wait for it. */
static void compress_ahead(struct snapshot *s, struct snapshot *before)
{
    bool asked[FORMATS];

    pthread_mutex_lock(&before->lock);
    for (int format = 0; format < FORMATS; format++)
        asked[format] = before->gzip_asked[format];
    pthread_mutex_unlock(&before->lock);
    pthread_mutex_lock(&s->lock);
    for (int format = 0; format < FORMATS; format++)
        if (asked[format])
            compress(s, (enum metrics_format)format);
    pthread_mutex_unlock(&s->lock);
}

/* ---- aggregating ---- */

static enum prober_error render(struct aggregate *a, struct snapshot *s,
                                const struct directory *directory)
{
    for (int format = 0; format < FORMATS; format++) {
        struct strbuf text = STRBUF_INIT;
        enum prober_error err = exposition_render(&text, (enum metrics_format)format, s->mesh,
                                                  directory, &a->config.settings, &a->health);
        size_t len = text.len;

        if (!err && !(s->plain[format] = make_scrape(strbuf_take(&text, NULL), len, false)))
            err = PROBER_ERR_NOMEM;
        strbuf_free(&text);
        if (err)
            return err;
    }
    return PROBER_OK;
}

static enum prober_error make_snapshot(struct aggregate *a, struct snapshot **out)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct directory *directory = directory_get(a->config.board);
    struct clock_reading start = clock_read();
    enum prober_error err = PROBER_ERR_NOMEM;
    uint64_t merged_ns;

    if (!s)
        goto out;
    atomic_init(&s->references, 1);
    pthread_mutex_init(&s->lock, NULL);
    err = ingest_collect(a->config.ingest, directory, start.mono_ns, start.real_ns, &s->mesh);
    if (err)
        goto out;
    merged_ns = clock_monotonic_ns();
    a->health.failures = atomic_load(&a->failures);
    a->health.collect_ns = merged_ns - start.mono_ns;
    err = render(a, s, directory);
    if (err)
        goto out;
    a->health.render_ns = clock_monotonic_ns() - merged_ns;
    a->health.prometheus_bytes = s->plain[METRICS_PROMETHEUS]->len;
    a->health.openmetrics_bytes = s->plain[METRICS_OPENMETRICS]->len;
    *out = s;
    s = NULL;
out:
    snapshot_put(s);
    directory_put(directory);
    return err;
}

/* Makes a snapshot and publishes it; without memory for it the one before stays. */
static enum prober_error aggregate_step(struct aggregate *a)
{
    struct snapshot *s = NULL, *before;
    enum prober_error err = make_snapshot(a, &s);

    if (err) {
        atomic_fetch_add(&a->failures, 1);
        return err;
    }
    if (a->snapshot) /* only this thread changes it */
        compress_ahead(s, a->snapshot);
    pthread_mutex_lock(&a->lock);
    before = a->snapshot;
    a->snapshot = s;
    pthread_mutex_unlock(&a->lock);
    snapshot_put(before);
    atomic_store(&a->progress_ns, clock_monotonic_ns());
    return PROBER_OK;
}

/* Sleeps until `due_ns` or until a refresh is asked for, whose number is returned. */
static uint64_t wait_until(struct aggregate *a, uint64_t due_ns, bool *stop)
{
    struct timespec due = {(time_t)(due_ns / CLOCK_NS_PER_S), (long)(due_ns % CLOCK_NS_PER_S)};
    uint64_t wanted;

    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->wanted == a->done &&
           pthread_cond_timedwait(&a->change, &a->lock, &due) == 0)
        ;
    *stop = a->stop;
    wanted = a->wanted;
    pthread_mutex_unlock(&a->lock);
    return wanted;
}

static void *run(void *context)
{
    struct aggregate *a = context;
    uint64_t interval_ns = a->config.interval_ns, due_ns = clock_monotonic_ns() + interval_ns;

    for (;;) {
        bool stop;
        uint64_t wanted = wait_until(a, due_ns, &stop), now_ns;

        if (stop)
            return NULL;
        if (aggregate_step(a) != PROBER_OK)
            log_error("cannot aggregate: out of memory; the last metrics stay");
        pthread_mutex_lock(&a->lock);
        a->done = wanted;
        pthread_cond_broadcast(&a->change);
        pthread_mutex_unlock(&a->lock);
        now_ns = clock_monotonic_ns();
        if (now_ns >= due_ns) /* keep the beat, but do not catch up on missed ones */
            due_ns += (1 + (now_ns - due_ns) / interval_ns) * interval_ns;
    }
}

/* ---- for others ---- */

static struct snapshot *newest(struct aggregate *a)
{
    struct snapshot *s;

    pthread_mutex_lock(&a->lock);
    s = a->snapshot;
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&a->lock);
    return s;
}

struct mesh *aggregate_mesh(struct aggregate *a)
{
    struct snapshot *s = newest(a);
    struct mesh *mesh = mesh_get(s->mesh);

    snapshot_put(s);
    return mesh;
}

struct aggregate_scrape *aggregate_scrape(struct aggregate *a, enum metrics_format format,
                                          bool gzip)
{
    struct snapshot *s = newest(a);
    struct aggregate_scrape *scrape =
        gzip ? snapshot_gzip(s, format) : scrape_get(s->plain[format]);

    snapshot_put(s);
    return scrape;
}

void aggregate_refresh(struct aggregate *a)
{
    uint64_t mine;

    pthread_mutex_lock(&a->lock);
    mine = ++a->wanted;
    pthread_cond_broadcast(&a->change);
    while (!a->stop && a->done < mine)
        pthread_cond_wait(&a->change, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

uint64_t aggregate_progress_ns(const struct aggregate *a)
{
    return atomic_load(&a->progress_ns);
}

uint64_t aggregate_failures(const struct aggregate *a)
{
    return atomic_load(&a->failures);
}

/* ---- life ---- */

static void init_waiting(struct aggregate *a)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&a->change, &attributes);
    pthread_condattr_destroy(&attributes);
}

enum prober_error aggregate_create(struct aggregate **out, const struct aggregate_config *config,
                                   struct prober_failure *why)
{
    struct aggregate *a;
    enum prober_error err;

    if (config->interval_ns < INTERVAL_MIN_NS)
        return prober_fail(why, PROBER_ERR_RANGE, "the aggregation interval is under 1ms");
    a = calloc(1, sizeof(*a));
    if (!a)
        return prober_fail(why, PROBER_ERR_NOMEM, "cannot aggregate: out of memory");
    a->config = *config;
    init_waiting(a);
    err = aggregate_step(a);
    if (!err && pthread_create(&a->thread, NULL, run, a) != 0)
        err = PROBER_ERR_IO;
    if (err) {
        aggregate_destroy(a);
        return prober_fail(why, err, "cannot aggregate: %s", prober_error_text(err));
    }
    a->started = true;
    *out = a;
    return PROBER_OK;
}

void aggregate_destroy(struct aggregate *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
    if (a->started)
        pthread_join(a->thread, NULL);
    snapshot_put(a->snapshot);
    pthread_cond_destroy(&a->change);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
