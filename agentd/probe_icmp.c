#include "agentd/probe_icmp.h"

#include <stdio.h>
#include <unistd.h>

#include "agentd/oneshot.h"
#include "agentd/probe_command.h"
#include "agentd/probe_run.h"
#include "common/array.h"
#include "common/options.h"
#include "libprober/icmp_engine.h"

#define MS INT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

struct settings {
    bool help, ipv4, ipv6, summary, json, text;
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
    {"text", OPTION_BOOL, AT(text), NULL, OUTPUT, NULL,
     "Print a line for people instead of each object, with times in milliseconds.", 0, 0, NULL, 0},
    {"json", OPTION_BOOL, AT(json), NULL, OUTPUT, NULL, "Print objects also with -text.", 0, 0,
     NULL, 0},
    {"h", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "Print this help and exit.", 0, 0, NULL, 0},
    {"help", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "The same as -h.", 0, 0, NULL, 0},
};

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

static enum prober_error read_targets(const struct settings *s, const struct oneshot_words *hosts,
                                      struct probe_targets *targets, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    if (s->ipv4 && s->ipv6)
        return prober_fail(why, PROBER_ERR_SYNTAX, "-4 and -6 exclude each other");
    for (int i = 0; i < hosts->count && !err; i++)
        err = probe_targets_add(targets, hosts->items[i], why);
    if (!err && s->file[0])
        err = probe_targets_read(targets, s->file, why);
    if (!err && targets->count == 0)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "no targets: name hosts, or a file by -file");
    return err;
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
        .text = s->text && !s->json,
        .out_fd = STDOUT_FILENO,
        .stop = oneshot_catch_signals(&sleep_mask),
        .sleep_mask = &sleep_mask,
    };

    if (probe_run(&config, targets, &summary, why)) {
        fprintf(stderr, "agentd probe icmp: %s\n", why->text);
        return PROBE_EXIT_USAGE;
    }
    return summary.answered == summary.targets ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}

int probe_icmp_command(int argc, char *const *argv)
{
    int status = PROBE_EXIT_USAGE;
    struct settings settings = {0};
    struct oneshot_words hosts = {0};
    struct probe_targets targets = {0};
    struct prober_failure why = {.text = ""};

    if (oneshot_read_words(options, ARRAY_LEN(options), &settings, argc, argv, &hosts, &why))
        goto out;
    if (settings.help) {
        print_help();
        status = PROBE_EXIT_OK;
        goto out;
    }
    if (read_targets(&settings, &hosts, &targets, &why))
        goto out;
    status = probe(&settings, &targets, &why);
    why.text[0] = 0; /* probe() said it */
out:
    if (status == PROBE_EXIT_USAGE && why.text[0])
        fprintf(stderr, "agentd probe icmp: %s\ntry 'agentd probe icmp -h'\n", why.text);
    probe_targets_free(&targets);
    options_free(options, ARRAY_LEN(options), &settings);
    oneshot_words_free(&hosts);
    return status;
}
