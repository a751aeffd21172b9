#include "agentd/options.h"

#include <string.h>

#include "agentd/address.h"
#include "agentd/policy.h"
#include "agentd/task_worker.h"
#include "common/addr.h"
#include "common/array.h"
#include "common/join_token.h"
#include "common/wire.h"

#define MS INT64_C(1000000)
#define S (INT64_C(1000) * MS)
#define HOUR (INT64_C(3600) * S)

#define TASK_OUTPUT_MIN (4u << 10)
#define TASK_OUTPUT_MAX (16u << 20)

#define AT(member) offsetof(struct agentd_settings, member)

#define GENERAL "General"
#define LOG "Log"
#define WHO "Who this agent is"
#define LINK "Link to the server"
#define PROBING "Probing"
#define TASKS "Tasks"
#define LOCAL "Local HTTP"
#define LATER "With a later release"

static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const network_types[] = {"intranet", "public", NULL};
static const char *const task_policies[] = {"off", "allowlist", "shell", NULL};
static const char *const timestamps[] = {"auto", "user", "kernel", NULL};

const struct option agentd_options[] = {
    {"config", OPTION_STRING, AT(config), "", GENERAL, "file",
     "YAML file with these same settings (agent.probe.interval: 15s, or nested). A flag or an "
     "environment variable (PROBERMESH_AGENT_PROBE_INTERVAL) goes before the file.",
     0, 0, NULL, OPTION_NO_FILE},
    {"h", OPTION_BOOL, AT(help), NULL, GENERAL, NULL, "Print this help and exit.", 0, 0, NULL,
     OPTION_NO_FILE},
    {"help", OPTION_BOOL, AT(help), NULL, GENERAL, NULL, "The same as -h.", 0, 0, NULL,
     OPTION_NO_FILE},
    {"v", OPTION_BOOL, AT(version), NULL, GENERAL, NULL, "Print the version and exit.", 0, 0, NULL,
     OPTION_NO_FILE},
    {"version", OPTION_BOOL, AT(version), NULL, GENERAL, NULL, "The same as -v.", 0, 0, NULL,
     OPTION_NO_FILE},

    {"log.dir", OPTION_STRING, AT(log_dir), "", LOG, "dir",
     "Directory for agentd.log, rotated daily and kept for 7 days. Empty: log to stderr alone, as "
     "a service manager wants it.",
     0, 0, NULL, OPTION_RELOADABLE},
    {"log.level", OPTION_INT, AT(log_level), "3", LOG, NULL,
     "What to log, with all that is more severe: 0 panic, 1 fatal, 2 error, 3 warn, 4 info, "
     "5 debug, 6 trace.",
     0, 6, NULL, OPTION_RELOADABLE},
    {"log.format", OPTION_CHOICE, AT(log_format), "logfmt", LOG, NULL, "Form of the lines.", 0, 0,
     log_formats, OPTION_RELOADABLE},

    {"agent.region", OPTION_STRING, AT(region), "", WHO, "name",
     "Region of this agent. Empty: the environment variable PROBER_REGION, else the region that "
     "the cloud's metadata service names, else cn-shanghai.",
     0, 0, NULL, 0},
    {"agent.region.lookup", OPTION_BOOL, AT(region_lookup), "true", WHO, NULL,
     "Ask the metadata services of the clouds for the region when nothing else names it.", 0, 0,
     NULL, 0},
    {"agent.region.metadata", OPTION_STRING, AT(region_metadata), "", WHO, "url",
     "Ask this address, with the paths of the clouds' services, instead of the services "
     "themselves.",
     0, 0, NULL, 0},
    {"agent.state.dir", OPTION_STRING, AT(state_dir), "/var/lib/probermesh/agent", WHO, "dir",
     "Where the agent keeps its identity. One directory per agent: a second agent that is given "
     "the same one refuses to start.",
     0, 0, NULL, 0},
    {"agent.icmp.network-type", OPTION_CHOICE, AT(network_type), "intranet", WHO, NULL,
     "Which own address others probe: intranet, the source address of the route to the server; or "
     "public, the address that the server sees.",
     0, 0, network_types, 0},
    {"agent.icmp.address", OPTION_LIST, AT(addresses), NULL, WHO, "addr",
     "Own address to be probed at, said outright; IPv4, IPv6 or one of each. Needed for several "
     "agents on one host, and for addresses that the server would not believe (loopback).",
     0, 0, NULL, 0},
    {"agent.icmp.public.urls", OPTION_LIST, AT(public_urls), NULL, WHO, "url",
     "With -agent.icmp.network-type public: services that answer with the caller's address, asked "
     "in this order. Empty, or when none answers: the server takes the address that it sees.",
     0, 0, NULL, 0},

    {"agent.rpc.report.addr", OPTION_STRING, AT(report_addr), "localhost:6000", LINK, "host:port",
     "The server.", 0, 0, NULL, 0},
    {"agent.join", OPTION_SECRET, AT(join_token), "", LINK, "token",
     "Token of `serverd join-token`, with which the agent gets a certificate when it has none, or "
     "its "
     "own has expired: then its link is encrypted, and the server knows it. TOKEN, @FILE, or - for "
     "standard input, read only then. An agent that has joined needs it no more.",
     0, 0, NULL, OPTION_READ_LATE},
    {"agent.pki.ca", OPTION_STRING, AT(pki_ca), "", LINK, "file",
     "Use certificates that exist instead of joining: those of the authorities, PEM. Goes with the "
     "next two.",
     0, 0, NULL, 0},
    {"agent.pki.certificate", OPTION_STRING, AT(pki_certificate), "", LINK, "file",
     "The agent's certificate, PEM.", 0, 0, NULL, 0},
    {"agent.pki.key", OPTION_STRING, AT(pki_key), "", LINK, "file",
     "Its private key, PEM: let the agent's user alone read it.", 0, 0, NULL, 0},
    {"agent.plain", OPTION_BOOL, AT(plain), NULL, LINK, NULL,
     "Call the server unencrypted even with a certificate. Anybody on the way can read and change "
     "what is sent.",
     0, 0, NULL, 0},
    {"agent.sync.interval", OPTION_DURATION, AT(sync_interval_ns), "1m", LINK, NULL,
     "How often to ask for the plan. Between, the server's hints bring a change within a second, "
     "and its heartbeat (10s) bounds the silence.",
     100 * MS, 24 * HOUR, NULL, OPTION_RELOADABLE},
    {"agent.spool.size", OPTION_SIZE, AT(spool_bytes), "64MB", LINK, NULL,
     "Memory for results that the server has not acknowledged. When it is full the oldest go, and "
     "are counted.",
     0, 0, NULL, OPTION_RELOADABLE},

    {"agent.probe.interval", OPTION_DURATION, AT(probe_interval_ns), "15s", PROBING, NULL,
     "Length of a window: every target gets its probes, spread over it, and one result is sent. A "
     "URL is probed once in it.",
     100 * MS, HOUR, NULL, 0},
    {"agent.probe.allow", OPTION_LIST, AT(allow), NULL, PROBING, "network",
     "Probe only targets inside these networks (10.0.0.0/8, 2001:db8::/32), whatever the server "
     "says. Empty: all. Of a URL this is about each address that its probe connects to, after "
     "redirects too.",
     0, 0, NULL, OPTION_RELOADABLE},
    {"agent.probe.deny", OPTION_LIST, AT(deny), NULL, PROBING, "network",
     "Never probe targets inside these networks. Goes before -agent.probe.allow.", 0, 0, NULL,
     OPTION_RELOADABLE},
    {"agent.icmp.timeout", OPTION_DURATION, AT(icmp_timeout_ns), "0", PROBING, NULL,
     "How long to wait for a reply. 0: the smaller of 3s and 0.8 x the probe interval.", 0, 60 * S,
     NULL, 0},
    {"agent.icmp.timestamps", OPTION_CHOICE, AT(icmp_timestamps), "auto", PROBING, NULL,
     "Where the time of sending comes from: kernel, exact and dearer; user, good to a few "
     "microseconds; auto, by the packet rate.",
     0, 0, timestamps, 0},
    {"agent.icmp.max.pps", OPTION_INT, AT(icmp_max_pps), "0", PROBING, NULL,
     "Cap on packets per second over all targets; what is over it counts as unsent. 0: none.", 0,
     INT64_C(10000000), NULL, 0},
    {"agent.icmp.target.max.pps", OPTION_INT, AT(icmp_target_max_pps), "0", PROBING, NULL,
     "Cap on packets per second to one address. 0: none.", 0, INT64_C(10000000), NULL, 0},
    {"agent.icmp.identifier", OPTION_INT, AT(icmp_identifier), "0", PROBING, NULL,
     "Force the ICMP identifier (1 to 65535). 0: a random one, drawn again when another prober "
     "uses it.",
     0, 65535, NULL, 0},
    {"agent.icmp.arrivals", OPTION_BOOL, AT(icmp_arrivals), "true", PROBING, NULL,
     "Count the probes of other agents that reach this one, so that the server can tell on which "
     "way packets got lost.",
     0, 0, NULL, 0},
    {"agent.http.timeout", OPTION_DURATION, AT(http_timeout_ns), "0", PROBING, NULL,
     "How long a probe of a URL may take in all, where the probe file says nothing. 0: 0.8 x the "
     "probe interval; never more than the probe interval.",
     0, HOUR, NULL, 0},
    {"agent.http.max.running", OPTION_INT, AT(http_max_running), "4000", PROBING, NULL,
     "How many probes of URLs may run at the same time; so many of those that never answer are "
     "waited for at once. What finds no place within an interval counts as unsent. Bounded by the "
     "limit of open files too.",
     1, 100000, NULL, 0},
    {"agent.dns.servers", OPTION_LIST, AT(dns_servers), NULL, PROBING, "addr[:port]",
     "Servers that resolve the targets' names. Empty: those of the system.", 0, 0, NULL, 0},
    {"agent.secrets.dir", OPTION_STRING, AT(secrets_dir), "", PROBING, "dir",
     "Directory of the files that probes may use: credentials, certificates, keys, bodies. What "
     "the probe file names is read beneath it alone, by the agent's user, whatever links there "
     "are. Empty: probes that need a file are not made.",
     0, 0, NULL, 0},

    {"agent.task", OPTION_CHOICE, AT(task), "allowlist", TASKS, NULL,
     "What the server may have this agent run, over a trusted link: allowlist, read-only forms of "
     "known diagnostic commands; shell, any line; off, nothing.",
     0, 0, task_policies, 0},
    {"agent.task.running", OPTION_INT, AT(task_running), "4", TASKS, NULL,
     "How many tasks run at the same time; the others wait for their turn.", 1,
     TASK_WORKER_RUNNING_MAX, NULL, 0},
    {"agent.task.rate", OPTION_INT, AT(task_rate), "60", TASKS, NULL,
     "How many tasks are taken in a minute, half of them at once; more are refused.", 1, 6000, NULL,
     0},
    {"agent.task.output", OPTION_SIZE, AT(task_output), "1MB", TASKS, NULL,
     "How much is kept of what a task writes to stdout, and to stderr: 4KB to 16MB. Of more, the "
     "middle is left out.",
     0, 0, NULL, 0},
    {"agent.task.deadline", OPTION_DURATION, AT(task_deadline_ns), "10m", TASKS, NULL,
     "How long a task may run at most, whatever the server says.", S, 24 * HOUR, NULL, 0},

    {"agent.http.listen.addr", OPTION_STRING, AT(http_listen), "", LOCAL, "host:port",
     "Where to serve /metrics, /-/healthy and /-/ready of this agent. Empty: nowhere.", 0, 0, NULL,
     0},

    {"agent.upgrade", OPTION_BOOL, AT(upgrade), NULL, LATER, NULL,
     "Accepted, but without effect in this release.", 0, 0, NULL, 0},
    {"agent.upgrade.interval", OPTION_DURATION, AT(upgrade_interval_ns), "1m", LATER, NULL,
     "Accepted, but without effect in this release.", 0, 0, NULL, 0},
};
const size_t agentd_options_count = ARRAY_LEN(agentd_options);

static void check_region(const struct agentd_settings *s, struct problems *problems)
{
    if (s->region[0] && !wire_name_is_valid(s->region, WIRE_REGION_MAX))
        problems_add(problems, NULL, 0, "agent.region",
                     "expected 1 to %d bytes of UTF-8 without control characters", WIRE_REGION_MAX);
}

static void check_hostports(const struct agentd_settings *s, struct problems *problems)
{
    struct prober_failure why;
    char host[PROBER_HOST_MAX];
    uint16_t port;

    if (!s->report_addr[0])
        problems_add(problems, NULL, 0, "agent.rpc.report.addr",
                     "must name the server, as host:port");
    else if (prober_hostport_split(s->report_addr, 0, host, &port, &why))
        problems_add(problems, NULL, 0, "agent.rpc.report.addr", "%s", why.text);
    else if (!host[0] || !port)
        problems_add(problems, NULL, 0, "agent.rpc.report.addr",
                     "must name a host and a port, got '%s'", s->report_addr);
    if (s->http_listen[0] && prober_hostport_split(s->http_listen, 0, host, &port, &why))
        problems_add(problems, NULL, 0, "agent.http.listen.addr", "%s", why.text);
}

/* Where the token is in a file, it is looked at when the agent joins: it may be gone by then. */
static bool is_token_itself(const char *value)
{
    return value[0] && value[0] != '@' && strcmp(value, "-") != 0;
}

/* The token itself is never shown. */
static void check_trust(const struct agentd_settings *s, struct problems *problems)
{
    int given = !!s->pki_ca[0] + !!s->pki_certificate[0] + !!s->pki_key[0];
    struct join_token token;
    struct prober_failure why;

    if (given != 0 && given != 3)
        problems_add(problems, NULL, 0, "agent.pki.ca",
                     "agent.pki.ca, .certificate and .key go together: name all three or none");
    if (is_token_itself(s->join_token) &&
        join_token_parse(s->join_token, strlen(s->join_token), &token, &why))
        problems_add(problems, NULL, 0, "agent.join", "%s", why.text);
    if (s->join_token[0] && given)
        problems_add(problems, NULL, 0, "agent.join",
                     "does not go together with the certificates of agent.pki.*");
    if (s->join_token[0] && s->plain)
        problems_add(problems, NULL, 0, "agent.join", "does not go together with agent.plain");
}

static void check_addresses(const struct agentd_settings *s, struct problems *problems)
{
    struct address_set set;
    struct prober_failure why;

    if (s->addresses.count && address_parse_given((const char *const *)s->addresses.items,
                                                  s->addresses.count, &set, &why))
        problems_add(problems, NULL, 0, "agent.icmp.address", "%s", why.text);
}

static void check_networks(const struct agentd_settings *s, struct problems *problems)
{
    struct policy *policy = NULL;

    policy_create(&policy, &s->allow, &s->deny, problems);
    policy_put(policy);
}

enum prober_error agentd_settings_load(struct agentd_settings *settings, int argc,
                                       char *const *argv, char *const *environment,
                                       struct problems *problems)
{
    const struct options_source source = {.table = agentd_options,
                                          .count = agentd_options_count,
                                          .settings = settings,
                                          .argc = argc,
                                          .argv = argv,
                                          .environment = environment,
                                          .config_option = "config"};
    enum prober_error err = options_load(&source, problems);

    if (err == PROBER_ERR_NOMEM || settings->help || settings->version)
        return err;
    if (err)
        return err;
    check_region(settings, problems);
    check_hostports(settings, problems);
    check_trust(settings, problems);
    check_addresses(settings, problems);
    check_networks(settings, problems);
    if (!settings->state_dir[0])
        problems_add(problems, NULL, 0, "agent.state.dir", "must name a directory");
    if (settings->task_output < TASK_OUTPUT_MIN || settings->task_output > TASK_OUTPUT_MAX)
        problems_add(problems, NULL, 0, "agent.task.output", "must be 4KB to 16MB");
    if (settings->secrets_dir[0] && settings->secrets_dir[0] != '/')
        problems_add(problems, NULL, 0, "agent.secrets.dir", "must be an absolute path");
    if (settings->icmp_timeout_ns == 0) {
        uint64_t part = settings->probe_interval_ns / 5 * 4;

        settings->icmp_timeout_ns = part < 3 * (uint64_t)S ? part : 3 * (uint64_t)S;
    }
    if (settings->icmp_timeout_ns < (uint64_t)MS)
        problems_add(problems, NULL, 0, "agent.icmp.timeout", "must be 0 or at least 1ms");
    if (settings->http_timeout_ns == 0)
        settings->http_timeout_ns = settings->probe_interval_ns / 5 * 4;
    if (settings->http_timeout_ns < (uint64_t)MS ||
        settings->http_timeout_ns > settings->probe_interval_ns)
        problems_add(problems, NULL, 0, "agent.http.timeout",
                     "must be 0, or from 1ms to the probe interval");
    return problems_count(problems) ? PROBER_ERR_SYNTAX : PROBER_OK;
}

size_t agentd_settings_changed(const struct agentd_settings *before,
                               const struct agentd_settings *after, bool reloadable,
                               const char **names, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < agentd_options_count; i++) {
        const struct option *option = &agentd_options[i];

        if (!!(option->flags & OPTION_RELOADABLE) != reloadable ||
            !options_differ(option, before, after))
            continue;
        if (count < max)
            names[count] = option->name;
        count++;
    }
    return count;
}

void agentd_settings_free(struct agentd_settings *settings)
{
    options_free(agentd_options, agentd_options_count, settings);
}
