#include "agentd/probe_trace_run.h"

#include <string.h>

#include "agentd/oneshot.h"
#include "agentd/probe_trace_output.h"
#include "common/clock.h"
#include "libprober/resolver.h"

#define LOOK_AGAIN_NS (50 * CLOCK_NS_PER_MS) /* the resolver has another fd than the engine */

struct run {
    const struct probe_trace_config *config;
    struct probe_targets *targets;
    size_t *reached;
    struct resolver *resolver;
    struct trace_engine *engine;
    struct strbuf out;
    int write_errno;
    size_t begun; /* targets whose lookup was begun */
    size_t ended;
    bool stopped;
    struct prober_failure failure; /* that ends the run */
};

/* A lookup needs to know both. */
struct lookup {
    struct run *run;
    struct probe_target *target;
    bool is_used;
};

static void end_target(struct run *run, struct probe_target *t, const struct trace_report *report,
                       const char *error)
{
    const struct probe_trace_result result = {
        .target = t->name,
        .address = t->address,
        .resolve_ns = t->resolve_ns,
        .error = error,
        .report = report,
    };

    t->ended = true;
    run->ended++;
    *run->reached += report && report->end == TRACE_END_TARGET;
    if (run->failure.code)
        return; /* that is said instead */
    if (run->config->json)
        probe_trace_output_json(&run->out, &result);
    else
        probe_trace_output_text(&run->out, &result);
}

static void on_done(void *context, void *user, const struct trace_report *report)
{
    struct run *run = context;

    end_target(run, user, report, run->stopped ? "interrupted" : NULL);
}

/* What concerns one target is its result; what concerns this host ends the run. */
static void start(struct run *run, struct probe_target *t)
{
    struct trace_target target = run->config->like;
    const struct clock_reading now = clock_read();
    struct prober_failure why = {.text = ""};
    enum prober_error err;

    target.address = t->address;
    target.user = t;
    err = trace_engine_add(run->engine, &target, &now, &why);
    if (err == PROBER_ERR_DENIED || err == PROBER_ERR_NOMEM || err == PROBER_ERR_IO)
        run->failure = why;
    else if (err)
        end_target(run, t, NULL, why.text);
}

static void on_name(void *context, const struct resolver_answer *answer)
{
    struct lookup *l = context;
    struct run *run = l->run;
    struct probe_target *t = l->target;

    l->is_used = false;
    t->resolve_ns = answer->elapsed_ns;
    t->address = answer->address;
    if (answer->status != RESOLVER_OK)
        end_target(run, t, NULL, probe_targets_name_error(answer->status));
    else if (run->stopped || run->failure.code)
        end_target(run, t, NULL, "interrupted");
    else
        start(run, t);
}

static struct lookup *free_lookup(struct lookup *list)
{
    for (size_t i = 0; i < PROBE_TRACE_AT_ONCE; i++)
        if (!list[i].is_used)
            return &list[i];
    return NULL;
}

/* Those under way are either looked up or traced. */
static void begin_next(struct run *run, struct lookup *lookups)
{
    const struct probe_trace_config *c = run->config;

    while (run->begun < run->targets->count && run->begun - run->ended < PROBE_TRACE_AT_ONCE) {
        struct lookup *l = free_lookup(lookups);

        *l = (struct lookup){run, &run->targets->list[run->begun++], true};
        resolver_lookup(run->resolver, l->target->name, c->family, c->family != PROBER_FAMILY_NONE,
                        clock_monotonic_ns(), on_name, l);
    }
}

static void see_stop(struct run *run)
{
    if (!*run->config->stop || run->stopped)
        return;
    run->stopped = true;
    trace_engine_stop(run->engine);
    while (run->begun < run->targets->count)
        end_target(run, &run->targets->list[run->begun++], NULL, "interrupted");
}

static void trace_all(struct run *run)
{
    const struct probe_trace_config *c = run->config;
    struct lookup lookups[PROBE_TRACE_AT_ONCE] = {0};

    while (run->ended < run->targets->count && !run->failure.code && !run->write_errno) {
        struct clock_reading now;
        uint64_t next_ns, look_ns;
        size_t lookups_left;

        see_stop(run);
        begin_next(run, lookups);
        look_ns = resolver_step(run->resolver, clock_monotonic_ns());
        lookups_left = run->begun - run->ended - trace_engine_running(run->engine);
        if (run->stopped && lookups_left == run->begun - run->ended)
            break; /* names are not waited for */
        now = clock_read();
        next_ns = trace_engine_step(run->engine, &now);
        oneshot_flush(&run->out, c->out_fd, &run->write_errno);
        if (lookups_left && look_ns > now.mono_ns + LOOK_AGAIN_NS)
            look_ns = now.mono_ns + LOOK_AGAIN_NS;
        if (look_ns < next_ns)
            next_ns = look_ns;
        if (run->ended < run->targets->count && !run->failure.code)
            oneshot_sleep(trace_engine_fd(run->engine), next_ns, now.mono_ns, c->sleep_mask);
    }
    resolver_destroy(run->resolver); /* what is open ends as interrupted */
    run->resolver = NULL;
}

enum prober_error probe_trace_run(const struct probe_trace_config *config,
                                  struct probe_targets *targets, size_t *reached,
                                  struct prober_failure *why)
{
    struct run run = {.config = config, .targets = targets, .reached = reached, .out = STRBUF_INIT};
    const struct resolver_config names = {.servers = config->dns_servers};
    const struct trace_sink sink = {.done = on_done, .context = &run};
    const struct clock_reading now = clock_read();
    enum prober_error err = resolver_create(&run.resolver, &names, why);

    *reached = 0;
    if (err)
        return err;
    err = trace_engine_create(&run.engine, config->rate, &sink, &now, why);
    if (!err)
        trace_all(&run);
    oneshot_flush(&run.out, config->out_fd, &run.write_errno);
    if (!err && run.failure.code)
        err = prober_fail(why, run.failure.code, "%s", run.failure.text);
    else if (!err && run.write_errno)
        err = prober_fail(why, PROBER_ERR_IO, "cannot write the results: %s",
                          strerror(run.write_errno));
    else if (!err && !strbuf_ok(&run.out))
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory for the results");
    resolver_destroy(run.resolver);
    trace_engine_destroy(run.engine);
    strbuf_free(&run.out);
    return err;
}
