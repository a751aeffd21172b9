#include "serverd/reload.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/log.h"
#include "serverd/plan_limits.h"

struct reload {
    pthread_mutex_t lock;
    struct reload_config config;
};

/* An agent heard within this many heartbeats is there: another with its id is a copy. */
#define CLONE_HEARTBEATS 2.5

static enum prober_error read_networks(const struct serverd_settings *s,
                                       struct control_change *change, struct problems *problems)
{
    struct prober_failure why;

    change->networks = calloc(s->plain_networks.count + 1, sizeof(*change->networks));
    if (!change->networks)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < s->plain_networks.count; i++)
        if (prober_network_parse(s->plain_networks.items[i], &change->networks[i], &why)) {
            problems_add(problems, NULL, 0, "server.plain.networks", "%s", why.text);
            return PROBER_ERR_SYNTAX;
        }
    change->registry.network_count = s->plain_networks.count;
    return PROBER_OK;
}

static enum prober_error read_migrate(const struct serverd_settings *s,
                                      struct control_change *change)
{
    size_t count = s->plain_migrate.count;

    change->migrate = calloc(count + 1, sizeof(*change->migrate));
    if (!change->migrate)
        return PROBER_ERR_NOMEM;
    change->registry.migrate_count = count;
    for (size_t i = 0; i < count; i++) {
        change->migrate[i] = strdup(s->plain_migrate.items[i]);
        if (!change->migrate[i])
            return PROBER_ERR_NOMEM;
    }
    return PROBER_OK;
}

static enum prober_error read_probe_file(const struct serverd_settings *s,
                                         struct control_change *change, struct problems *problems)
{
    enum prober_error err = probe_spec_read_file(&change->spec, s->probe_file, problems), other;

    if (err)
        return err;
    err = plan_limits_check(change->spec, s->probe_file, s->probe_self, problems);
    other = plan_limits_check_urls(change->spec, s->probe_file, &change->plan, NULL, 0, problems);
    return err ? err : other;
}

enum prober_error reload_read(const struct serverd_settings *settings, struct control_change *out,
                              struct problems *problems)
{
    struct control_change change = {
        .registry =
            {
                .alive_ns = serverd_alive_ns(settings),
                .forget_ns = settings->agent_forget_ns,
                .clone_ns = (uint64_t)(CLONE_HEARTBEATS * (double)serverd_heartbeat_ns(settings)),
                .accept_plain = settings->plain == SERVERD_PLAIN_ACCEPT,
                .agents_max = (size_t)settings->plain_agents_max,
                .agents_per_source = (size_t)settings->plain_agents_per_source,
            },
        .plan =
            {
                .dynamic = settings->discovery == SERVERD_DISCOVERY_DYNAMIC,
                .probe_self = settings->probe_self,
                .full_below = (uint64_t)settings->mesh_full_below,
                .agents_per_pair = (uint64_t)settings->mesh_agents,
                .targets_per_pair = (uint64_t)settings->mesh_targets,
                .rotate_ns = settings->mesh_rotate_ns,
                .urls_max = serverd_urls_max(settings),
            },
    };
    enum prober_error err = read_networks(settings, &change, problems);

    if (!err)
        err = read_migrate(settings, &change);
    if (!err && settings->probe_file[0])
        err = read_probe_file(settings, &change, problems);
    if (err) {
        control_change_free(&change);
        return err;
    }
    *out = change;
    return PROBER_OK;
}

enum prober_error reload_check_urls(const struct probe_spec *spec, const char *file,
                                    const struct plan_config *plan, struct directory_board *board,
                                    struct problems *problems)
{
    struct directory *d = directory_get(board);
    const char **sources = calloc(d->agent_count + 1, sizeof(*sources));
    enum prober_error err = PROBER_ERR_NOMEM;
    size_t count = 0;

    for (size_t i = 0; sources && i < d->agent_count; i++) { /* sorted by region */
        const struct directory_agent *a = &d->agents[i];

        if (a->alive && (count == 0 || strcmp(sources[count - 1], a->region) != 0))
            sources[count++] = a->region;
    }
    if (sources)
        err = plan_limits_check_urls(spec, file, plan, sources, count, problems);
    free(sources);
    directory_put(d);
    return err;
}

enum prober_error reload_open_log(const struct serverd_settings *settings,
                                  struct prober_failure *why)
{
    const struct log_config config = {
        .program = "serverd",
        .dir = settings->log_dir,
        .level = (enum log_level)settings->log_level,
        .format = (enum log_format)settings->log_format,
    };

    return log_open(&config, why);
}

/* Settings that wait for a restart keep the value that is in force. */
static void warn_of_restart(const struct serverd_settings *in_force,
                            const struct serverd_settings *read)
{
    for (size_t i = 0; i < serverd_options_count; i++)
        if (!(serverd_options[i].flags & OPTION_RELOADABLE) &&
            options_differ(&serverd_options[i], in_force, read))
            log_warn("this setting changes at the next restart only",
                     LOG_S("setting", serverd_options[i].name));
}

enum prober_error reload_create(struct reload **out, const struct reload_config *config)
{
    struct reload *reload = calloc(1, sizeof(*reload));

    if (!reload)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&reload->lock, NULL);
    reload->config = *config;
    *out = reload;
    return PROBER_OK;
}

static bool keep_text(char **read, const char *in_force)
{
    free(*read);
    *read = strdup(in_force);
    return *read != NULL;
}

/* What is fixed until a restart, but goes into what a reload makes. False for lack of memory. */
static bool keep_fixed(const struct serverd_settings *in_force, struct serverd_settings *read)
{
    read->aggregation_interval_ns = in_force->aggregation_interval_ns;
    read->series_cache_ratio = in_force->series_cache_ratio;
    read->probe_self = in_force->probe_self;
    return keep_text(&read->http_listen, in_force->http_listen) &&
           keep_text(&read->metrics_listen, in_force->metrics_listen);
}

static enum prober_error apply(struct reload *reload, struct control_change *change)
{
    enum prober_error err =
        target_lists_begin(reload->config.lists, change->spec, &change->plan, &change->lists);

    if (err)
        return err;
    err = rpc_apply(reload->config.rpc, change);
    target_lists_end(reload->config.lists, !err);
    return err;
}

enum prober_error reload_run(struct reload *reload, struct problems *problems)
{
    struct serverd_settings read = {.config = NULL};
    struct control_change change = {.spec = NULL};
    struct access_rules *rules = NULL;
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err;

    pthread_mutex_lock(&reload->lock);
    err = serverd_settings_load(&read, reload->config.argc, reload->config.argv,
                                reload->config.environment, problems);
    if (err)
        goto out;
    warn_of_restart(reload->config.settings, &read);
    err = keep_fixed(reload->config.settings, &read) ? PROBER_OK : PROBER_ERR_NOMEM;
    if (!err)
        err = reload_read(&read, &change, problems);
    if (!err)
        err = access_rules_create(&rules, &read, problems);
    if (!err && change.spec)
        err = reload_check_urls(change.spec, read.probe_file, &change.plan, reload->config.board,
                                problems);
    if (!err)
        err = reload_open_log(&read, &why);
    if (!err)
        err = apply(reload, &change);
    if (!err && reload->config.gate) {
        gate_set_rules(reload->config.gate, rules);
        rules = NULL;
    }
out:
    if (err && problems_count(problems) == 0)
        problems_add(problems, NULL, 0, NULL, "%s", why.code ? why.text : prober_error_text(err));
    if (err)
        log_error("reload failed: everything stays as it was",
                  LOG_U("problems", problems_count(problems)),
                  LOG_S("first", problems_text(problems, 0)));
    else
        log_info("reloaded");
    access_rules_put(rules);
    control_change_free(&change);
    serverd_settings_free(&read);
    pthread_mutex_unlock(&reload->lock);
    return err;
}

void reload_destroy(struct reload *reload)
{
    if (!reload)
        return;
    pthread_mutex_destroy(&reload->lock);
    free(reload);
}
