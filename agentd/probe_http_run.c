#include "agentd/probe_http_run.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/oneshot.h"
#include "agentd/probe_http_output.h"
#include "common/clock.h"
#include "libprober/http_warmup.h"
#include "libprober/resolver.h"

struct run;

/* What a probe's callback needs. */
struct probing {
    struct run *run;
    const struct probe_http_job *job;
    struct http_trace *trace; /* NULL: none */
};

struct run {
    const struct probe_http_run_config *config;
    struct probe_http_summary *summary;
    struct http_engine *engine;
    struct probing *probes; /* [config->count] */
    struct strbuf out;
    int write_errno; /* of the first write that failed */
    size_t started;
    bool is_over; /* what ends now has no result */
};

static void on_done(void *context, const struct http_result *result)
{
    struct probing *p = context;
    struct run *run = p->run;

    if (run->is_over)
        return;
    run->summary->ended++;
    run->summary->succeeded += result->reason == HTTP_SUCCEEDED;
    if (run->config->is_text)
        probe_http_output_put_text(&run->out, p->job->target, result);
    else
        probe_http_output_put(&run->out, p->job->target, result, p->trace, p->job->spec);
    http_trace_destroy(p->trace);
    p->trace = NULL;
}

static bool permits(void *context, const struct prober_addr *address)
{
    const struct run *run = context;

    return policy_permits(run->config->policy, address);
}

static enum prober_error start_next(struct run *run)
{
    const struct probe_http_job *job = &run->config->jobs[run->started];
    struct probing *p = &run->probes[run->started];

    *p = (struct probing){run, job, NULL};
    if (run->config->is_traced && http_trace_create(&p->trace, job->spec))
        return PROBER_ERR_NOMEM;
    run->started++;
    http_engine_start_traced(run->engine, job->kind, job->target, job->timeout_ns,
                             clock_monotonic_ns(), p->trace, on_done, p);
    return PROBER_OK;
}

static enum prober_error probe_all(struct run *run)
{
    const struct probe_http_run_config *c = run->config;
    uint64_t start_ns = 0;

    while (run->summary->ended < c->count && !*c->stop && !run->write_errno) {
        uint64_t now = clock_monotonic_ns(), next;
        bool has_room = http_engine_running(run->engine) < PROBE_HTTP_AT_ONCE;

        if (run->started < c->count && has_room && now >= start_ns) {
            if (start_next(run))
                return PROBER_ERR_NOMEM;
            start_ns = now + PROBE_HTTP_PACE_NS;
        }
        next = http_engine_step(run->engine, clock_monotonic_ns());
        oneshot_flush(&run->out, c->out_fd, &run->write_errno);
        has_room = http_engine_running(run->engine) < PROBE_HTTP_AT_ONCE;
        if (run->started < c->count && has_room && start_ns < next)
            next = start_ns;
        if (run->summary->ended < c->count)
            oneshot_sleep(http_engine_fd(run->engine), next, clock_monotonic_ns(), c->sleep_mask);
    }
    return strbuf_ok(&run->out) ? PROBER_OK : PROBER_ERR_NOMEM;
}

static uint64_t longest_timeout_ns(const struct probe_http_run_config *c)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < c->count; i++)
        if (c->jobs[i].timeout_ns > longest)
            longest = c->jobs[i].timeout_ns;
    return longest;
}

enum prober_error probe_http_run(const struct probe_http_run_config *config,
                                 struct probe_http_summary *summary, struct prober_failure *why)
{
    struct run run = {.config = config, .summary = summary, .out = STRBUF_INIT};
    /* a probe's own timeout is what ends its lookup */
    const struct resolver_config names = {.servers = config->dns_servers,
                                          .timeout_ns = longest_timeout_ns(config)};
    struct resolver *resolver = NULL;
    enum prober_error err = resolver_create(&resolver, &names, why);

    if (err)
        return err;
    run.probes = calloc(config->count + 1, sizeof(*run.probes));
    err = run.probes ? http_engine_create(&run.engine, resolver) : PROBER_ERR_NOMEM;
    http_warm_up();
    if (!err && config->policy)
        http_engine_set_guard(run.engine, permits, &run);
    if (!err)
        err = probe_all(&run);
    if (err)
        prober_fail(why, err, "cannot probe: %s", prober_error_text(err));
    else if (run.write_errno)
        err = prober_fail(why, PROBER_ERR_IO, "cannot write the results: %s",
                          strerror(run.write_errno));
    run.is_over = true;
    resolver_destroy(resolver); /* ends lookups, whose probes then end */
    http_engine_destroy(run.engine);
    for (size_t i = 0; i < run.started; i++)
        http_trace_destroy(run.probes[i].trace);
    strbuf_free(&run.out);
    free(run.probes);
    return err;
}
