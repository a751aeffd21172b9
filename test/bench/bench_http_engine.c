/*
 * bench_http_engine - the HTTP engine alone: a program that the benchmark scripts run.
 *
 * Purpose    bench_http_engine [-block YAML] [-stuck URL COUNT] [-at-once N] URL COUNT RATE
 *            probes URL/0 … URL/999 in
 *            turn, COUNT probes in all, RATE a second (0: N, 100, at a time, as fast as they go), with the
 *            settings of an http block, while COUNT targets of -stuck are probed beside them, each once
 *            a second with a timeout of a second. Prints one line of `name value` pairs: CPU of the
 *            whole process, times of the probes that succeeded.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/problems.h"
#include "libprober/http_engine.h"

#define URLS 1000
#define STARTS_PER_TURN 4 /* as agentd */
#define TIMEOUT_NS (5 * CLOCK_NS_PER_S)

struct bench {
    struct http_engine *engine;
    struct http_kind *kind;
    const char *url, *stuck_url;
    size_t count, at_once, started, ended, succeeded, stuck_started, stuck_ended;
    uint64_t *times[HTTP_PHASE_COUNT]; /* [succeeded] */
    uint64_t late_ns;                  /* the latest that a probe was started */
    enum http_reason reason;           /* of a probe that failed */
};

static double peak_rss_mb(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

/* What is resident now. */
static double rss_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, resident = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void on_done(void *context, const struct http_result *result)
{
    struct bench *b = context;

    b->ended++;
    if (result->reason) {
        b->reason = result->reason;
        return;
    }
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++)
        b->times[i][b->succeeded] = result->phases_ns[i];
    b->succeeded++;
}

static void start(struct bench *b)
{
    char url[512];

    snprintf(url, sizeof(url), "%s/%zu", b->url, b->started++ % URLS);
    http_engine_start(b->engine, b->kind, url, TIMEOUT_NS, clock_monotonic_ns(), on_done, b);
}

static void on_stuck(void *context, const struct http_result *result)
{
    struct bench *b = context;

    (void)result;
    b->stuck_ended++;
}

static void start_stuck(struct bench *b)
{
    b->stuck_started++;
    http_engine_start(b->engine, b->kind, b->stuck_url, CLOCK_NS_PER_S, clock_monotonic_ns(),
                      on_stuck, b);
}

/* Steps once, and waits for more to do unless a probe has ended: another may begin then. */
static void wait_until(struct bench *b, uint64_t ns)
{
    size_t ended = b->ended;
    uint64_t next = http_engine_step(b->engine, clock_monotonic_ns()), now = clock_monotonic_ns();
    struct pollfd fd = {http_engine_fd(b->engine), POLLIN, 0};
    struct timespec left;

    if (next > ns)
        next = ns;
    if (next <= now || b->ended != ended)
        return;
    left.tv_sec = (time_t)((next - now) / CLOCK_NS_PER_S);
    left.tv_nsec = (long)((next - now) % CLOCK_NS_PER_S);
    ppoll(&fd, 1, &left, NULL);
}

/* Starts what is due; returns when the next is. */
static uint64_t start_due(struct bench *b, uint64_t began, uint64_t gap)
{
    uint64_t due = UINT64_MAX, now = clock_monotonic_ns();
    unsigned starts = 0;

    for (; b->started < b->count; start(b)) {
        due = began + b->started * gap;
        if (due > now || starts++ == STARTS_PER_TURN || http_engine_is_busy(b->engine))
            break;
        if (gap == 0 && b->started - b->ended >= b->at_once) {
            due = UINT64_MAX;
            break;
        }
        if (gap && now - due > b->late_ns)
            b->late_ns = now - due;
        due = UINT64_MAX;
    }
    return due;
}

/* The stuck ones begin two seconds before the others: when these begin, all of those are open. */
static void run(struct bench *b, uint64_t rate, uint64_t stuck)
{
    uint64_t now = clock_monotonic_ns(), stuck_due = stuck ? now : UINT64_MAX;
    uint64_t began = now + (stuck ? 2 * CLOCK_NS_PER_S : 0), gap = rate ? CLOCK_NS_PER_S / rate : 0;

    while (b->ended < b->count) {
        uint64_t due = start_due(b, began, gap);

        for (now = clock_monotonic_ns(); stuck_due <= now; stuck_due += CLOCK_NS_PER_S / stuck)
            start_stuck(b);
        if (due > now + CLOCK_NS_PER_S)
            due = now + CLOCK_NS_PER_S;
        wait_until(b, due < stuck_due ? due : stuck_due);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void report(struct bench *b, double wall)
{
    struct rusage usage;
    double cpu;

    getrusage(RUSAGE_SELF, &usage);
    cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    printf("cpu_us_per_probe %.1f succeeded %zu failed %zu reason %s per_s %.0f stuck_ended %zu "
           "late_ms %.1f rss_mb %.1f idle_rss_mb %.1f",
           cpu * 1e6 / (double)b->ended, b->succeeded, b->ended - b->succeeded,
           b->reason ? http_reason_text(b->reason) : "none", (double)b->ended / wall,
           b->stuck_ended, (double)b->late_ns / 1e6, peak_rss_mb(), rss_mb());
    for (size_t i = 0; i < HTTP_PHASE_COUNT && b->succeeded > 0; i++) {
        qsort(b->times[i], b->succeeded, sizeof(uint64_t), compare);
        printf(" %s_p50_us %.0f %s_p99_us %.0f", http_phase_text((enum http_phase)i),
               (double)b->times[i][b->succeeded / 2] / 1e3, http_phase_text((enum http_phase)i),
               (double)b->times[i][b->succeeded * 99 / 100] / 1e3);
    }
    printf("\n");
}

static struct http_spec *read_block(const char *text)
{
    struct problems *problems = NULL;
    struct http_spec *spec = NULL;

    if (problems_create(&problems) ||
        http_spec_read_text(&spec, "-block", text, strlen(text), problems)) {
        fprintf(stderr, "%s\n", problems_count(problems) ? problems_text(problems, 0) : "");
        exit(2);
    }
    problems_destroy(problems);
    return spec;
}

/* Touched now, and not for less than most runs need: memory that grows later is the engine's. */
static uint64_t *make_times(size_t count)
{
    size_t size = (count > 10000 ? count : 10000) * sizeof(uint64_t);
    uint64_t *times = malloc(size);

    if (!times)
        exit(1);
    memset(times, 1, size);
    return times;
}

int main(int argc, char **argv)
{
    struct resolver_config names = {0};
    struct bench b = {.at_once = 100};
    const char *block = "{}";
    struct http_spec *spec;
    struct resolver *resolver;
    struct prober_failure why;
    size_t stuck = 0;
    uint64_t began;

    for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
        if (strcmp(argv[1], "-block") == 0) {
            block = argv[2];
        } else if (strcmp(argv[1], "-at-once") == 0) {
            b.at_once = strtoul(argv[2], NULL, 10);
        } else {
            b.stuck_url = argv[2];
            stuck = strtoul(argv[3], NULL, 10);
            argc--, argv++;
        }
    }
    if (argc < 4) {
        fprintf(stderr, "usage: bench_http_engine [-block YAML] [-stuck URL COUNT] [-at-once N] "
                        "URL COUNT RATE\n");
        return argc == 1 ? 0 : 2;
    }
    b.url = argv[1];
    b.count = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++)
        b.times[i] = make_times(b.count);
    spec = read_block(block);
    if (resolver_create(&resolver, &names, &why) || http_engine_create(&b.engine, resolver) ||
        http_kind_create(&b.kind, spec, NULL, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    began = clock_monotonic_ns();
    run(&b, strtoul(argv[3], NULL, 10), stuck);
    report(&b, (double)(clock_monotonic_ns() - began) / 1e9);
    resolver_destroy(resolver);
    http_engine_destroy(b.engine);
    http_kind_destroy(b.kind);
    http_spec_destroy(spec);
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++)
        free(b.times[i]);
    return 0;
}
