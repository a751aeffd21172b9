#include "serverd/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "serverd/aggregate.h"
#include "serverd/api.h"
#include "serverd/control.h"
#include "serverd/gate.h"
#include "serverd/ingest.h"
#include "serverd/admission.h"
#include "serverd/plan_limits.h"
#include "serverd/reload.h"
#include "serverd/rpc.h"
#include "serverd/store.h"
#include "serverd/store_audit.h"
#include "serverd/target_lists.h"
#include "serverd/tasks.h"
#include "serverd/trust.h"

/* For an agent to tell of a task beyond its deadline: it may have to connect again first. */
#define TASK_GRACE_NS (30 * CLOCK_NS_PER_S)
#define CONTROL_STUCK_NS (10 * CLOCK_NS_PER_S)

#define METRICS_THREADS 16

enum { WEB_ADMIN, WEB_METRICS, WEB_COUNT };

struct server {
    const struct serverd_settings *settings;
    struct prober_id boot;
    struct store *store;
    struct trust *trust; /* NULL: plain links alone */
    struct admission *admission;
    struct directory_board *board;
    struct ingest *ingest;
    struct target_lists *lists;
    struct rpc *rpc;
    struct aggregate *aggregate;
    struct reload *reload;
    struct store_audit *audit; /* NULL: there is no store */
    struct gate *gate;
    struct tasks *tasks;       /* NULL: there are none */
    struct api api;
    pthread_mutex_t web_lock;
    /* Guarded by web_lock: metrics are made before and after they are there. */
    struct web_server *webs[WEB_COUNT];
};

static enum prober_error add_failure(struct problems *problems, enum prober_error err,
                                     const struct prober_failure *why)
{
    if (err)
        problems_add(problems, NULL, 0, NULL, "%s", why->code ? why->text : prober_error_text(err));
    return err;
}

static int64_t now_s(void)
{
    return (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
}

/* ---- what the modules are told of one another ---- */

/* On a shard's thread: queues. */
static void keep_outage(void *context, const struct ingest_outage *outage)
{
    struct server *server = context;
    uint64_t now_ns = clock_realtime_ns();
    uint64_t to_ns = now_ns > outage->age_ns ? now_ns - outage->age_ns : 0;
    uint64_t from_ns = to_ns > outage->window_ns ? to_ns - outage->window_ns : 0;

    store_add_backfill(server->store, outage->source, outage->target, from_ns, to_ns,
                       &outage->counts);
}

/* On the thread of the lists: queues. */
static enum prober_error publish_lists(void *context, struct target_book *book)
{
    struct server *server = context;

    return rpc_set_lists(server->rpc, book);
}

static enum prober_error check_spec(void *context, const struct probe_spec *spec,
                                    const struct plan_config *plan, struct problems *problems)
{
    const struct server *server = context;
    enum prober_error err = plan_limits_check(spec, NULL, plan->probe_self, problems);

    return err ? err : reload_check_urls(spec, NULL, plan, server->board, problems);
}

static void write_store_metrics(const struct store *store, struct metrics_writer *w)
{
    struct store_counts counts;
    const struct {
        struct metric_family family;
        const uint64_t *value;
    } rows[] = {
        {{"prober_server_store_queue_depth", METRIC_GAUGE, NULL, "Writes that wait for the store."},
         &counts.queue_depth},
        {{"prober_server_store_writes_total", METRIC_COUNTER, NULL, "Writes that the store made."},
         &counts.writes},
        {{"prober_server_store_errors_total", METRIC_COUNTER, NULL,
          "Attempts to write to the store that failed; they are repeated."},
         &counts.errors},
        {{"prober_server_store_refused_total", METRIC_COUNTER, NULL,
          "Writes given up because the store does not work, or its queue was full."},
         &counts.refused},
        {{"prober_server_store_bad_rows_total", METRIC_COUNTER, NULL,
          "Agents of the store that made no sense when it was loaded."},
         &counts.bad_rows},
    };
    static const struct metric_family works = {
        "prober_server_store_works", METRIC_GAUGE, NULL,
        "1 while what the server learns survives a restart, 0 while the store does not work."};

    store_counts(store, &counts);
    metrics_family(w, &works);
    metrics_sample_u64(w, NULL, 0, counts.works);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        metrics_family(w, &rows[i].family);
        metrics_sample_u64(w, NULL, 0, *rows[i].value);
    }
}

static void write_web_metrics(struct web_server *const *webs, struct metrics_writer *w)
{
    static const struct metric_family requests = {
        "prober_server_http_requests_total", METRIC_COUNTER, NULL,
        "HTTP requests, by the class of the answer's status."};
    static const struct metric_family refusals = {
        "prober_server_http_refused_total", METRIC_COUNTER, NULL,
        "HTTP requests that were refused as they came, by what was wrong with them."};
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    static const char *const reasons[WEB_REFUSAL_COUNT] = {
        [WEB_REFUSED_REQUEST] = "request", [WEB_REFUSED_TIME] = "time", [WEB_REFUSED_BODY] = "body",
        [WEB_REFUSED_CROWD] = "crowd"};
    uint64_t counts[6] = {0}, refused[WEB_REFUSAL_COUNT] = {0};

    for (size_t i = 0; i < WEB_COUNT; i++)
        if (webs[i])
            web_add_counts(webs[i], counts, refused);
    metrics_family(w, &requests);
    for (size_t i = 2; i < ARRAY_LEN(classes); i++) {
        const struct metric_label label = {"class", classes[i]};

        metrics_sample_u64(w, &label, 1, counts[i]);
    }
    metrics_family(w, &refusals);
    for (size_t i = 0; i < WEB_REFUSAL_COUNT; i++)
        metrics_sample_u64(w, &(struct metric_label){"reason", reasons[i]}, 1, refused[i]);
}

/* On the aggregate thread. */
static void write_metrics(void *context, struct metrics_writer *w)
{
    struct server *server = context;

    rpc_write_metrics(server->rpc, w);
    admission_write_metrics(server->admission, w);
    target_lists_write_metrics(server->lists, w);
    write_store_metrics(server->store, w);
    if (server->trust)
        trust_write_metrics(server->trust, w);
    if (server->tasks)
        tasks_write_metrics(server->tasks, w);
    pthread_mutex_lock(&server->web_lock);
    if (server->gate)
        gate_write_metrics(server->gate, w);
    write_web_metrics(server->webs, w);
    pthread_mutex_unlock(&server->web_lock);
}

/* On the thread of commands. */
static void wake_rpc(void *context)
{
    struct server *server = context;

    rpc_wake(server->rpc);
}

/* ---- starting, in this order ---- */

static enum prober_error start_store(struct server *s, struct problems *problems)
{
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = store_open(&s->store, s->settings->state_dir, &why);

    if (err)
        return add_failure(problems, err, &why);
    if (why.code) {
        log_error(why.text);
        return PROBER_OK;
    }
    err = store_audit_open(&s->audit, s->settings->state_dir, &why);
    return add_failure(problems, err, &why);
}

static enum prober_error start_trust(struct server *s, struct problems *problems)
{
    struct prober_failure why = {PROBER_OK, ""};
    struct store_counts store;
    enum prober_error err = trust_open(&s->trust, s->settings, now_s(), &why);

    store_counts(s->store, &store);
    if (err && trust_may_do_without(s->settings, store.works, err)) {
        log_error("no trusted links: going on with plain links alone, and nobody can join",
                  LOG_S("why", why.text));
        return PROBER_OK;
    }
    if (!err && !s->audit)
        log_error("without the store it is not known who has joined or was revoked: agents without "
                  "proof may take the place of those that joined, and revoked ones come back");
    return add_failure(problems, err, &why);
}

static enum prober_error start_admission(struct server *s, struct problems *problems)
{
    struct admission_config config = {
        .state_dir = s->settings->state_dir, .store_works = s->audit != NULL, .server_boot = s->boot};
    struct prober_failure why = {PROBER_OK, ""};

    if (s->trust) {
        const struct authority *authority = trust_authority(s->trust);

        config.ca = authority_ca(authority);
        memcpy(config.ca_fingerprint, authority_ca_identity(authority)->fingerprint,
               sizeof(config.ca_fingerprint));
    }
    return add_failure(problems, admission_create(&s->admission, &config, &why), &why);
}

/* Without it commands do not work; agents are served all the same. */
static enum prober_error start_commands(struct server *s, struct problems *problems)
{
    const struct admission_socket at = {
        .audit = s->audit,
        .board = s->board,
        .listen = s->settings->rpc_listen,
        .port = rpc_port(s->rpc),
        .wake = wake_rpc,
        .context = s,
    };
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = admission_listen(s->admission, &at, &why);

    if (err && err != PROBER_ERR_IN_USE) {
        log_error("'serverd join-token' and 'serverd agents' do not work", LOG_S("why", why.text));
        return PROBER_OK;
    }
    return add_failure(problems, err, &why);
}

static enum prober_error start_ingest(struct server *s, struct problems *problems)
{
    const struct ingest_config config = {
        .shards = (unsigned)s->settings->ingest_threads,
        .server_boot = s->boot,
        .aggregation_interval_ns = s->settings->aggregation_interval_ns,
        .series_cache_ratio =
            s->settings->series_cache_ratio > 0 ? (unsigned)s->settings->series_cache_ratio : 0,
        .outage = keep_outage,
        .outage_context = s,
    };
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = directory_board_create(&s->board);

    if (!err)
        err = ingest_create(&s->ingest, &config, &why);
    return add_failure(problems, err, &why);
}

/* On the thread of a request: never waits. */
static void hint_tasks(void *context)
{
    struct server *server = context;

    rpc_hint_tasks(server->rpc);
}

/* A server whose store does not work serves on without tasks: what it acknowledged could be lost. */
static enum prober_error start_tasks(struct server *s, struct problems *problems)
{
    const struct serverd_settings *settings = s->settings;
    const struct tasks_config config = {
        .state_dir = settings->state_dir,
        .meta_dir = settings->task_meta_dir,
        .board = s->board,
        .timeout_ns = settings->task_timeout_ns,
        .grace_ns = TASK_GRACE_NS,
        .expire_ns = settings->task_expire_ns,
        .keep_ns = settings->task_keep_ns,
        .output_max = settings->task_output_max,
        .outputs_max = settings->task_output_total,
        .files_max = settings->task_files_max,
        .files_age_ns = settings->task_files_age_ns,
        .hint = hint_tasks,
        .context = s,
    };
    struct prober_failure why = {PROBER_OK, ""};

    if (!settings->task)
        return PROBER_OK;
    if (!s->audit) {
        log_error("-server.task has no effect: tasks need the store in -server.state.dir");
        return PROBER_OK;
    }
    return add_failure(problems, tasks_open(&s->tasks, &config, &why), &why);
}

static enum prober_error open_rpc(struct server *s, struct control_change *change,
                                  struct prober_failure *why)
{
    const struct rpc_config config = {
        .listen = s->settings->rpc_listen,
        .hint_listen = s->settings->hint_listen,
        .tls = s->trust ? trust_server(s->trust) : NULL,
        .ingest = s->ingest,
        .enrolment = admission_enrolment(s->admission),
        .control =
            {
                .revocations = admission_revocations(s->admission),
                .server_id = store_server_id(s->store),
                .server_boot = s->boot,
                .heartbeat_ns = serverd_heartbeat_ns(s->settings),
                .aggregation_interval_ns = s->settings->aggregation_interval_ns,
                .board = s->board,
                .ingest = s->ingest,
                .store = s->store,
                .tasks = s->tasks,
            },
    };

    return rpc_open(&s->rpc, &config, change, why);
}

/* The first plan is made of what lists of targets there are at once; the rest comes later. */
static enum prober_error start_rpc(struct server *s, struct problems *problems)
{
    const struct target_lists_config lists = {
        .state_dir = s->settings->state_dir,
        .publish = publish_lists,
        .check = check_spec,
        .context = s,
    };
    struct control_change change = {.spec = NULL};
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = reload_read(s->settings, &change, problems);

    if (err)
        return err;
    err = target_lists_create(&s->lists, &lists);
    if (!err)
        err = target_lists_begin(s->lists, change.spec, &change.plan, &change.lists);
    if (!err) {
        err = open_rpc(s, &change, &why);
        target_lists_end(s->lists, !err);
    }
    if (!err)
        err = target_lists_start(s->lists);
    control_change_free(&change);
    return add_failure(problems, err, &why);
}

static enum prober_error start_aggregate(struct server *s, struct problems *problems)
{
    const struct aggregate_config config = {
        .ingest = s->ingest,
        .board = s->board,
        .interval_ns = s->settings->aggregation_interval_ns,
        .settings =
            {
                .task_enabled = s->tasks != NULL,
                .probe_self_enabled = s->settings->probe_self,
                .extra = write_metrics,
                .extra_context = s,
            },
    };
    struct prober_failure why = {PROBER_OK, ""};

    return add_failure(problems, aggregate_create(&s->aggregate, &config, &why), &why);
}

/* The rules that requests are judged by, from the start on. */
static enum prober_error start_gate(struct server *s, struct problems *problems)
{
    struct access_rules *rules = NULL;
    struct gate *gate = NULL;
    enum prober_error err = access_rules_create(&rules, s->settings, problems);

    if (!err)
        err = gate_create(&gate, rules, s->audit, (size_t)s->settings->http_connections_per_client);
    if (err) {
        access_rules_put(rules);
        return err;
    }
    pthread_mutex_lock(&s->web_lock);
    s->gate = gate;
    pthread_mutex_unlock(&s->web_lock);
    return PROBER_OK;
}

static enum prober_error start_reload(struct server *s, const struct server_config *config)
{
    const struct reload_config reload = {
        .argc = config->argc,
        .argv = config->argv,
        .environment = config->environment,
        .settings = s->settings,
        .rpc = s->rpc,
        .board = s->board,
        .lists = s->lists,
        .gate = s->gate,
    };
    enum prober_error err = reload_create(&s->reload, &reload);

    s->api.board = s->board;
    s->api.aggregate = s->aggregate;
    s->api.reload = s->reload;
    s->api.audit = s->audit;
    s->api.tasks = s->tasks;
    return err;
}

static enum prober_error open_web(struct server *s, size_t which, const struct web_config *config,
                                  const struct web_route *routes, size_t count, const char *option,
                                  struct problems *problems)
{
    struct prober_failure why = {PROBER_OK, ""};
    struct web_server *opened = NULL;
    enum prober_error err = web_open(&opened, config, routes, count, &why);

    if (err) {
        problems_add(problems, NULL, 0, NULL, "cannot listen for %s %s: %s", option, config->listen,
                     why.code ? why.text : prober_error_text(err));
        return err;
    }
    pthread_mutex_lock(&s->web_lock);
    s->webs[which] = opened;
    pthread_mutex_unlock(&s->web_lock);
    return PROBER_OK;
}

static enum prober_error start_web(struct server *s, const struct server_config *config,
                                   struct problems *problems)
{
    struct web_config web = {
        .listen = s->settings->http_listen,
        .threads = (unsigned)s->settings->http_connections_max,
        .timeout_ns = s->settings->http_timeout_ns,
        .body_max = s->settings->http_body_max,
        .context = &s->api,
        .gate = gate_serve,
        .per_peer = (unsigned)s->settings->http_connections_per_client,
        .spared = gate_spares,
    };
    enum prober_error err = start_gate(s, problems);

    if (!err)
        err = start_reload(s, config);
    web.gate_context = s->gate;
    if (!err)
        err = open_web(s, WEB_ADMIN, &web, api_routes, api_routes_count, "-server.http.listen.addr",
                       problems);
    web.listen = s->settings->metrics_listen;
    web.threads = METRICS_THREADS;
    if (!err && web.listen[0])
        err = open_web(s, WEB_METRICS, &web, api_metrics_routes, api_metrics_routes_count,
                       "-server.http.metrics.addr", problems);
    return err;
}

enum prober_error server_start(struct server **out, const struct server_config *config,
                               struct problems *problems)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct server *s = calloc(1, sizeof(*s));

    if (!s)
        return err;
    pthread_mutex_init(&s->web_lock, NULL);
    atomic_init(&s->api.ready, false);
    s->settings = config->settings;
    s->boot = prober_id_random();
    err = start_store(s, problems);
    if (!err)
        err = start_trust(s, problems);
    if (!err)
        err = start_admission(s, problems);
    if (!err)
        err = start_ingest(s, problems);
    if (!err)
        err = start_tasks(s, problems);
    if (!err)
        err = start_rpc(s, problems);
    if (!err)
        err = store_start(s->store);
    if (!err)
        err = start_aggregate(s, problems);
    if (!err)
        err = start_web(s, config, problems);
    if (!err)
        err = start_commands(s, problems);
    if (err)
        goto out;
    atomic_store(&s->api.ready, true);
    *out = s;
    s = NULL;
out:
    server_stop(s);
    return err;
}

/* ---- running ---- */

void server_reload(struct server *server)
{
    struct problems *problems;

    if (problems_create(&problems))
        return;
    reload_run(server->reload, problems);
    problems_destroy(problems);
}

static void take_renewed(void *context, struct channel_server *tls)
{
    struct server *server = context;

    rpc_set_tls(server->rpc, tls);
}

void server_step(struct server *server)
{
    if (server->trust)
        trust_step(server->trust, now_s(), take_renewed, server);
}

bool server_is_working(const struct server *server, uint64_t now_ns)
{
    uint64_t control_ns = rpc_progress_ns(server->rpc) + CONTROL_STUCK_NS;
    uint64_t aggregate_ns = aggregate_progress_ns(server->aggregate) + CONTROL_STUCK_NS +
                            2 * server->settings->aggregation_interval_ns;

    return now_ns < control_ns && now_ns < aggregate_ns;
}

static void *close_web(void *web)
{
    web_close(web);
    return NULL;
}

/* Side by side: each may take seconds. */
static void close_webs(struct web_server *const *webs)
{
    pthread_t thread;
    bool aside = pthread_create(&thread, NULL, close_web, webs[WEB_METRICS]) == 0;

    web_close(webs[WEB_ADMIN]);
    if (aside)
        pthread_join(thread, NULL);
    else
        web_close(webs[WEB_METRICS]);
}

void server_stop(struct server *server)
{
    struct web_server *webs[WEB_COUNT];

    if (!server)
        return;
    atomic_store(&server->api.ready, false);
    pthread_mutex_lock(&server->web_lock);
    memcpy(webs, server->webs, sizeof(webs));
    memset(server->webs, 0, sizeof(server->webs));
    pthread_mutex_unlock(&server->web_lock);
    target_lists_stop(server->lists);
    rpc_stop(server->rpc); /* first: closing the web may take seconds */
    admission_stop(server->admission);
    tasks_stop(server->tasks); /* who waits for one is on the web */
    close_webs(webs);
    reload_destroy(server->reload);
    aggregate_destroy(server->aggregate);
    ingest_destroy(server->ingest);
    rpc_close(server->rpc);
    tasks_close(server->tasks);
    admission_destroy(server->admission);
    target_lists_destroy(server->lists);
    trust_close(server->trust);
    gate_destroy(server->gate);
    store_audit_close(server->audit);
    store_close(server->store);
    directory_board_destroy(server->board);
    pthread_mutex_destroy(&server->web_lock);
    free(server);
}
