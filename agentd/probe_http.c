#include "agentd/probe_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agentd/oneshot.h"
#include "agentd/policy.h"
#include "agentd/probe_command.h"
#include "agentd/probe_http_entries.h"
#include "agentd/probe_http_run.h"
#include "agentd/probe_targets.h"
#include "common/array.h"
#include "common/options.h"

#define S INT64_C(1000000000)
#define HOUR (3600 * S)
#define TIMEOUT_DEFAULT (10 * S)

struct settings {
    bool help, ipv4, ipv6, verbose, json, text, no_redirects;
    int method;
    int64_t status;
    struct option_list allow, deny;
    uint64_t timeout_ns;
    char *config, *prober, *file, *dns_servers, *secrets_dir;
};

#define AT(member) offsetof(struct settings, member)
#define PROBES "Probes"
#define TARGETS "Targets"
#define OUTPUT "Output"

static const char *const methods[] = {"default", "GET", "HEAD", "OPTIONS", NULL};

static const struct option options[] = {
    {"config", OPTION_STRING, AT(config), "", PROBES, "file",
     "Probe file to take the settings from, of its entry that -prober names. Without it the "
     "defaults "
     "hold: GET, any 2xx status is a success.",
     0, 0, NULL, 0},
    {"prober", OPTION_STRING, AT(prober), "", PROBES, "name",
     "Name of an entry of type http in the probe file. Without URLs its own targets are probed.", 0,
     0, NULL, 0},
    {"timeout", OPTION_DURATION, AT(timeout_ns), "0", PROBES, NULL,
     "How long a probe may take in all. 0: the timeout of the entry, or 10s.", 0, HOUR, NULL, 0},
    {"method", OPTION_CHOICE, AT(method), "default", PROBES, NULL,
     "Method of the request; default: that of the entry, or GET.", 0, 0, methods, 0},
    {"status", OPTION_INT, AT(status), "0", PROBES, "code",
     "The only status that is a success. 0: those of the entry, or any 2xx.", 0, 999, NULL, 0},
    {"no-redirects", OPTION_BOOL, AT(no_redirects), NULL, PROBES, NULL,
     "Take an answer that redirects for the last one.", 0, 0, NULL, 0},
    {"agent.secrets.dir", OPTION_STRING, AT(secrets_dir), "", PROBES, "dir",
     "Directory beneath which the files are read that the entry names: credentials, certificates, "
     "keys, bodies. Empty: entries that need a file cannot be used.",
     0, 0, NULL, 0},
    {"4", OPTION_BOOL, AT(ipv4), NULL, TARGETS, NULL,
     "IPv4 alone. Without -4 and -6 the entry decides; by default a name's IPv6 address is taken, "
     "else its IPv4 address.",
     0, 0, NULL, 0},
    {"6", OPTION_BOOL, AT(ipv6), NULL, TARGETS, NULL, "IPv6 alone.", 0, 0, NULL, 0},
    {"file", OPTION_STRING, AT(file), "", TARGETS, "file",
     "Further URLs, one a line; '#' begins a comment. '-' reads stdin.", 0, 0, NULL, 0},
    {"dns", OPTION_STRING, AT(dns_servers), "", TARGETS, "addr[:port]",
     "DNS servers to ask, separated by commas; empty: the system's.", 0, 0, NULL, 0},
    {"allow", OPTION_LIST, AT(allow), "", TARGETS, "network",
     "Connect only to addresses inside these networks (10.0.0.0/8, 2001:db8::/32), after redirects "
     "too. Empty: to all.",
     0, 0, NULL, 0},
    {"deny", OPTION_LIST, AT(deny), "", TARGETS, "network",
     "Never connect to addresses inside these networks. Goes before -allow.", 0, 0, NULL, 0},
    {"text", OPTION_BOOL, AT(text), NULL, OUTPUT, NULL,
     "Print lines for people instead of each object, with times in milliseconds.", 0, 0, NULL, 0},
    {"json", OPTION_BOOL, AT(json), NULL, OUTPUT, NULL, "Print objects also with -text.", 0, 0,
     NULL, 0},
    {"v", OPTION_BOOL, AT(verbose), NULL, OUTPUT, NULL,
     "Show each hop: addresses, phases, requests and answers with their headers (secrets masked), "
     "TLS "
     "and certificates, how the body begins, what went wrong.",
     0, 0, NULL, 0},
    {"h", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "Print this help and exit.", 0, 0, NULL, 0},
    {"help", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "The same as -h.", 0, 0, NULL, 0},
};

static void print_help(void)
{
    puts(
        "usage: agentd probe http [flags] URL...\n\n"
        "Probes each URL once, side by side, and prints a JSON object a line for each as it ends:\n"
        "success or the reason of failure, status, seconds by phase, certificate expiry. Exit\n"
        "status: 0 when every probe succeeded, 1 when some did not, 2 for a wrong command line or\n"
        "probe file. Ctrl-C ends early; probes that run then have no result.\n");
    options_help(options, ARRAY_LEN(options), stdout);
}

static enum prober_error check(const struct settings *s, struct prober_failure *why)
{
    if (s->ipv4 && s->ipv6)
        return prober_fail(why, PROBER_ERR_SYNTAX, "-4 and -6 exclude each other");
    if (s->prober[0] && !s->config[0])
        return prober_fail(why, PROBER_ERR_SYNTAX, "-prober needs -config, the probe file");
    if (s->verbose && s->text && !s->json)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "-v shows hops in objects alone, not with -text");
    return PROBER_OK;
}

static enum prober_error open_entries(const struct settings *s, struct probe_http_entries *entries)
{
    const struct probe_http_wanted wanted = {
        .file = s->config[0] ? s->config : NULL,
        .prober = s->prober,
        .family = s->ipv4   ? PROBER_FAMILY_IPV4
                  : s->ipv6 ? PROBER_FAMILY_IPV6
                            : PROBER_FAMILY_NONE,
        .method = s->method ? methods[s->method] : NULL,
        .status = (int32_t)s->status,
        .no_redirects = s->no_redirects,
        .means = {.secrets_dir = s->secrets_dir, .environment = environ},
    };
    struct problems *problems = NULL;
    enum prober_error err = problems_create(&problems);

    if (!err)
        err = probe_http_entries_open(entries, &wanted, problems);
    for (size_t i = 0; err && problems && i < problems_count(problems) && i < PROBLEMS_MAX; i++)
        fprintf(stderr, "agentd probe http: %s\n", problems_text(problems, i));
    if (err && !(problems && problems_count(problems)))
        fprintf(stderr, "agentd probe http: %s\n", prober_error_text(err));
    problems_destroy(problems);
    return err;
}

static enum prober_error read_targets(const struct settings *s, const struct oneshot_words *urls,
                                      struct probe_targets *targets, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    for (int i = 0; i < urls->count && !err; i++)
        err = probe_targets_add(targets, urls->items[i], why);
    if (!err && s->file[0])
        err = probe_targets_read(targets, s->file, why);
    if (!err && targets->count == 0 && !s->config[0])
        err = prober_fail(why, PROBER_ERR_SYNTAX,
                          "no targets: name URLs, a file by -file, or an entry by -prober");
    return err;
}

/* What to probe: the targets by the one entry, or without targets those of all entries. */
struct jobs {
    struct probe_http_job *items; /* [count] */
    size_t count;
};

static void add_job(const struct settings *s, struct jobs *jobs,
                    const struct probe_http_entry *entry, const char *target)
{
    uint64_t timeout_ns = s->timeout_ns ? s->timeout_ns : entry->timeout_ns;

    jobs->items[jobs->count++] = (struct probe_http_job){
        .target = target,
        .kind = entry->kind,
        .spec = entry->spec,
        .timeout_ns = timeout_ns ? timeout_ns : TIMEOUT_DEFAULT,
    };
}

static enum prober_error make_jobs(const struct settings *s,
                                   const struct probe_http_entries *entries,
                                   const struct probe_targets *targets, struct jobs *jobs,
                                   struct prober_failure *why)
{
    size_t room = targets->count;

    if (targets->count > 0 && entries->count > 1)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "%s has several http entries called '%s', in lines %d and %d: with URLs "
                           "the name must be of one alone",
                           s->config, s->prober, entries->items[0].line, entries->items[1].line);
    for (size_t i = 0; i < entries->count; i++)
        room += entries->items[i].target_count;
    jobs->items = calloc(room + 1, sizeof(*jobs->items));
    if (!jobs->items)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < targets->count; i++)
        add_job(s, jobs, &entries->items[0], targets->list[i].name);
    for (size_t k = 0; k < entries->count && targets->count == 0; k++)
        for (size_t i = 0; i < entries->items[k].target_count; i++)
            add_job(s, jobs, &entries->items[k], entries->items[k].targets[i]);
    return jobs->count
               ? PROBER_OK
               : prober_fail(why, PROBER_ERR_SYNTAX,
                             "%s: '%s' has no targets of its own: name URLs", s->config, s->prober);
}

static int probe(const struct settings *s, const struct jobs *jobs, const struct policy *policy,
                 struct prober_failure *why)
{
    sigset_t sleep_mask;
    struct probe_http_summary summary = {0};
    const struct probe_http_run_config config = {
        .jobs = jobs->items,
        .count = jobs->count,
        .is_traced = s->verbose,
        .is_text = s->text && !s->json,
        .policy = policy,
        .dns_servers = s->dns_servers[0] ? s->dns_servers : NULL,
        .out_fd = STDOUT_FILENO,
        .stop = oneshot_catch_signals(&sleep_mask),
        .sleep_mask = &sleep_mask,
    };

    if (probe_http_run(&config, &summary, why))
        return PROBE_EXIT_USAGE;
    if (summary.ended < jobs->count)
        fprintf(stderr, "agentd probe http: interrupted: %zu of %zu probes have no result\n",
                jobs->count - summary.ended, jobs->count);
    return summary.succeeded == jobs->count ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}

static enum prober_error make_policy(const struct settings *s, struct policy **policy,
                                     struct prober_failure *why)
{
    if (policy_create(policy, &s->allow, &s->deny, NULL))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "-allow and -deny take networks, such as 192.0.2.0/24");
    return PROBER_OK;
}

/* Says itself what is wrong with the probe file, as that may be several things. */
static int probe_targets(const struct settings *s, const struct probe_targets *targets,
                         struct prober_failure *why)
{
    struct probe_http_entries entries = {0};
    struct jobs jobs = {0};
    struct policy *policy = NULL;
    int status = PROBE_EXIT_USAGE;

    if (!make_policy(s, &policy, why) && !open_entries(s, &entries) &&
        !make_jobs(s, &entries, targets, &jobs, why))
        status = probe(s, &jobs, policy, why);
    probe_http_entries_close(&entries);
    policy_put(policy);
    free(jobs.items);
    return status;
}

int probe_http_command(int argc, char *const *argv)
{
    int status = PROBE_EXIT_USAGE;
    struct settings settings = {0};
    struct oneshot_words urls = {0};
    struct probe_targets targets = {0};
    struct prober_failure why = {.text = ""};

    if (oneshot_read_words(options, ARRAY_LEN(options), &settings, argc, argv, &urls, &why))
        goto out;
    if (settings.help) {
        print_help();
        status = PROBE_EXIT_OK;
        goto out;
    }
    if (check(&settings, &why) || read_targets(&settings, &urls, &targets, &why))
        goto out;
    status = probe_targets(&settings, &targets, &why);
out:
    if (why.text[0])
        fprintf(stderr, "agentd probe http: %s\ntry 'agentd probe http -h'\n", why.text);
    probe_targets_free(&targets);
    options_free(options, ARRAY_LEN(options), &settings);
    oneshot_words_free(&urls);
    return status;
}
