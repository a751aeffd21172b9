#include "serverd/options.h"

#include <string.h>

#include "common/addr.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/wire.h"
#include "serverd/exposition_http.h"
#include "serverd/registry.h"

#define HEARTBEAT_NS (10 * CLOCK_NS_PER_S)
#define HEARTBEAT_MIN_NS CLOCK_NS_PER_S
#define HTTP_BODY_MIN (1u << 10)
#define HTTP_BODY_MAX (64u << 20)
#define TASK_OUTPUT_MIN (1u << 10)
#define TASK_OUTPUT_MAX WIRE_TASK_STREAM_MAX
#define TASK_TOTAL_MIN (1u << 20)
#define ALIVE_RATIO_DEFAULT 5
#define ALIVE_MIN_NS (3 * HEARTBEAT_MIN_NS)

static const char *const discovery_names[] = {"static", "dynamic", NULL};
static const char *const read_names[] = {"open", "token", NULL};
static const char *const plain_names[] = {"accept", "refuse", NULL};
static const char *const log_format_names[] = {"logfmt", "json", NULL};

#define AT(member) offsetof(struct serverd_settings, member)
#define YEAR_NS INT64_C(31536000000000000)

const struct option serverd_options[] = {
    {.name = "config", .type = OPTION_STRING, .offset = AT(config), .group = "General",
     .argument = "file", .flags = OPTION_NO_FILE,
     .help = "YAML file with the same keys as the flags. A flag or the environment overrides it."},
    {.name = "h", .type = OPTION_BOOL, .offset = AT(h), .group = "General",
     .flags = OPTION_NO_FILE, .help = "Show this help and exit."},
    {.name = "help", .type = OPTION_BOOL, .offset = AT(help), .group = "General",
     .flags = OPTION_NO_FILE, .help = "Show this help and exit."},
    {.name = "v", .type = OPTION_BOOL, .offset = AT(version), .group = "General",
     .flags = OPTION_NO_FILE, .help = "Show the version and exit."},

    {.name = "server.http.listen.addr", .type = OPTION_STRING, .offset = AT(http_listen),
     .fallback = "localhost:6001", .group = "Listening", .argument = "host:port",
     .help = "Where /metrics and the admin API are served."},
    {.name = "server.rpc.listen.addr", .type = OPTION_STRING, .offset = AT(rpc_listen),
     .fallback = "localhost:6000", .group = "Listening", .argument = "host:port",
     .help = "Where agents call."},
    {.name = "server.hint.listen.addr", .type = OPTION_STRING, .offset = AT(hint_listen),
     .group = "Listening", .argument = "host:port",
     .help = "Where agents hear that their plan has changed. Default: the host of "
             "-server.rpc.listen.addr, and its port + 2."},

    {.name = "server.http.metrics.addr", .type = OPTION_STRING, .offset = AT(metrics_listen),
     .group = "Listening", .argument = "host:port",
     .help = "Where /metrics, /-/healthy and /-/ready are served a second time, and nothing else, by "
             "connections of their own."},

    {.name = "server.http.tokens", .type = OPTION_STRING, .offset = AT(http_tokens),
     .group = "Admin API", .argument = "path", .flags = OPTION_RELOADABLE,
     .help = "File of tokens, or directory of such files, mode 0600. With any token in it, changes "
             "need one; with none, they are taken from root and the server's own user at its own "
             "host."},
    {.name = "server.http.read", .type = OPTION_CHOICE, .offset = AT(http_read),
     .fallback = "open", .group = "Admin API", .choices = read_names, .flags = OPTION_RELOADABLE,
     .help = "open: everybody may read metrics and state. token: only who may make changes, and "
             "holders of a token."},
    {.name = "server.http.hosts", .type = OPTION_LIST, .offset = AT(http_hosts),
     .group = "Admin API", .argument = "host,…", .flags = OPTION_RELOADABLE,
     .help = "Names by which clients may call this server in the Host header, beside literal "
             "addresses, localhost, the host of its listen addresses and the host's own name."},
    {.name = "server.http.trusted-proxies", .type = OPTION_LIST, .offset = AT(http_trusted_proxies),
     .group = "Admin API", .argument = "net,…", .flags = OPTION_RELOADABLE,
     .help = "Networks (192.0.2.0/24) of proxies that are believed when they say for whom they ask, "
             "and whether by HTTPS (X-Forwarded-For and X-Forwarded-Proto, or Forwarded)."},
    {.name = "server.http.plain-tokens", .type = OPTION_BOOL, .offset = AT(http_plain_tokens),
     .group = "Admin API", .flags = OPTION_RELOADABLE,
     .help = "Take tokens over plain HTTP from other hosts: whoever listens in has them then."},
    {.name = "server.http.timeout", .type = OPTION_DURATION, .offset = AT(http_timeout_ns),
     .fallback = "5s", .group = "Admin API", .argument = "duration", .min = 100000000,
     .max = INT64_C(60000000000),
     .help = "A request must have come within this time, and an answer be taken within 6 times it."},
    {.name = "server.http.body.max", .type = OPTION_SIZE, .offset = AT(http_body_max),
     .fallback = "1MiB", .group = "Admin API", .argument = "size",
     .help = "A request with a larger body is refused before any of it is read."},
    {.name = "server.http.connections.max", .type = OPTION_INT, .offset = AT(http_connections_max),
     .fallback = "128", .group = "Admin API", .argument = "n", .min = 4, .max = 1024,
     .help = "Connections that are served at a time; further ones wait."},
    {.name = "server.http.connections.per.client", .type = OPTION_INT,
     .offset = AT(http_connections_per_client), .fallback = "32", .group = "Admin API",
     .argument = "n", .min = 1, .max = 1024,
     .help = "Connections of one peer, but for trusted proxies, that are served when they grow scarce, "
             "and requests of one client that are answered at a time."},

    {.name = "server.icmp.discovery", .type = OPTION_CHOICE, .offset = AT(discovery),
     .fallback = "dynamic", .group = "Probing", .choices = discovery_names,
     .flags = OPTION_RELOADABLE,
     .help = "dynamic: agents probe the addresses of one another's regions. static: only what the "
             "probe file names."},
    {.name = "server.probe.file", .type = OPTION_STRING, .offset = AT(probe_file),
     .group = "Probing", .argument = "file", .flags = OPTION_RELOADABLE,
     .help = "YAML file of targets (prober_configs). Needed with static discovery. Read again on "
             "a reload."},
    {.name = "server.probe.self", .type = OPTION_BOOL, .offset = AT(probe_self),
     .group = "Probing", .help = "Agents also probe the targets of their own region."},
    {.name = "server.mesh.full.below", .type = OPTION_INT, .offset = AT(mesh_full_below),
     .fallback = "200", .group = "Probing", .argument = "agents", .min = 0, .max = 1000000,
     .flags = OPTION_RELOADABLE,
     .help = "With fewer live agents than this, every agent probes every discovered address. From "
             "there on each ordered pair of regions is covered by -server.mesh.agents x "
             "-server.mesh.targets."},
    {.name = "server.mesh.agents", .type = OPTION_INT, .offset = AT(mesh_agents), .fallback = "3",
     .group = "Probing", .argument = "agents", .min = 1, .max = 1000, .flags = OPTION_RELOADABLE,
     .help = "Agents of a region that probe each other region in a large mesh."},
    {.name = "server.mesh.targets", .type = OPTION_INT, .offset = AT(mesh_targets),
     .fallback = "3", .group = "Probing", .argument = "targets", .min = 1, .max = 1000,
     .flags = OPTION_RELOADABLE, .help = "Addresses of a region that each of them probes."},
    {.name = "server.mesh.rotate.interval", .type = OPTION_DURATION, .offset = AT(mesh_rotate_ns),
     .fallback = "1h", .group = "Probing", .argument = "duration", .min = 0, .max = YEAR_NS,
     .flags = OPTION_RELOADABLE,
     .help = "How often a large mesh chooses other agents and addresses for a pair; 0: never."},

    {.name = "server.aggregation.interval", .type = OPTION_DURATION,
     .offset = AT(aggregation_interval_ns), .fallback = "15s", .group = "Aggregation",
     .argument = "duration", .min = 100000000, .max = INT64_C(3600000000000),
     .help = "How often results are merged and /metrics made anew."},
    {.name = "server.series.cache.ratio", .type = OPTION_INT, .offset = AT(series_cache_ratio),
     .fallback = "5", .group = "Aggregation", .argument = "n", .min = INT64_C(-1000000),
     .max = 1000000,
     .help = "A series without new results for n aggregation intervals goes away; an agent not "
             "heard from for as long is not alive. 0 or less: series never go away."},
    {.name = "server.http.series.max", .type = OPTION_INT, .offset = AT(http_series_max),
     .fallback = "1000000", .group = "Aggregation", .argument = "n", .min = 0,
     .max = INT64_C(1000000000000), .flags = OPTION_RELOADABLE,
     .help = "A probe file whose URLs would make more series than this in Prometheus, over all "
             "source regions, is refused; when regions that come later would, their agents are "
             "given no URLs. 0: no limit."},
    {.name = "server.ingest.threads", .type = OPTION_INT, .offset = AT(ingest_threads),
     .fallback = "0", .group = "Aggregation", .argument = "n", .min = 0, .max = 8,
     .help = "Threads that take in reports; 0: one per core, at most 8."},

    {.name = "server.plain", .type = OPTION_CHOICE, .offset = AT(plain), .fallback = "accept",
     .group = "Agents", .choices = plain_names, .flags = OPTION_RELOADABLE,
     .help = "accept: agents are also taken without proof of who they are, on plain links. refuse: only "
             "those that joined."},
    {.name = "server.plain.agents.per.source", .type = OPTION_INT,
     .offset = AT(plain_agents_per_source), .fallback = "64", .group = "Agents", .argument = "n",
     .min = 1, .max = 1000000, .flags = OPTION_RELOADABLE,
     .help = "Agents without proof of who they are that are taken from one source address."},
    {.name = "server.plain.agents.max", .type = OPTION_INT, .offset = AT(plain_agents_max),
     .fallback = "4096", .group = "Agents", .argument = "n", .min = 1, .max = 1000000,
     .flags = OPTION_RELOADABLE,
     .help = "Agents without proof that are taken in all, and as many that joined."},
    {.name = "server.plain.networks", .type = OPTION_LIST, .offset = AT(plain_networks),
     .group = "Agents", .argument = "net,…", .flags = OPTION_RELOADABLE,
     .help = "Networks (192.0.2.0/24) in which an agent without proof may register any address, "
             "beside the one that the server sees and private ones."},
    {.name = "server.plain.migrate", .type = OPTION_LIST, .offset = AT(plain_migrate),
     .group = "Agents", .argument = "region,…", .flags = OPTION_RELOADABLE,
     .help = "Regions that take agents without proof even though agents of theirs have joined: for "
             "as long as their agents join one after another."},
    {.name = "server.agent.forget.after", .type = OPTION_DURATION, .offset = AT(agent_forget_ns),
     .fallback = "1d", .group = "Agents", .argument = "duration", .min = 60000000000,
     .max = YEAR_NS, .flags = OPTION_RELOADABLE,
     .help = "An agent that is not alive any more is forgotten after this time."},

    {.name = "server.pki.ca", .type = OPTION_STRING, .offset = AT(pki_ca), .group = "Trust",
     .argument = "file",
     .help = "Certificate (PEM) of an authority that exists already, in place of the one that the "
             "server makes in its state directory."},
    {.name = "server.pki.ca.key", .type = OPTION_STRING, .offset = AT(pki_ca_key),
     .group = "Trust", .argument = "file",
     .help = "Private key (PEM) of that authority. Without it nobody can join: agents bring "
             "certificates that the authority issued."},
    {.name = "server.pki.certificate", .type = OPTION_STRING, .offset = AT(pki_certificate),
     .group = "Trust", .argument = "file",
     .help = "The server's own certificate (PEM, for serverAuth and the name "
             "server.probermesh.internal), then any between it and the authority. Default: the "
             "authority's key issues one."},
    {.name = "server.pki.key", .type = OPTION_STRING, .offset = AT(pki_key), .group = "Trust",
     .argument = "file", .help = "Private key (PEM) of the server's own certificate."},

    {.name = "server.state.dir", .type = OPTION_STRING, .offset = AT(state_dir),
     .fallback = "/var/lib/probermesh/server", .group = "Files", .argument = "dir",
     .help = "Everything that the server has to remember. Made if missing, readable to its owner "
             "alone."},
    {.name = "server.task", .type = OPTION_BOOL, .offset = AT(task), .group = "Tasks",
     .help = "Take orders for tasks: command lines that agents with trusted links run, as far as "
             "each one's own policy allows."},
    {.name = "server.task.meta.dir", .type = OPTION_STRING, .offset = AT(task_meta_dir),
     .fallback = "./task_meta/", .group = "Tasks", .argument = "dir",
     .help = "Where each result is written as a file. Made if missing. Empty: no files."},
    {.name = "server.task.timeout", .type = OPTION_DURATION, .offset = AT(task_timeout_ns),
     .fallback = "30s", .group = "Tasks", .argument = "duration", .min = 1000000000,
     .max = INT64_C(86400000000000),
     .help = "How long a task may run whose order does not say."},
    {.name = "server.task.expire", .type = OPTION_DURATION, .offset = AT(task_expire_ns),
     .fallback = "1m", .group = "Tasks", .argument = "duration", .min = 1000000000,
     .max = INT64_C(86400000000000),
     .help = "An agent that has not asked for a task within this time does not get it any more."},
    {.name = "server.task.keep", .type = OPTION_DURATION, .offset = AT(task_keep_ns),
     .fallback = "7d", .group = "Tasks", .argument = "duration", .min = 60000000000,
     .max = YEAR_NS,
     .help = "How long a task and its results are kept after it has ended."},
    {.name = "server.task.output.max", .type = OPTION_SIZE, .offset = AT(task_output_max),
     .fallback = "2MiB", .group = "Tasks", .argument = "size",
     .help = "What is kept of the output of a task at one agent, and as much of its error output."},
    {.name = "server.task.output.total", .type = OPTION_SIZE, .offset = AT(task_output_total),
     .fallback = "1GiB", .group = "Tasks", .argument = "size",
     .help = "What is kept of all outputs: the oldest tasks that have ended make room."},
    {.name = "server.task.files.max", .type = OPTION_SIZE, .offset = AT(task_files_max),
     .fallback = "1GiB", .group = "Tasks", .argument = "size",
     .help = "Size of all files in -server.task.meta.dir: the oldest results are removed. 0: no "
             "limit."},
    {.name = "server.task.files.age", .type = OPTION_DURATION, .offset = AT(task_files_age_ns),
     .fallback = "30d", .group = "Tasks", .argument = "duration", .min = 0, .max = YEAR_NS,
     .help = "Age from which on a result file is removed. 0: no limit."},

    {.name = "log.dir", .type = OPTION_STRING, .offset = AT(log_dir), .group = "Logging",
     .argument = "dir", .flags = OPTION_RELOADABLE,
     .help = "Also log to serverd.log in this directory, with daily rotation."},
    {.name = "log.level", .type = OPTION_INT, .offset = AT(log_level), .fallback = "3",
     .group = "Logging", .argument = "0-6", .min = LOG_PANIC, .max = LOG_TRACE,
     .flags = OPTION_RELOADABLE,
     .help = "0 panic, 1 fatal, 2 error, 3 warn, 4 info, 5 debug, 6 trace: that and what is more "
             "severe is logged."},
    {.name = "log.format", .type = OPTION_CHOICE, .offset = AT(log_format), .fallback = "logfmt",
     .group = "Logging", .choices = log_format_names, .flags = OPTION_RELOADABLE,
     .help = "How a log line is written."},
};
const size_t serverd_options_count = ARRAY_LEN(serverd_options);

static void check_listen(const char *option, const char *text, bool may_be_empty,
                         struct problems *problems)
{
    char host[PROBER_HOST_MAX];
    uint16_t port;
    struct prober_failure why = {PROBER_OK, ""};

    if (may_be_empty && text[0] == '\0')
        return;
    if (prober_hostport_split(text, 0, host, &port, &why))
        problems_add(problems, NULL, 0, option, "%s", why.text);
}

static void check(const struct serverd_settings *s, struct problems *problems)
{
    if (s->http_body_max < HTTP_BODY_MIN || s->http_body_max > HTTP_BODY_MAX)
        problems_add(problems, NULL, 0, "server.http.body.max", "must be from 1KiB to 64MiB");
    if (s->task_output_max < TASK_OUTPUT_MIN || s->task_output_max > TASK_OUTPUT_MAX)
        problems_add(problems, NULL, 0, "server.task.output.max", "must be from 1KiB to 64MiB");
    if (s->task_output_total < TASK_TOTAL_MIN)
        problems_add(problems, NULL, 0, "server.task.output.total", "must be 1MiB or more");
    check_listen("server.http.listen.addr", s->http_listen, false, problems);
    check_listen("server.http.metrics.addr", s->metrics_listen, true, problems);
    check_listen("server.rpc.listen.addr", s->rpc_listen, false, problems);
    check_listen("server.hint.listen.addr", s->hint_listen, true, problems);
    if (s->discovery == SERVERD_DISCOVERY_STATIC && s->probe_file[0] == '\0')
        problems_add(problems, NULL, 0, "server.icmp.discovery",
                     "static discovery needs a probe file: give -server.probe.file FILE");
    if (s->state_dir[0] == '\0')
        problems_add(problems, NULL, 0, "server.state.dir", "must not be empty");
    for (size_t i = 0; i < s->plain_networks.count; i++) {
        struct prober_network network;
        struct prober_failure why;

        if (prober_network_parse(s->plain_networks.items[i], &network, &why))
            problems_add(problems, NULL, 0, "server.plain.networks", "%s", why.text);
    }
}

enum prober_error serverd_settings_load(struct serverd_settings *settings, int argc,
                                        char *const *argv, char *const *environment,
                                        struct problems *problems)
{
    const struct options_source source = {
        .table = serverd_options,
        .count = serverd_options_count,
        .settings = settings,
        .argc = argc,
        .argv = argv,
        .environment = environment,
        .config_option = "config",
    };
    enum prober_error err = options_load(&source, problems);

    if (err || settings->h || settings->help || settings->version)
        return err;
    check(settings, problems);
    return problems_count(problems) ? PROBER_ERR_STATE : PROBER_OK;
}

void serverd_settings_free(struct serverd_settings *settings)
{
    options_free(serverd_options, serverd_options_count, settings);
    memset(settings, 0, sizeof(*settings));
}

uint64_t serverd_alive_ns(const struct serverd_settings *settings)
{
    uint64_t ratio = settings->series_cache_ratio > 0 ? (uint64_t)settings->series_cache_ratio
                                                      : ALIVE_RATIO_DEFAULT;
    uint64_t alive_ns = ratio * settings->aggregation_interval_ns;

    return alive_ns < ALIVE_MIN_NS ? ALIVE_MIN_NS : alive_ns;
}

uint64_t serverd_urls_max(const struct serverd_settings *settings)
{
    uint64_t series_max = (uint64_t)settings->http_series_max;

    if (series_max == 0)
        return 0;
    return series_max > EXPOSITION_HTTP_SERIES ? series_max / EXPOSITION_HTTP_SERIES : 1;
}

uint64_t serverd_heartbeat_ns(const struct serverd_settings *settings)
{
    uint64_t third = serverd_alive_ns(settings) / 3;

    return third > HEARTBEAT_NS ? HEARTBEAT_NS : third;
}
