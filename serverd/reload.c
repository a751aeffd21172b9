#include "serverd/reload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct reload {
    pthread_mutex_t lock;
    int argc;
    char *const *argv;
    char *const *environment;
    const struct serverd_settings *settings; /* at the start */
    struct rpc *rpc;
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

static size_t count_http(const struct probe_spec *spec)
{
    size_t count = 0;

    for (size_t i = 0; spec && i < spec->count; i++)
        count += spec->entries[i].kind == PROBE_HTTP;
    return count;
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
            },
    };
    enum prober_error err = read_networks(settings, &change, problems);

    if (!err && settings->probe_file[0])
        err = probe_spec_read_file(&change.spec, settings->probe_file, problems);
    if (err) {
        control_change_free(&change);
        return err;
    }
    if (count_http(change.spec))
        log_warn("this release does not probe the http entries of the probe file",
                 LOG_S("file", settings->probe_file), LOG_U("entries", count_http(change.spec)));
    *out = change;
    return PROBER_OK;
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

enum prober_error reload_create(struct reload **out, int argc, char *const *argv,
                                char *const *environment, const struct serverd_settings *settings,
                                struct rpc *rpc)
{
    struct reload *reload = calloc(1, sizeof(*reload));

    if (!reload)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&reload->lock, NULL);
    reload->argc = argc;
    reload->argv = argv;
    reload->environment = environment;
    reload->settings = settings;
    reload->rpc = rpc;
    *out = reload;
    return PROBER_OK;
}

/* What is fixed until a restart, but goes into what a reload makes. */
static void keep_fixed(const struct serverd_settings *in_force, struct serverd_settings *read)
{
    read->aggregation_interval_ns = in_force->aggregation_interval_ns;
    read->series_cache_ratio = in_force->series_cache_ratio;
    read->probe_self = in_force->probe_self;
}

enum prober_error reload_run(struct reload *reload, struct problems *problems)
{
    struct serverd_settings read = {.config = NULL};
    struct control_change change = {.spec = NULL};
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err;

    pthread_mutex_lock(&reload->lock);
    err = serverd_settings_load(&read, reload->argc, reload->argv, reload->environment, problems);
    if (err)
        goto out;
    warn_of_restart(reload->settings, &read);
    keep_fixed(reload->settings, &read);
    err = reload_read(&read, &change, problems);
    if (!err)
        err = reload_open_log(&read, &why);
    if (!err)
        err = rpc_apply(reload->rpc, &change);
out:
    if (err && problems_count(problems) == 0)
        problems_add(problems, NULL, 0, NULL, "%s",
                     why.code ? why.text : prober_error_text(err));
    if (err)
        log_error("reload failed: everything stays as it was",
                  LOG_U("problems", problems_count(problems)),
                  LOG_S("first", problems_text(problems, 0)));
    else
        log_info("reloaded");
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
