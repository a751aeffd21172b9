#include "agentd/probe_run.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/oneshot.h"
#include "common/clock.h"
#include "libprober/icmp_engine.h"
#include "libprober/resolver.h"

#define LOOKUPS_AT_ONCE 256
#define LOOK_AGAIN_NS (5 * CLOCK_NS_PER_MS)
#define OUTPUT_AT_ONCE (64u << 10)
#define GOLDEN_RATIO UINT64_C(0x9e3779b97f4a7c15) /* of 2^64: its multiples are spread evenly */

struct run {
    const struct probe_run_config *config;
    struct probe_targets *targets;
    struct probe_summary *summary;
    struct strbuf out;
    int write_errno;  /* of the first write that failed */
    size_t looked_up; /* targets whose look-up has ended */
    size_t to_probe;  /* targets with an address */
    size_t ended;     /* targets whose result is out */
};

/* One target's lookup: only while it is open, so that a target stays small. */
struct target_lookup {
    struct run *run;
    struct probe_target *target;
};

/* ---- printing ---- */

static void flush(struct run *run)
{
    oneshot_flush(&run->out, run->config->out_fd, &run->write_errno);
}

static void end_target(struct run *run, struct probe_target *t, const struct icmp_window *window,
                       const char *error)
{
    struct probe_result result = {
        .target = t->name,
        .address = t->address,
        .resolve_ns = t->resolve_ns,
        .error = error,
        .window = window,
    };

    t->ended = true;
    run->ended++;
    probe_summary_add(run->summary, window);
    if (run->config->summary)
        return;
    if (run->config->text)
        probe_output_target_text(&run->out, &result);
    else
        probe_output_target(&run->out, &result);
    if (run->out.len >= OUTPUT_AT_ONCE)
        flush(run);
}

/* What hindered the probing of a target that could be sent to, NULL when nothing did. */
static const char *hindrance(const struct icmp_counts *c)
{
    if (c->unsent_local)
        return "this host refused to send: no route, or no permission";
    if (c->unsent_queue)
        return "no room in the queue to send";
    if (c->unsent_late || c->unsent_cap)
        return "this host is too slow to send in time";
    if (c->lost_unreachable)
        return "destination unreachable";
    if (c->lost_ttl)
        return "time to live exceeded on the way";
    return NULL;
}

/* A result without any probe sent: `unsent` of them for want of an address. */
static void end_unprobed(struct run *run, struct probe_target *t, uint32_t unsent,
                         const char *error)
{
    const struct icmp_window window = {.counts.unsent_name = unsent};

    end_target(run, t, &window, error);
}

/* ---- names ---- */

static void on_name(void *context, const struct resolver_answer *answer)
{
    const struct target_lookup *l = context;
    struct probe_target *t = l->target;
    struct run *run = l->run;

    run->looked_up++;
    t->resolve_ns = answer->elapsed_ns;
    t->address = answer->address;
    if (answer->status == RESOLVER_CANCELLED)
        end_unprobed(run, t, 0, probe_targets_name_error(answer->status));
    else if (answer->status != RESOLVER_OK)
        end_unprobed(run, t, run->config->count, probe_targets_name_error(answer->status));
    else
        run->to_probe++;
}

static void wait_for_names(struct run *run, struct resolver *r)
{
    while (run->looked_up < run->targets->count && !*run->config->stop) {
        uint64_t now = clock_monotonic_ns(), next = resolver_step(r, now);

        flush(run);
        if (run->looked_up < run->targets->count)
            oneshot_sleep(resolver_fd(r), next, now, run->config->sleep_mask);
    }
}

static enum prober_error resolve_all(struct run *run, struct prober_failure *why)
{
    const struct probe_run_config *c = run->config;
    const struct resolver_config config = {.servers = c->dns_servers};
    size_t n = run->targets->count;
    struct target_lookup *lookups = malloc(n * sizeof(*lookups));
    struct resolver *r = NULL;
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!lookups) {
        prober_fail(why, err, "out of memory for the look-ups");
        goto out;
    }
    err = resolver_create(&r, &config, why);
    if (err)
        goto out;
    for (size_t i = 0; i < n && !*c->stop; i++) {
        lookups[i] = (struct target_lookup){run, &run->targets->list[i]};
        if (i % LOOKUPS_AT_ONCE == LOOKUPS_AT_ONCE - 1)
            resolver_step(r, clock_monotonic_ns()); /* or replies would wait for the last of them */
        resolver_lookup(r, lookups[i].target->name, c->family, c->family != PROBER_FAMILY_NONE,
                        clock_monotonic_ns(), on_name, &lookups[i]);
    }
    wait_for_names(run, r);
out:
    resolver_destroy(r); /* what is open ends as interrupted */
    free(lookups);
    return err;
}

/* ---- probes ---- */

static void on_window(void *context, void *user, const struct icmp_window *w)
{
    struct probe_target *t = user;

    if (!t->ended)
        end_target(context, t, w, hindrance(&w->counts));
}

static void on_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    (void)context;
    (void)number;
    (void)now;
}

static void on_removed(void *context, void *user)
{
    (void)context;
    (void)user;
}

/* From the first probe of the first target to that of the last. */
static uint64_t spread_ns(const struct run *run)
{
    uint64_t ns = run->to_probe * PROBE_PACE_NS;

    if (ns > run->config->interval_ns)
        ns = run->config->interval_ns;
    return ns > CLOCK_NS_PER_MS ? ns : CLOCK_NS_PER_MS;
}

/* One window holds the whole run: `count` probes of each target, `interval` apart. */
static enum prober_error open_engine(struct run *run, const struct clock_reading *now,
                                     struct icmp_engine **out, struct prober_failure *why)
{
    const struct probe_run_config *c = run->config;
    const struct icmp_engine_config config = {
        .window_ns = (c->count - 1) * c->interval_ns + spread_ns(run),
        .ipv4 = c->family != PROBER_FAMILY_IPV6,
        .ipv6 = c->family != PROBER_FAMILY_IPV4,
    };
    const struct icmp_sink sink = {
        .window = on_window,
        .window_end = on_window_end,
        .removed = on_removed,
        .context = run,
    };

    return icmp_engine_create(out, &config, &sink, now, why);
}

static enum prober_error add_all(struct run *run, struct icmp_engine *e, icmp_target_id *ids,
                                 const struct clock_reading *now, struct prober_failure *why)
{
    const struct probe_run_config *c = run->config;
    uint64_t added = 0;
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; i < run->targets->count && !err; i++) {
        struct probe_target *t = &run->targets->list[i];
        const struct icmp_target target = {
            .address = t->address,
            .payload_size = c->payload_size,
            .count = c->count,
            .gap_ns = c->interval_ns,
            .timeout_ns = c->timeout_ns,
            .phase = added * GOLDEN_RATIO,
            .user = t,
        };

        if (t->ended)
            continue;
        err = icmp_engine_add(e, &target, now, &ids[added]);
        added++;
        if (err)
            prober_fail(why, err, "cannot probe %s: %s", t->name, prober_error_text(err));
    }
    return err;
}

static void run_engine(struct run *run, struct icmp_engine *e, const icmp_target_id *ids)
{
    bool stopped = false;

    icmp_engine_finish(e);
    while (run->ended < run->targets->count && !icmp_engine_is_finished(e)) {
        struct clock_reading now = clock_read();
        uint64_t next;

        if (*run->config->stop && !stopped) {
            stopped = true;
            for (size_t i = 0; i < run->to_probe; i++)
                icmp_engine_remove(e, ids[i]);
        }
        next = icmp_engine_step(e, &now);
        flush(run);
        if (next > now.mono_ns + LOOK_AGAIN_NS)
            next = now.mono_ns + LOOK_AGAIN_NS; /* the engine does not wake for a reply */
        if (run->ended < run->targets->count)
            oneshot_sleep(-1, next, now.mono_ns, run->config->sleep_mask);
    }
}

static enum prober_error probe_all(struct run *run, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct icmp_engine *e = NULL;
    icmp_target_id *ids = malloc(run->to_probe * sizeof(*ids));
    struct clock_reading now = clock_read();

    if (!ids) {
        prober_fail(why, err, "out of memory for the targets");
        goto out;
    }
    err = open_engine(run, &now, &e, why);
    if (err)
        goto out;
    err = add_all(run, e, ids, &now, why);
    if (err)
        goto out;
    run_engine(run, e, ids);
out:
    icmp_engine_destroy(e);
    free(ids);
    return err;
}

enum prober_error probe_run(const struct probe_run_config *config, struct probe_targets *targets,
                            struct probe_summary *summary, struct prober_failure *why)
{
    struct run run = {.config = config, .targets = targets, .summary = summary, .out = STRBUF_INIT};
    uint64_t start_ns = clock_monotonic_ns();
    enum prober_error err = resolve_all(&run, why);

    if (!err && run.to_probe > 0 && !*config->stop)
        err = probe_all(&run, why);
    for (size_t i = 0; !err && i < targets->count; i++)
        if (!targets->list[i].ended)
            end_unprobed(&run, &targets->list[i], 0, "interrupted");
    summary->elapsed_ns = clock_monotonic_ns() - start_ns;
    if (!err && config->summary)
        (config->text ? probe_output_summary_text : probe_output_summary)(&run.out, summary);
    flush(&run);
    if (!err && run.write_errno)
        err = prober_fail(why, PROBER_ERR_IO, "cannot write the results: %s",
                          strerror(run.write_errno));
    else if (!err && !strbuf_ok(&run.out))
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory for the results");
    strbuf_free(&run.out);
    return err;
}
