#include "agentd/probe_command.h"

#include <stdio.h>
#include <string.h>

#include "agentd/probe_http.h"
#include "agentd/probe_icmp.h"
#include "agentd/probe_trace.h"
#include "common/array.h"

static const struct {
    const char *name;
    const char *what;
    int (*run)(int argc, char *const *argv);
} kinds[] = {
    {"icmp", "ping hosts and print a JSON object for each", probe_icmp_command},
    {"http", "probe URLs and print a JSON object for each", probe_http_command},
    {"trace", "trace the paths to hosts: loss and round-trip times hop by hop", probe_trace_command},
};

static void print_usage(FILE *out)
{
    fputs("usage: agentd probe KIND [flags] TARGET...\n\nKinds of probes:\n", out);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        fprintf(out, "  %-8s%s (-h: its flags)\n", kinds[i].name, kinds[i].what);
}

int probe_command(int argc, char *const *argv)
{
    static const char *const help[] = {"-h", "-help", "--help", "help"};

    for (size_t i = 0; argc > 0 && i < ARRAY_LEN(kinds); i++)
        if (strcmp(argv[0], kinds[i].name) == 0)
            return kinds[i].run(argc - 1, argv + 1);
    for (size_t i = 0; argc > 0 && i < ARRAY_LEN(help); i++) {
        if (strcmp(argv[0], help[i]) == 0) {
            print_usage(stdout);
            return PROBE_EXIT_OK;
        }
    }
    if (argc > 0)
        fprintf(stderr, "agentd probe: unknown kind of probe '%s'\n\n", argv[0]);
    print_usage(stderr);
    return PROBE_EXIT_USAGE;
}
