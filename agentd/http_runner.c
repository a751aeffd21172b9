#include "agentd/http_runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "agentd/http_kinds.h"
#include "agentd/http_rows.h"
#include "agentd/http_targets.h"
#include "agentd/http_trouble.h"
#include "agentd/name_servers.h"
#include "agentd/wakeup.h"
#include "common/log.h"
#include "libprober/http_engine.h"
#include "libprober/resolver.h"

#define FLUSH_NS CLOCK_NS_PER_S             /* results wait so long for others to go with them */
#define TURN_MAX_NS (100 * CLOCK_NS_PER_MS) /* while probes run */
#define IDLE_MAX_NS CLOCK_NS_PER_S
/* A turn that is later than this means that answers may have waited unread, and clocks stood still: a
 * probe of that time says nothing about its target. */
#define DISTURBANCE_NS (500 * CLOCK_NS_PER_MS)
#define STARTS_PER_TURN 4 /* so that those that run are served in between */
#define FDS_RESERVED 128   /* for all else that the agent has open */
#define RUNNING_MIN 16

struct probe {
    struct http_runner *owner;
    struct target_name *name;
    struct http_shared_kind *kind;
    uint32_t missed;
    bool is_disturbed;
    struct probe *previous, *next; /* in the runner's list */
};

struct http_runner {
    pthread_t thread;
    bool started;
    struct wakeup wakeup;
    /* notes of other threads */
    struct agent_plan_board board;
    atomic_bool finishing;
    _Atomic uint64_t grace_ns;
    pthread_mutex_t lock;
    struct policy *new_policy; /* guarded by lock; NULL: none */
    /* immutable */
    uint64_t interval_ns;
    size_t running_max;
    struct spool *spool;
    struct agent_stats *stats;
    /* owned by the thread once it runs */
    struct resolver *resolver;
    struct http_engine *engine;
    struct http_kinds *kinds;
    struct http_targets *targets;
    struct http_rows *rows;
    struct policy *policy;
    struct probe *running, *ended; /* those that ended keep their kinds until the engine returns */
    struct agent_stats_http counts;
    struct http_trouble trouble;
    struct clock_reading now;
    uint64_t expected_boot_ns; /* boottime clock: when this turn should have come */
    uint64_t flush_ns;         /* when the rows are to be spooled; UINT64_MAX: there are none */
    uint64_t published_ns, told_ns;
    uint64_t give_up_ns; /* 0: not finishing yet */
    bool is_over;
};

/* ---- results ---- */

static void flush(struct http_runner *r)
{
    size_t count = http_rows_count(r->rows);
    struct batch *batch;

    r->flush_ns = UINT64_MAX;
    if (http_rows_close(r->rows, r->interval_ns, &batch)) {
        r->counts.rows_lost += count;
        log_error("no memory for the results of probes of URLs", LOG_U("rows", count));
    } else if (batch) {
        spool_push(r->spool, batch);
    }
}

static void add_row(struct http_runner *r, struct target_name *name,
                    const struct http_result *result, uint32_t missed)
{
    r->counts.totals.by_reason[result->reason]++;
    r->counts.totals.unsent_late += missed;
    r->counts.unsent[HTTP_UNSENT_LATE] += missed;
    if (http_rows_add(r->rows, name, result, missed, r->now.boot_ns)) {
        flush(r);
        if (http_rows_add(r->rows, name, result, missed, r->now.boot_ns))
            r->counts.rows_lost++;
    }
    if (r->flush_ns == UINT64_MAX)
        r->flush_ns = r->now.mono_ns + FLUSH_NS;
}

static void add_unsent(struct http_runner *r, struct target_name *name, uint32_t missed,
                       enum http_unsent cause)
{
    static const struct http_result nothing = {.reason = HTTP_FAILED_LOCAL};

    r->counts.unsent[cause]++;
    http_trouble_note(&r->trouble, cause, name);
    add_row(r, name, &nothing, missed);
}

/* ---- probes ---- */

static void move(struct probe *p, struct probe **from, struct probe **to)
{
    if (p->previous)
        p->previous->next = p->next;
    else if (from)
        *from = p->next;
    if (p->next)
        p->next->previous = p->previous;
    p->previous = NULL;
    p->next = *to;
    if (p->next)
        p->next->previous = p;
    *to = p;
}

static void free_probes(struct probe **list)
{
    while (*list) {
        struct probe *p = *list;

        *list = p->next;
        target_name_put(p->name);
        http_shared_kind_release(p->kind);
        free(p);
    }
}

static bool permits(void *context, const struct prober_addr *address)
{
    const struct http_runner *r = context;

    return policy_permits(r->policy, address);
}

static void on_done(void *context, const struct http_result *result)
{
    struct probe *p = context;
    struct http_runner *r = p->owner;

    if (r->is_over)
        return; /* it was given up, and counted */
    r->counts.in_flight--;
    move(p, &r->running, &r->ended);
    http_trouble_see_kind(&r->trouble, p->kind, p->name,
                          result->is_forbidden ? NULL : result->trouble, r->now.mono_ns);
    if (p->is_disturbed)
        add_unsent(r, p->name, p->missed, HTTP_UNSENT_DISTURBED);
    else if (result->reason == HTTP_FAILED_LOCAL)
        add_unsent(r, p->name, p->missed,
                   result->is_forbidden ? HTTP_UNSENT_DENIED : HTTP_UNSENT_LOCAL);
    else
        add_row(r, p->name, result, p->missed);
}

static void start(struct http_runner *r, const struct http_due *due)
{
    struct probe *p;

    if (due->missed)
        http_trouble_note(&r->trouble, HTTP_UNSENT_LATE, due->name);
    if (!due->kind->kind) {
        add_unsent(r, due->name, due->missed, HTTP_UNSENT_UNUSABLE);
        return;
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        add_unsent(r, due->name, due->missed, HTTP_UNSENT_LOCAL);
        return;
    }
    p->owner = r;
    p->name = target_name_get(due->name);
    p->kind = http_shared_kind_hold(due->kind);
    p->missed = due->missed;
    move(p, NULL, &r->running);
    r->counts.in_flight++;
    http_engine_start(r->engine, p->kind->kind, p->name->target, due->timeout_ns, r->now.mono_ns,
                      on_done, p);
}

static bool has_room(const struct http_runner *r)
{
    return r->counts.in_flight < r->running_max;
}

static void start_due(struct http_runner *r)
{
    struct http_due due;

    if (http_engine_is_busy(r->engine))
        return; /* late, rather than measured wrong */
    for (unsigned i = 0; i < STARTS_PER_TURN && has_room(r); i++) {
        if (!http_targets_take(r->targets, r->now.mono_ns, &due))
            return;
        start(r, &due);
    }
}

/* A target went while a probe of it waited to be started. */
static void on_gone(void *context, const struct http_due *due)
{
    add_unsent(context, due->name, due->missed, HTTP_UNSENT_STOPPED);
}

/* ---- making ---- */

/* A probe has one socket at a time, and the limit of open files is not for probes alone. */
static size_t running_max(int64_t setting)
{
    struct rlimit limit;
    uint64_t files = RUNNING_MIN;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return (size_t)setting;
    if (limit.rlim_cur > FDS_RESERVED + RUNNING_MIN)
        files = limit.rlim_cur - FDS_RESERVED;
    return (uint64_t)setting < files ? (size_t)setting : files;
}

static void on_unusable(void *context, const struct agent_plan_http_target *target,
                        const struct http_shared_kind *kind)
{
    (void)context;
    http_trouble_tell_unusable(target, kind);
}

static enum prober_error open_engine(struct http_runner *r, const struct agentd_settings *s,
                                     struct prober_failure *why)
{
    enum prober_error err = name_servers_open(&r->resolver, &s->dns_servers, why);

    if (err)
        return err;
    err = http_engine_create(&r->engine, r->resolver);
    if (err)
        return prober_fail(why, err, "cannot probe URLs: %s", prober_error_text(err));
    http_engine_set_guard(r->engine, permits, r);
    return PROBER_OK;
}

static enum prober_error make_targets(struct http_runner *r,
                                      const struct http_runner_config *config)
{
    const struct http_means means = {.secrets_dir = config->settings->secrets_dir,
                                     .environment = config->environment};
    struct http_targets_config tc = {.interval_ns = r->interval_ns,
                                     .timeout_ns = config->settings->http_timeout_ns,
                                     .gone = on_gone,
                                     .unusable = on_unusable,
                                     .context = r};
    enum prober_error err = http_kinds_create(&r->kinds, &means);

    if (err)
        return err;
    tc.kinds = r->kinds;
    memcpy(&tc.phase_key, config->agent_id.bytes, sizeof(tc.phase_key));
    return http_targets_create(&r->targets, &tc, clock_monotonic_ns());
}

enum prober_error http_runner_create(struct http_runner **out,
                                     const struct http_runner_config *config,
                                     struct prober_failure *why)
{
    struct http_runner *r = calloc(1, sizeof(*r));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!r)
        goto out;
    r->wakeup.fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    r->interval_ns = config->settings->probe_interval_ns;
    r->running_max = running_max(config->settings->http_max_running);
    r->spool = config->spool;
    r->stats = config->stats;
    r->policy = policy_get(config->policy);
    http_trouble_init(&r->trouble, r->interval_ns);
    r->expected_boot_ns = UINT64_MAX;
    r->flush_ns = UINT64_MAX;
    err = wakeup_open(&r->wakeup, why);
    if (!err)
        err = http_rows_create(&r->rows);
    if (!err)
        err = open_engine(r, config->settings, why);
    if (!err)
        err = make_targets(r, config);
    if (err)
        goto out;
    *out = r;
    r = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory");
    http_runner_destroy(r);
    return err;
}

/* ---- a turn ---- */

/* The boottime clock goes on while the machine is suspended: it shows both causes of a late turn. */
static void watch_for_disturbance(struct http_runner *r)
{
    uint64_t boot_ns = r->now.boot_ns;

    if (boot_ns <= r->expected_boot_ns || boot_ns - r->expected_boot_ns < DISTURBANCE_NS)
        return;
    for (struct probe *p = r->running; p; p = p->next)
        p->is_disturbed = true;
}

static void take_policy(struct http_runner *r)
{
    struct policy *policy;

    pthread_mutex_lock(&r->lock);
    policy = r->new_policy;
    r->new_policy = NULL;
    pthread_mutex_unlock(&r->lock);
    if (!policy)
        return;
    policy_put(r->policy);
    r->policy = policy;
}

static void take_plan(struct http_runner *r)
{
    struct agent_plan *plan = agent_plan_board_take(&r->board);
    uint64_t before = r->counts.targets.planned;

    if (!plan)
        return;
    if (http_targets_apply(r->targets, plan, r->now.mono_ns))
        log_error("no memory for all URLs of the plan", LOG_U("targets", plan->http_target_count));
    r->counts.plan_revision = plan->revision;
    http_targets_counts(r->targets, &r->counts.targets);
    if (before || r->counts.targets.planned)
        log_info("plan applied to URLs", LOG_U("revision", plan->revision),
                 LOG_U("targets", r->counts.targets.planned),
                 LOG_U("unusable", r->counts.targets.unusable));
    agent_plan_put(plan);
}

static void wind_up(struct http_runner *r)
{
    if (r->give_up_ns == 0) {
        r->give_up_ns = r->now.mono_ns + atomic_load(&r->grace_ns);
        http_targets_clear(r->targets, r->now.mono_ns);
        http_targets_counts(r->targets, &r->counts.targets);
    }
    if (r->running && r->now.mono_ns < r->give_up_ns)
        return;
    for (struct probe *p = r->running; p; p = p->next)
        add_unsent(r, p->name, p->missed, HTTP_UNSENT_STOPPED);
    r->counts.in_flight = 0;
    r->counts.running = false;
    r->is_over = true;
    flush(r);
}

static void publish(struct http_runner *r)
{
    if (r->now.mono_ns - r->told_ns >= CLOCK_NS_PER_S) {
        r->told_ns = r->now.mono_ns;
        http_trouble_tell(&r->trouble, r->counts.unsent, r->now.mono_ns);
    }
    if (r->now.mono_ns - r->published_ns < TURN_MAX_NS && !r->is_over)
        return;
    r->published_ns = r->now.mono_ns;
    agent_stats_set_http(r->stats, &r->counts);
    agent_stats_http_beat(r->stats, r->now.mono_ns);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the next turn is due, at the latest. */
static uint64_t next_turn(struct http_runner *r, uint64_t engine_ns)
{
    uint64_t next = r->now.mono_ns + (r->running ? TURN_MAX_NS : IDLE_MAX_NS);

    next = min_u64(min_u64(next, engine_ns), r->flush_ns);
    if (r->give_up_ns)
        next = min_u64(next, r->give_up_ns);
    if (has_room(r))
        next = min_u64(next, http_targets_next_ns(r->targets));
    r->expected_boot_ns = r->now.boot_ns + (next > r->now.mono_ns ? next - r->now.mono_ns : 0);
    return next;
}

uint64_t http_runner_turn(struct http_runner *r, const struct clock_reading *now)
{
    uint64_t engine_ns;

    r->now = *now;
    watch_for_disturbance(r);
    take_policy(r);
    start_due(r);
    engine_ns = http_engine_step(r->engine, now->mono_ns);
    free_probes(&r->ended);
    take_plan(r);
    if (atomic_load(&r->finishing))
        wind_up(r);
    if (r->flush_ns <= now->mono_ns)
        flush(r);
    publish(r);
    return next_turn(r, engine_ns);
}

/* ---- the thread ---- */

static void *run(void *context)
{
    struct http_runner *r = context;

    prctl(PR_SET_NAME, "http");
    r->counts.running = true;
    while (!r->is_over) {
        struct clock_reading now = clock_read();
        uint64_t next = http_runner_turn(r, &now), now_ns = clock_monotonic_ns();

        if (next > now_ns && !r->is_over)
            wakeup_wait(&r->wakeup, http_engine_fd(r->engine), next - now_ns);
    }
    return NULL;
}

enum prober_error http_runner_start(struct http_runner *r, struct prober_failure *why)
{
    int number = pthread_create(&r->thread, NULL, run, r);

    if (number)
        return prober_fail(why, PROBER_ERR_IO, "cannot start the http thread: %s",
                           strerror(number));
    r->started = true;
    return PROBER_OK;
}

void http_runner_offer_plan(struct http_runner *r, struct agent_plan *plan)
{
    agent_plan_board_offer(&r->board, plan);
    wakeup_signal(&r->wakeup);
}

void http_runner_set_policy(struct http_runner *r, struct policy *policy)
{
    pthread_mutex_lock(&r->lock);
    policy_put(r->new_policy);
    r->new_policy = policy_get(policy);
    pthread_mutex_unlock(&r->lock);
    wakeup_signal(&r->wakeup);
}

void http_runner_finish(struct http_runner *r, uint64_t grace_ns)
{
    if (!r)
        return;
    atomic_store(&r->grace_ns, grace_ns);
    atomic_store(&r->finishing, true);
    wakeup_signal(&r->wakeup);
}

bool http_runner_is_over(const struct http_runner *r)
{
    return r->is_over;
}

void http_runner_join(struct http_runner *r)
{
    if (!r || !r->started)
        return;
    pthread_join(r->thread, NULL);
    r->started = false;
}

void http_runner_destroy(struct http_runner *r)
{
    if (!r)
        return;
    r->is_over = true;
    resolver_destroy(r->resolver);
    http_engine_destroy(r->engine);
    free_probes(&r->running);
    free_probes(&r->ended);
    http_targets_destroy(r->targets);
    http_kinds_destroy(r->kinds);
    http_rows_destroy(r->rows);
    http_trouble_clear(&r->trouble);
    agent_plan_put(agent_plan_board_take(&r->board));
    policy_put(r->policy);
    policy_put(r->new_policy);
    wakeup_close(&r->wakeup);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
