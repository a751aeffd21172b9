#include "agentd/probe_trace.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/oneshot.h"
#include "agentd/probe_command.h"
#include "agentd/probe_trace_run.h"
#include "common/array.h"
#include "common/options.h"

#define MS INT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

struct settings {
    bool help, ipv4, ipv6, json;
    int64_t count, max_hops, silent, port, rate;
    uint64_t interval_ns, timeout_ns;
    char *protocol, *dns_servers;
};

#define AT(member) offsetof(struct settings, member)
#define PROBES "Probes"
#define TARGETS "Targets"
#define OUTPUT "Output"

static const struct option options[] = {
    {"protocol", OPTION_STRING, AT(protocol), "icmp", PROBES, "icmp|udp",
     "Echo requests, or datagrams to a port where nobody listens.", 0, 0, NULL, 0},
    {"count", OPTION_INT, AT(count), "10", PROBES, "n", "Probes to each hop.", 1, TRACE_COUNT_MAX,
     NULL, 0},
    {"interval", OPTION_DURATION, AT(interval_ns), "1s", PROBES, NULL,
     "From one probe to a hop to the next, at least. Many routers limit their answers to one a "
     "second or so.",
     1 * MS, HOUR, NULL, 0},
    {"timeout", OPTION_DURATION, AT(timeout_ns), "2s", PROBES, NULL,
     "How long an answer is waited for; a later one counts as lost.", 1 * MS, 60 * 1000 * MS, NULL,
     0},
    {"max-hops", OPTION_INT, AT(max_hops), "30", PROBES, "n", "The highest TTL.", 1, TRACE_HOPS_MAX,
     NULL, 0},
    {"silent", OPTION_INT, AT(silent), "5", PROBES, "n",
     "How many hops to probe beyond the last one that answers.", 1, TRACE_HOPS_MAX, NULL, 0},
    {"port", OPTION_INT, AT(port), "33434", PROBES, "n",
     "The port of UDP, the same for all probes.", 1, 65535, NULL, 0},
    {"rate", OPTION_INT, AT(rate), "100", PROBES, "n",
     "Packets a second to all hops of all targets together, at most.", 1, TRACE_RATE_MAX, NULL, 0},
    {"4", OPTION_BOOL, AT(ipv4), NULL, TARGETS, NULL,
     "IPv4 alone. Without -4 and -6 a name's IPv4 address is taken, else its IPv6 address.", 0, 0,
     NULL, 0},
    {"6", OPTION_BOOL, AT(ipv6), NULL, TARGETS, NULL, "IPv6 alone.", 0, 0, NULL, 0},
    {"dns", OPTION_STRING, AT(dns_servers), "", TARGETS, "addr[:port]",
     "DNS servers to ask, separated by commas; empty: the system's.", 0, 0, NULL, 0},
    {"json", OPTION_BOOL, AT(json), NULL, OUTPUT, NULL,
     "Print a JSON object a line for each target, with times in seconds.", 0, 0, NULL, 0},
    {"h", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "Print this help and exit.", 0, 0, NULL, 0},
    {"help", OPTION_BOOL, AT(help), NULL, OUTPUT, NULL, "The same as -h.", 0, 0, NULL, 0},
};

static void print_help(void)
{
    puts(
        "usage: agentd probe trace [flags] HOST...\n\n"
        "Traces the paths to all hosts side by side and prints a table for each as it finishes: a\n"
        "line for every hop with its loss and round-trip times in milliseconds. All probes of a\n"
        "trace are one flow, so that routers that share their load send them the same way. Exit\n"
        "status: 0 when every host was reached, 1 when some was not, 2 for a wrong command line\n"
        "or when this host cannot trace. Ctrl-C ends early and prints what is known.\n");
    options_help(options, ARRAY_LEN(options), stdout);
}

static enum prober_error read_protocol(const char *text, enum trace_protocol *out,
                                       struct prober_failure *why)
{
    static const struct {
        const char *name;
        enum trace_protocol protocol;
    } protocols[] = {{"icmp", TRACE_ICMP}, {"udp", TRACE_UDP}};

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (strcmp(text, protocols[i].name) == 0) {
            *out = protocols[i].protocol;
            return PROBER_OK;
        }
    }
    return prober_fail(why, PROBER_ERR_SYNTAX, "-protocol: expected icmp or udp");
}

static enum prober_error read_targets(const struct settings *s, const struct oneshot_words *hosts,
                                      struct probe_targets *targets, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    if (s->ipv4 && s->ipv6)
        return prober_fail(why, PROBER_ERR_SYNTAX, "-4 and -6 exclude each other");
    for (int i = 0; i < hosts->count && !err; i++)
        err = probe_targets_add(targets, hosts->items[i], why);
    if (!err && targets->count == 0)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "no targets: name hosts");
    return err;
}

static int trace(const struct settings *s, enum trace_protocol protocol,
                 struct probe_targets *targets)
{
    sigset_t sleep_mask;
    size_t reached = 0;
    struct prober_failure why = {.text = ""};
    const struct probe_trace_config config = {
        .like = {.protocol = protocol,
                 .port = (uint16_t)s->port,
                 .limits = {.count = (uint32_t)s->count,
                            .max_hops = (uint8_t)s->max_hops,
                            .silent_max = (uint8_t)s->silent,
                            .timeout_ns = s->timeout_ns},
                 .interval_ns = s->interval_ns},
        .rate = (uint32_t)s->rate,
        .family = s->ipv4   ? PROBER_FAMILY_IPV4
                  : s->ipv6 ? PROBER_FAMILY_IPV6
                            : PROBER_FAMILY_NONE,
        .dns_servers = s->dns_servers[0] ? s->dns_servers : NULL,
        .json = s->json,
        .out_fd = STDOUT_FILENO,
        .stop = oneshot_catch_signals(&sleep_mask),
        .sleep_mask = &sleep_mask,
    };

    if (probe_trace_run(&config, targets, &reached, &why)) {
        fprintf(stderr, "agentd probe trace: %s\n", why.text);
        return PROBE_EXIT_USAGE;
    }
    return reached == targets->count ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}

int probe_trace_command(int argc, char *const *argv)
{
    int status = PROBE_EXIT_USAGE;
    struct settings settings = {0};
    struct oneshot_words hosts = {0};
    struct probe_targets targets = {0};
    enum trace_protocol protocol = TRACE_ICMP;
    struct prober_failure why = {.text = ""};

    if (oneshot_read_words(options, ARRAY_LEN(options), &settings, argc, argv, &hosts, &why))
        goto out;
    if (settings.help) {
        print_help();
        status = PROBE_EXIT_OK;
        goto out;
    }
    if (read_protocol(settings.protocol, &protocol, &why) ||
        read_targets(&settings, &hosts, &targets, &why))
        goto out;
    status = trace(&settings, protocol, &targets);
out:
    if (why.text[0])
        fprintf(stderr, "agentd probe trace: %s\ntry 'agentd probe trace -h'\n", why.text);
    probe_targets_free(&targets);
    options_free(options, ARRAY_LEN(options), &settings);
    oneshot_words_free(&hosts);
    return status;
}
