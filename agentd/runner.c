#include "agentd/runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "agentd/icmp_rows.h"
#include "agentd/name_servers.h"
#include "agentd/own.h"
#include "agentd/targets.h"
#include "agentd/trouble.h"
#include "agentd/wakeup.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "libprober/icmp_arrivals.h"
#include "libprober/icmp_engine.h"
#include "libprober/resolver.h"

#define TURN_MAX_NS (100 * CLOCK_NS_PER_MS) /* arrivals must be drained at least this often */
#define OWN_REFRESH_NS (5 * CLOCK_NS_PER_S)

struct runner {
    pthread_t thread;
    bool started;
    struct wakeup wakeup;
    /* notes of other threads */
    struct agent_plan_board board;
    atomic_bool stopping;
    _Atomic uint64_t grace_ns;
    pthread_mutex_t lock;
    struct policy *new_policy; /* guarded by lock; NULL: none */
    bool has_presence;         /* guarded by lock, as are the next two */
    uint32_t agent_number;
    struct prober_addr observed;
    /* immutable */
    uint64_t window_ns;
    struct spool *spool;
    struct agent_stats *stats;
    /* owned by the thread once it runs */
    struct icmp_engine *engine;
    struct icmp_arrivals *arrivals; /* NULL: not counted */
    struct resolver *resolver;
    struct targets *targets;
    struct own own;
    struct icmp_rows *rows;
    struct trouble trouble;
    struct agent_stats_probing probing;
    struct clock_reading now;
    uint64_t own_read_ns;
};

/* ---- results ---- */

static void close_batch(struct runner *r, uint32_t window)
{
    size_t count = icmp_rows_count(r->rows);
    struct batch *batch;

    if (icmp_rows_close(r->rows, window, r->window_ns, r->now.boot_ns, &batch)) {
        r->probing.rows_lost += count;
        log_error("no memory for the results of a window", LOG_U("window", window),
                  LOG_U("rows", count));
    } else if (batch) {
        spool_push(r->spool, batch);
    }
}

static void on_window(void *context, void *user, const struct icmp_window *w)
{
    struct runner *r = context;
    struct targets_probe *probe = user;

    icmp_totals_add(&r->probing.totals, &w->counts);
    trouble_add(&r->trouble, &w->counts);
    if (icmp_rows_add(r->rows, probe->name, w, probe->resolve_ns) == PROBER_OK)
        return;
    close_batch(r, w->number);
    if (icmp_rows_add(r->rows, probe->name, w, probe->resolve_ns))
        r->probing.rows_lost++;
}

static void take_arrivals(struct runner *r)
{
    uint64_t quiet_ns = r->window_ns / 4;
    size_t max;
    struct icmp_arrival *out;

    if (!r->arrivals)
        return;
    if (quiet_ns < CLOCK_NS_PER_S)
        quiet_ns = CLOCK_NS_PER_S;
    out = icmp_rows_arrivals(r->rows, &max);
    icmp_rows_add_arrivals(r->rows,
                           icmp_arrivals_take(r->arrivals, r->now.mono_ns, quiet_ns, out, max));
}

static void on_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    struct runner *r = context;

    r->now = *now;
    take_arrivals(r);
    close_batch(r, number);
    r->probing.windows++;
    icmp_engine_counts(r->engine, &r->probing.engine);
    trouble_window_end(&r->trouble, &r->probing.engine, now->mono_ns);
    targets_refresh(r->targets);
}

static void on_removed(void *context, void *user)
{
    (void)context;
    targets_probe_removed(user);
}

/* ---- making ---- */

static void open_arrivals(struct runner *r)
{
    struct prober_failure why;

    if (icmp_arrivals_create(&r->arrivals, &why) == PROBER_OK)
        return;
    r->arrivals = NULL;
    log_warn("cannot count the probes of other agents; losses will have no direction",
             LOG_S("cause", why.text));
}

static enum prober_error open_engine(struct runner *r, const struct agentd_settings *s,
                                     struct prober_failure *why)
{
    const struct icmp_engine_config config = {
        .window_ns = s->probe_interval_ns,
        .first_window = 1,
        .timestamps = (enum icmp_timestamps)s->icmp_timestamps,
        .packets_per_second_max = (uint64_t)s->icmp_max_pps,
        .target_packets_per_second_max = (uint64_t)s->icmp_target_max_pps,
        .identifier = (uint32_t)s->icmp_identifier,
        .ipv4 = true,
        .ipv6 = true};
    const struct icmp_sink sink = {on_window, on_window_end, on_removed, r};
    enum prober_error err;

    r->now = clock_read();
    err = icmp_engine_create(&r->engine, &config, &sink, &r->now, why);
    if (!err && s->icmp_arrivals)
        open_arrivals(r);
    return err;
}

static enum prober_error make_targets(struct runner *r, const struct runner_config *config)
{
    struct targets_config tc = {.engine = r->engine,
                                .resolver = r->resolver,
                                .own = &r->own,
                                .policy = config->policy,
                                .timeout_ns = config->settings->icmp_timeout_ns};
    const struct option_list *given = &config->settings->addresses;

    memcpy(&tc.phase_key, config->agent_id.bytes, sizeof(tc.phase_key));
    for (size_t i = 0; i < given->count && i < ARRAY_LEN(r->own.given); i++)
        if (prober_addr_parse(given->items[i], &r->own.given[i]) == PROBER_OK)
            r->own.given_count = i + 1;
    own_refresh(&r->own);
    return targets_create(&r->targets, &tc);
}

enum prober_error runner_create(struct runner **out, const struct runner_config *config,
                                struct prober_failure *why)
{
    struct runner *r = calloc(1, sizeof(*r));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!r)
        goto out;
    r->wakeup.fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    r->window_ns = config->settings->probe_interval_ns;
    r->spool = config->spool;
    r->stats = config->stats;
    err = wakeup_open(&r->wakeup, why);
    if (!err)
        err = icmp_rows_create(&r->rows);
    if (!err)
        err = open_engine(r, config->settings, why);
    if (!err)
        err = name_servers_open(&r->resolver, &config->settings->dns_servers, why);
    if (!err)
        err = make_targets(r, config);
    if (err)
        goto out;
    *out = r;
    r = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory");
    runner_destroy(r);
    return err;
}

/* ---- the thread ---- */

static void take_plan(struct runner *r)
{
    struct agent_plan *plan = agent_plan_board_take(&r->board);
    struct targets_counts counts;

    if (!plan)
        return;
    if (targets_apply(r->targets, plan, &r->now))
        log_error("no memory for all targets of the plan", LOG_U("targets", plan->target_count));
    r->probing.plan_revision = plan->revision;
    r->probing.has_plan = true;
    targets_counts(r->targets, &counts);
    log_info("plan applied", LOG_U("revision", plan->revision), LOG_U("targets", counts.planned),
             LOG_U("resolving", counts.resolving), LOG_U("own", counts.own),
             LOG_U("denied", counts.denied), LOG_U("refused", counts.refused),
             LOG_U("other_kinds", plan->skipped));
    agent_plan_put(plan);
}

static void take_notes(struct runner *r)
{
    struct policy *policy;
    bool changed = false;

    pthread_mutex_lock(&r->lock);
    policy = r->new_policy;
    r->new_policy = NULL;
    if (r->has_presence) {
        r->has_presence = false;
        icmp_engine_set_sender(r->engine, r->agent_number);
        changed = !prober_addr_equal(&r->own.observed, &r->observed);
        r->own.observed = r->observed;
    }
    pthread_mutex_unlock(&r->lock);
    if (policy)
        targets_set_policy(r->targets, policy);
    if (r->now.mono_ns - r->own_read_ns >= OWN_REFRESH_NS) {
        r->own_read_ns = r->now.mono_ns;
        changed = own_refresh(&r->own) || changed;
    }
    if (policy || changed)
        targets_review(r->targets, &r->now);
    policy_put(policy);
}

static void publish(struct runner *r)
{
    icmp_engine_counts(r->engine, &r->probing.engine);
    targets_counts(r->targets, &r->probing.targets);
    if (r->arrivals)
        r->probing.arrivals_missed = icmp_arrivals_missed(r->arrivals);
    agent_stats_set_probing(r->stats, &r->probing);
    agent_stats_icmp_beat(r->stats, r->now.mono_ns);
}

/* One turn; returns when the next is due. */
static uint64_t turn(struct runner *r)
{
    uint64_t next, soonest = r->now.mono_ns + TURN_MAX_NS;

    next = icmp_engine_step(r->engine, &r->now);
    if (r->arrivals)
        icmp_arrivals_step(r->arrivals, r->now.mono_ns);
    if (next < soonest)
        soonest = next;
    next = resolver_step(r->resolver, r->now.mono_ns);
    targets_step(r->targets, &r->now);
    return next < soonest ? next : soonest;
}

static void sleep_until(struct runner *r, uint64_t next_ns)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (next_ns > now_ns)
        wakeup_wait(&r->wakeup, resolver_fd(r->resolver), next_ns - now_ns);
}

static void wind_up(struct runner *r)
{
    uint64_t deadline_ns = clock_monotonic_ns() + atomic_load(&r->grace_ns);

    targets_clear(r->targets);
    icmp_engine_finish(r->engine);
    do {
        uint64_t next;

        r->now = clock_read();
        next = turn(r);
        if (icmp_engine_is_finished(r->engine))
            break;
        sleep_until(r, next < deadline_ns ? next : deadline_ns);
    } while (r->now.mono_ns < deadline_ns);
    take_arrivals(r);
    close_batch(r, 0);
    r->probing.running = false;
    publish(r);
}

static void *run(void *context)
{
    struct runner *r = context;
    uint64_t published_ns = 0;

    prctl(PR_SET_NAME, "icmp");
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    r->probing.running = true;
    while (!atomic_load(&r->stopping)) {
        uint64_t next;

        r->now = clock_read();
        take_notes(r);
        take_plan(r);
        next = turn(r);
        if (r->now.mono_ns - published_ns >= TURN_MAX_NS) {
            published_ns = r->now.mono_ns;
            publish(r);
        }
        sleep_until(r, next);
    }
    wind_up(r);
    return NULL;
}

enum prober_error runner_start(struct runner *r, struct prober_failure *why)
{
    int number = pthread_create(&r->thread, NULL, run, r);

    if (number)
        return prober_fail(why, PROBER_ERR_IO, "cannot start the icmp thread: %s",
                           strerror(number));
    r->started = true;
    return PROBER_OK;
}

void runner_offer_plan(struct runner *r, struct agent_plan *plan)
{
    agent_plan_board_offer(&r->board, plan);
    wakeup_signal(&r->wakeup);
}

void runner_set_policy(struct runner *r, struct policy *policy)
{
    pthread_mutex_lock(&r->lock);
    policy_put(r->new_policy);
    r->new_policy = policy_get(policy);
    pthread_mutex_unlock(&r->lock);
    wakeup_signal(&r->wakeup);
}

void runner_set_presence(struct runner *r, uint32_t agent_number,
                         const struct prober_addr *observed)
{
    pthread_mutex_lock(&r->lock);
    r->has_presence = true;
    r->agent_number = agent_number;
    r->observed = *observed;
    pthread_mutex_unlock(&r->lock);
    wakeup_signal(&r->wakeup);
}

void runner_stop(struct runner *r, uint64_t grace_ns)
{
    if (!r || !r->started)
        return;
    atomic_store(&r->grace_ns, grace_ns);
    atomic_store(&r->stopping, true);
    wakeup_signal(&r->wakeup);
    pthread_join(r->thread, NULL);
    r->started = false;
}

void runner_destroy(struct runner *r)
{
    if (!r)
        return;
    icmp_engine_destroy(r->engine);
    icmp_arrivals_destroy(r->arrivals);
    resolver_destroy(r->resolver);
    targets_destroy(r->targets);
    icmp_rows_destroy(r->rows);
    agent_plan_put(agent_plan_board_take(&r->board));
    policy_put(r->new_policy);
    wakeup_close(&r->wakeup);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
