#include "agentd/probe_icmp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/probe_command.h"
#include "agentd/probe_run.h"
#include "common/array.h"
#include "common/options.h"
#include "libprober/icmp_engine.h"

#define MS INT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

struct settings {
    bool help, ipv4, ipv6, summary;
    int64_t count, size;
    uint64_t interval_ns, timeout_ns;
    char *file, *dns_servers;
};

#define AT(member) offsetof(struct settings, member)
#define PROBES "Probes"
#define TARGETS "Targets"
#define OUTPUT "Output"

static const struct option options[] = {
    {"count", OPTION_INT, AT(count), "5", PROBES, "n", "Echo requests to each target.", 1, 65535,
     NULL, 0},
    {"interval", OPTION_DURATION, AT(interval_ns), "1s", PROBES, NULL,
     "From one request to a target to the next.", 1 * MS, HOUR, NULL, 0},
    {"timeout", OPTION_DURATION, AT(timeout_ns), "1s", PROBES, NULL,
     "How long a reply is waited for; a later one counts as lost.", 1 * MS, 60 * 1000 * MS, NULL,
     0},
    {"size", OPTION_INT, AT(size), "64", PROBES, "bytes", "Payload after the ICMP header.",
     ICMP_PAYLOAD_MIN, ICMP_PAYLOAD_MAX, NULL, 0},
    {"4", OPTION_BOOL, AT(ipv4), NULL, TARGETS, NULL,
     "IPv4 alone. Without -4 and -6 a name's IPv4 address is taken, else its IPv6 address.", 0, 0,
     NULL, 0},
    {"6", OPTION_BOOL, AT(ipv6), NULL, TARGETS, NULL, "IPv6 alone.", 0, 0, NULL, 0},
    {"file", OPTION_STRING, AT(file), "", TARGETS, "file",
     "Further targets, one a line; '#' begins a comment. '-' reads stdin.", 0, 0, NULL, 0},
    {"dns", OPTION_STRING, AT(dns_servers), "", TARGETS, "addr[:port]",
     "DNS servers to ask, separated by commas; empty: the system's.", 0, 0, NULL, 0},
    {"summary", OPTION_BOOL, AT(summary), NULL, OUTPUT, NULL,
     "Print one object for all targets together instead of one for each.", 0, 0, NULL, 0},
    {"h", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "Print this help and exit.", 0, 0, NULL, 0},
    {"help", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "The same as -h.", 0, 0, NULL, 0},
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void print_help(void)
{
    puts(
        "usage: agentd probe icmp [flags] HOST...\n\n"
        "Pings all hosts side by side and prints a JSON object a line for each as it finishes:\n"
        "counts of probes, loss ratio, and round-trip times in seconds. Exit status: 0 when every\n"
        "host answered at least once, 1 when some did not, 2 for a wrong command line or when "
        "this\n"
        "host cannot probe. Ctrl-C ends early and prints what is known.\n");
    options_help(options, ARRAY_LEN(options), stdout);
}

/* Flags may stand before, between and after the hosts; after "--" all are hosts. */
static void split_words(int argc, char *const *argv, char **flags, int *flag_count, char **hosts,
                        int *host_count)
{
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        const struct option *option;

        if (strcmp(word, "--") == 0) {
            while (++i < argc)
                hosts[(*host_count)++] = argv[i];
            return;
        }
        if (word[0] != '-' || word[1] == 0) {
            hosts[(*host_count)++] = word;
            continue;
        }
        flags[(*flag_count)++] = word;
        option = options_find(options, ARRAY_LEN(options), word + 1 + (word[1] == '-'));
        if (option && option->type != OPTION_BOOL && i + 1 < argc)
            flags[(*flag_count)++] = argv[++i];
    }
}

static enum prober_error read_settings(struct settings *s, int argc, char *const *argv,
                                       struct prober_failure *why)
{
    struct problems *problems = NULL;
    const struct options_source source = {
        .table = options, .count = ARRAY_LEN(options), .settings = s, .argc = argc, .argv = argv};
    enum prober_error err = problems_create(&problems);

    if (err)
        return prober_fail(why, err, "out of memory");
    err = options_load(&source, problems);
    if (err && problems_failure(problems, why) == PROBER_OK)
        prober_fail(why, err, "%s", prober_error_text(err));
    problems_destroy(problems);
    if (!err && s->ipv4 && s->ipv6)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "-4 and -6 exclude each other");
    return err;
}

static enum prober_error read_targets(const struct settings *s, char *const *hosts, int host_count,
                                      struct probe_targets *targets, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    for (int i = 0; i < host_count && !err; i++)
        err = probe_targets_add(targets, hosts[i], why);
    if (!err && s->file[0])
        err = probe_targets_read(targets, s->file, why);
    if (!err && targets->count == 0)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "no targets: name hosts, or a file by -file");
    return err;
}

/* Ctrl-C once ends the run in order, twice at once. */
static void catch_signals(sigset_t *sleep_mask)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigset_t block;

    stop = 0;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, sleep_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int probe(const struct settings *s, struct probe_targets *targets,
                 struct prober_failure *why)
{
    sigset_t sleep_mask;
    struct probe_summary summary = {0};
    const struct probe_run_config config = {
        .count = (uint32_t)s->count,
        .interval_ns = s->interval_ns,
        .timeout_ns = s->timeout_ns,
        .payload_size = (uint32_t)s->size,
        .family = s->ipv4   ? PROBER_FAMILY_IPV4
                  : s->ipv6 ? PROBER_FAMILY_IPV6
                            : PROBER_FAMILY_NONE,
        .dns_servers = s->dns_servers[0] ? s->dns_servers : NULL,
        .summary = s->summary,
        .out_fd = STDOUT_FILENO,
        .stop = &stop,
        .sleep_mask = &sleep_mask,
    };

    catch_signals(&sleep_mask);
    if (probe_run(&config, targets, &summary, why)) {
        fprintf(stderr, "agentd probe icmp: %s\n", why->text);
        return PROBE_EXIT_USAGE;
    }
    return summary.answered == summary.targets ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}

int probe_icmp_command(int argc, char *const *argv)
{
    int status = PROBE_EXIT_USAGE, flag_count = 0, host_count = 0;
    char **flags = calloc((size_t)argc + 1, sizeof(*flags));
    char **hosts = calloc((size_t)argc + 1, sizeof(*hosts));
    struct settings settings = {0};
    struct probe_targets targets = {0};
    struct prober_failure why = {.text = "out of memory"};

    if (!flags || !hosts)
        goto out;
    split_words(argc, argv, flags, &flag_count, hosts, &host_count);
    if (read_settings(&settings, flag_count, flags, &why))
        goto out;
    if (settings.help) {
        print_help();
        status = PROBE_EXIT_OK;
        goto out;
    }
    if (read_targets(&settings, hosts, host_count, &targets, &why))
        goto out;
    why.text[0] = 0;
    status = probe(&settings, &targets, &why);
    why.text[0] = 0;
out:
    if (status == PROBE_EXIT_USAGE && why.text[0])
        fprintf(stderr, "agentd probe icmp: %s\ntry 'agentd probe icmp -h'\n", why.text);
    probe_targets_free(&targets);
    options_free(options, ARRAY_LEN(options), &settings);
    free(hosts);
    free(flags);
    return status;
}
