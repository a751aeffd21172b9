#include "agentd/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "agentd/address.h"
#include "agentd/agent_health.h"
#include "agentd/agent_stats.h"
#include "agentd/hint_listener.h"
#include "agentd/http_runner.h"
#include "agentd/identity.h"
#include "agentd/local_web.h"
#include "agentd/membership.h"
#include "agentd/policy.h"
#include "agentd/runner.h"
#include "agentd/secure_link.h"
#include "agentd/spool.h"
#include "agentd/task_service.h"
#include "agentd/uplink.h"
#include "agentd/wakeup.h"
#include "common/clock.h"
#include "common/link.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/process.h"
#include "common/version.h"

#define TICK_NS CLOCK_NS_PER_S
/* SIGTERM: probes in flight may still be answered, then the spool is delivered; together with the
 * rest this stays below the 5 s in which the agent has to be gone. */
#define PROBES_GRACE_NS (1500 * CLOCK_NS_PER_MS)
#define SPOOL_PATIENCE_NS (2 * CLOCK_NS_PER_S)
#define STOP_LIMIT_US 4800000

struct daemon {
    const struct agentd_settings *settings; /* at the start */
    struct agentd_settings reloaded;        /* by the last SIGHUP, when has_reloaded */
    bool has_reloaded;
    int argc;
    char *const *argv, *const *environment;
    const sigset_t *signals; /* blocked, of the process */
    struct identity identity;
    struct membership membership;
    struct agent_stats *stats;
    struct wakeup link_wakeup;
    struct spool *spool;
    struct runner *runner;
    struct http_runner *http_runner;
    struct task_service tasks;
    struct hint_listener hints;
    struct link_client *link;
    struct secure_link *secure_link;
    struct uplink *uplink;
    struct local_web *web;
    bool stuck; /* as the log was told */
    char status[AGENT_HEALTH_TEXT_MAX];
};

/* ---- what the uplink asks of the rest ---- */

static void on_presence(void *context, uint32_t agent_number, const struct prober_addr *observed)
{
    struct daemon *d = context;

    runner_set_presence(d->runner, agent_number, observed);
}

static void on_plan(void *context, struct agent_plan *plan)
{
    struct daemon *d = context;

    http_runner_offer_plan(d->http_runner, agent_plan_get(plan));
    runner_offer_plan(d->runner, plan);
}

static void on_hint_port(void *context, uint16_t port)
{
    struct daemon *d = context;

    hint_listener_set_port(&d->hints, port);
}

static void on_hint(void *context)
{
    struct daemon *d = context;

    uplink_hint(d->uplink);
}

static void find_addresses(void *context, struct address_set *out)
{
    const struct daemon *d = context;
    const struct agentd_settings *s = d->settings;
    struct address_query query = {.mode = s->network_type == AGENTD_PUBLIC ? WIRE_ADDRESS_PUBLIC
                                                                           : WIRE_ADDRESS_INTRANET,
                                  .server = s->report_addr,
                                  .urls = (const char *const *)s->public_urls.items,
                                  .url_count = s->public_urls.count};
    struct prober_failure why;
    enum prober_error err;

    if (s->addresses.count)
        err = address_parse_given((const char *const *)s->addresses.items, s->addresses.count, out,
                                  &why);
    else
        err = address_find(&query, out, &why);
    if (!err)
        return;
    *out = (struct address_set){.mode = query.mode};
    log_debug("no own address to report; the server takes the one that it sees",
              LOG_S("cause", why.text));
}

/* ---- making ---- */

static enum prober_error open_log(const struct agentd_settings *s, struct prober_failure *why)
{
    const struct log_config config = {.program = "agentd",
                                      .dir = s->log_dir,
                                      .level = (enum log_level)s->log_level,
                                      .format = (enum log_format)s->log_format};

    return log_open(&config, why);
}

static enum prober_error open_identity(struct daemon *d, struct prober_failure *why)
{
    const int64_t now_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
    enum prober_error err = identity_open(&d->identity, d->settings->state_dir, why);

    return err ? err
               : membership_open(&d->membership, d->settings, &d->identity, d->signals, now_s, why);
}

static enum prober_error open_link(struct daemon *d, struct prober_failure *why)
{
    enum prober_error err = link_client_open(&d->link, d->settings->report_addr, why);

    if (err)
        return err;
    err = secure_link_create(&d->secure_link, d->link);
    if (err)
        return prober_fail(why, err, "%s", prober_error_text(err));
    if (!d->membership.credentials)
        return PROBER_OK;
    return secure_link_trust_by(d->secure_link, d->membership.credentials, why);
}

static enum prober_error open_runners(struct daemon *d, struct prober_failure *why)
{
    struct policy *policy = NULL;
    enum prober_error err = policy_create(&policy, &d->settings->allow, &d->settings->deny, NULL);
    const struct runner_config icmp = {.settings = d->settings,
                                       .agent_id = d->identity.agent_id,
                                       .policy = policy,
                                       .spool = d->spool,
                                       .stats = d->stats};
    const struct http_runner_config http = {.settings = d->settings,
                                            .environment = d->environment,
                                            .agent_id = d->identity.agent_id,
                                            .policy = policy,
                                            .spool = d->spool,
                                            .stats = d->stats};

    if (err)
        return prober_fail(why, err, "%s", prober_error_text(err));
    err = runner_create(&d->runner, &icmp, why);
    if (!err)
        err = http_runner_create(&d->http_runner, &http, why);
    policy_put(policy);
    return err;
}

/* A plain link brings no tasks. */
static enum prober_error open_tasks(struct daemon *d, struct prober_failure *why)
{
    (void)why;
    if (d->membership.credentials)
        task_service_open(&d->tasks, d->settings, &d->link_wakeup);
    return PROBER_OK;
}

static enum prober_error open_uplink(struct daemon *d, struct prober_failure *why)
{
    const struct agentd_settings *s = d->settings;
    struct uplink_config config = {.agent_id = d->identity.agent_id,
                                   .boot_id = d->identity.boot_id,
                                   .region = d->membership.region.name,
                                   .probe_interval_ns = s->probe_interval_ns,
                                   .probe_timeout_ns = s->icmp_timeout_ns,
                                   .sync_interval_ns = s->sync_interval_ns,
                                   .credentials = d->membership.credentials,
                                   .spool = d->spool,
                                   .stats = d->stats,
                                   .tasks = d->tasks.desk,
                                   .wakeup = &d->link_wakeup,
                                   .presence = on_presence,
                                   .plan = on_plan,
                                   .hints = on_hint_port,
                                   .addresses = find_addresses,
                                   .context = d};
    enum prober_error err = hint_listener_open(&d->hints, s->report_addr, on_hint, d, why);

    if (!err)
        err = open_link(d, why);
    config.link = d->secure_link;
    if (!err && (err = uplink_create(&d->uplink, &config)))
        prober_fail(why, err, "%s", prober_error_text(err));
    return err;
}

static enum prober_error open_web(struct daemon *d, struct prober_failure *why)
{
    const struct local_web_config config = {.listen = d->settings->http_listen,
                                            .identity = &d->identity,
                                            .region = d->membership.region.name,
                                            .spool = d->spool,
                                            .stats = d->stats,
                                            .tasks = d->tasks.desk};
    struct prober_failure cause;
    enum prober_error err;

    if (!config.listen[0])
        return PROBER_OK;
    err = local_web_open(&d->web, &config, &cause);
    if (err)
        prober_fail(why, err, "-agent.http.listen.addr: %s", cause.text);
    else
        log_info("serving local metrics", LOG_S("listen", config.listen),
                 LOG_U("port", local_web_port(d->web)));
    return err;
}

static enum prober_error open_stores(struct daemon *d, struct prober_failure *why)
{
    enum prober_error err = wakeup_open(&d->link_wakeup, why);

    if (err)
        return err;
    err = agent_stats_create(&d->stats);
    if (!err)
        err = spool_create(&d->spool, d->settings->spool_bytes, &d->link_wakeup);
    return err ? prober_fail(why, err, "%s", prober_error_text(err)) : PROBER_OK;
}

static enum prober_error start(struct daemon *d, struct prober_failure *why)
{
    uint64_t now_ns = clock_monotonic_ns();
    enum prober_error err;

    agent_stats_icmp_beat(d->stats, now_ns);
    agent_stats_http_beat(d->stats, now_ns);
    agent_stats_link_beat(d->stats, now_ns);
    err = open_web(d, why);
    if (!err)
        err = runner_start(d->runner, why);
    if (!err)
        err = http_runner_start(d->http_runner, why);
    if (!err)
        err = uplink_start(d->uplink, why);
    return err;
}

static enum prober_error open_all(struct daemon *d, struct prober_failure *why)
{
    static enum prober_error (*const steps[])(struct daemon *, struct prober_failure *) = {
        open_identity, open_stores, open_runners, open_tasks, open_uplink, start};
    enum prober_error err = open_log(d->settings, why);

    if (!err && d->settings->upgrade)
        log_warn("-agent.upgrade is accepted, but upgrades come with a later release");
    for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
        err = steps[i](d, why);
    return err;
}

static void tell_start(const struct daemon *d)
{
    char agent_id[PROBER_ID_TEXT_MAX], boot_id[PROBER_ID_TEXT_MAX];

    log_info("agent started", LOG_S("version", PROBER_VERSION),
             LOG_S("region", d->membership.region.name),
             LOG_S("region_from", region_origin_text(d->membership.region.origin)),
             LOG_S("agent_id", prober_id_format(&d->identity.agent_id, agent_id)),
             LOG_S("boot_id", prober_id_format(&d->identity.boot_id, boot_id)),
             LOG_S("server", d->settings->report_addr),
             LOG_S("link", d->membership.credentials ? "trusted" : "plain"),
             LOG_D("interval", d->settings->probe_interval_ns),
             LOG_D("timeout", d->settings->icmp_timeout_ns));
    notify_state("READY=1");
}

/* ---- supervising ---- */

static void tell_problems(const struct problems *problems)
{
    size_t count = problems_count(problems);

    for (size_t i = 0; i < count && i < PROBLEMS_MAX; i++)
        log_error("the settings are not taken", LOG_S("problem", problems_text(problems, i)));
}

static void tell_changes(const struct agentd_settings *before, const struct agentd_settings *after)
{
    const char *names[32];
    size_t count = agentd_settings_changed(before, after, false, names, 32);

    for (size_t i = 0; i < count && i < 32; i++)
        log_warn("this setting changed, but takes effect only after a restart",
                 LOG_S("setting", names[i]));
}

static enum prober_error apply_reload(struct daemon *d, const struct agentd_settings *s,
                                      struct prober_failure *why)
{
    struct policy *policy = NULL;
    enum prober_error err = policy_create(&policy, &s->allow, &s->deny, NULL);

    if (err)
        return prober_fail(why, err, "%s", prober_error_text(err));
    err = open_log(s, why);
    if (!err) {
        runner_set_policy(d->runner, policy);
        http_runner_set_policy(d->http_runner, policy);
        task_service_set_policy(&d->tasks, policy);
        spool_set_limit(d->spool, s->spool_bytes);
        uplink_set_sync_interval(d->uplink, s->sync_interval_ns);
    }
    policy_put(policy);
    return err;
}

static void reload(struct daemon *d)
{
    struct agentd_settings fresh = {0};
    struct problems *problems = NULL;
    struct prober_failure why = {0};
    const struct agentd_settings *before = d->has_reloaded ? &d->reloaded : d->settings;

    if (problems_create(&problems))
        return;
    if (agentd_settings_load(&fresh, d->argc, d->argv, d->environment, problems)) {
        tell_problems(problems);
        agentd_settings_free(&fresh);
    } else if (apply_reload(d, &fresh, &why)) {
        log_error("the settings are not taken", LOG_S("problem", why.text));
        agentd_settings_free(&fresh);
    } else {
        tell_changes(before, &fresh);
        if (d->has_reloaded)
            agentd_settings_free(&d->reloaded);
        d->reloaded = fresh;
        d->has_reloaded = true;
        log_info("settings read anew");
    }
    problems_destroy(problems);
}

/* Tells how we are; the watchdog hears of us only while all threads make progress. */
static void check_up(struct daemon *d)
{
    struct agent_stats_copy stats;
    struct spool_counts spool;
    char text[AGENT_HEALTH_TEXT_MAX];
    bool alive;

    agent_stats_read(d->stats, &stats);
    spool_counts(d->spool, &spool);
    alive = agent_health_is_alive(&stats, clock_monotonic_ns(), text);
    if (alive)
        notify_state("WATCHDOG=1");
    if (alive == d->stuck) {
        d->stuck = !alive;
        text[strcspn(text, "\n")] = '\0';
        log_error(alive ? "all threads make progress again" : "a thread makes no progress",
                  LOG_S("state", text));
    }
    agent_health_status(&stats, spool.reports, text);
    if (strcmp(text, d->status) != 0)
        notify_state(memcpy(d->status, text, sizeof(text)));
}

static void supervise(struct daemon *d, const sigset_t *signals)
{
    uint64_t tick_ns = notify_watchdog_period_ns();
    struct timespec tick;

    if (tick_ns == 0 || tick_ns > TICK_NS)
        tick_ns = TICK_NS;
    tick.tv_sec = (time_t)(tick_ns / CLOCK_NS_PER_S);
    tick.tv_nsec = (long)(tick_ns % CLOCK_NS_PER_S);
    for (;;) {
        int number = sigtimedwait(signals, NULL, &tick);

        if (number == SIGHUP)
            reload(d);
        else if (number > 0) {
            log_info("stopping", LOG_S("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
            return;
        }
        check_up(d);
    }
}

/* ---- stopping ---- */

static void on_stop_limit(int number)
{
    (void)number;
    _exit(0);
}

/* Whatever hangs, the process ends: nothing that it holds would be saved by waiting longer. */
static void limit_stop(void)
{
    const struct sigaction action = {.sa_handler = on_stop_limit};
    const struct itimerval limit = {.it_value = {STOP_LIMIT_US / 1000000, STOP_LIMIT_US % 1000000}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &limit, NULL);
}

static void *close_web(void *context)
{
    local_web_close(context);
    return NULL;
}

static void close_all(struct daemon *d)
{
    struct spool_counts left = {0};
    pthread_t web_closer;
    /* It waits for its connections for up to 2 s, in which the rest need not wait. */
    bool web_closes = d->web && pthread_create(&web_closer, NULL, close_web, d->web) == 0;

    task_service_close(&d->tasks);
    http_runner_finish(d->http_runner, PROBES_GRACE_NS);
    runner_stop(d->runner, PROBES_GRACE_NS);
    http_runner_join(d->http_runner);
    task_service_stop(&d->tasks);
    uplink_drain(d->uplink, SPOOL_PATIENCE_NS);
    if (d->spool)
        spool_counts(d->spool, &left);
    if (left.reports)
        log_warn("reports are lost that the server did not take in time",
                 LOG_U("reports", left.reports));
    if (web_closes)
        pthread_join(web_closer, NULL);
    else
        local_web_close(d->web);
    hint_listener_close(&d->hints);
    uplink_destroy(d->uplink);
    task_service_destroy(&d->tasks);
    secure_link_destroy(d->secure_link);
    link_client_close(d->link);
    membership_close(&d->membership);
    runner_destroy(d->runner);
    http_runner_destroy(d->http_runner);
    spool_destroy(d->spool);
    agent_stats_destroy(d->stats);
    wakeup_close(&d->link_wakeup);
    identity_close(&d->identity);
    if (d->has_reloaded)
        agentd_settings_free(&d->reloaded);
}

/* Blocked before any thread is made, so that every thread leaves them to main(). */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigprocmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int daemon_run(const struct agentd_settings *settings, int argc, char *const *argv,
               char *const *environment)
{
    sigset_t signals;
    struct daemon d = {.settings = settings,
                       .argc = argc,
                       .argv = argv,
                       .environment = environment,
                       .signals = &signals,
                       .identity = {.lock_fd = -1},
                       .link_wakeup = {.fd = -1}};
    struct prober_failure why = {0};
    enum prober_error err;

    block_signals(&signals);
    process_raise_fd_limit();
    err = open_all(&d, &why);
    if (err == PROBER_ERR_CLOSED) {
        log_info("stopping", LOG_S("cause", why.text));
        err = PROBER_OK;
    } else if (err) {
        log_fatal("the agent cannot start", LOG_S("cause", why.text));
    } else {
        tell_start(&d);
        supervise(&d, &signals);
        notify_state("STOPPING=1");
    }
    limit_stop();
    close_all(&d);
    log_close();
    return err ? 1 : 0;
}
