#include "probermesh/client_options.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "common/array.h"
#include "common/options.h"

static const char *const colours[] = {"auto", "always", "never", NULL};

#define MEMBER(name) offsetof(struct client_options, name)

#define SHARED_OPTIONS                                                                            \
    {.name = "server", .type = OPTION_STRING, .offset = MEMBER(server),                           \
     .fallback = "http://127.0.0.1:6001", .group = "Flags", .argument = "url",                    \
     .help = "The server's HTTP address (its -server.http.listen.addr)."},                        \
    {.name = "token", .type = OPTION_SECRET, .offset = MEMBER(token), .group = "Flags",           \
     .argument = "token",                                                                         \
     .help = "Token of the admin API: @FILE reads it from a file, - from standard input. On the " \
             "command line itself other users can see it."},                                      \
    {.name = "ca", .type = OPTION_STRING, .offset = MEMBER(ca_file), .group = "Flags",            \
     .argument = "file",                                                                          \
     .help = "Certificates (PEM) of the authorities that an https:// server is verified by, "     \
             "instead of the system's."},                                                         \
    {.name = "plain-token", .type = OPTION_BOOL, .offset = MEMBER(plain_token), .group = "Flags", \
     .help = "Send the token also over plain HTTP to another host."},                             \
    {.name = "timeout", .type = OPTION_DURATION, .offset = MEMBER(timeout_ns), .fallback = "5s",  \
     .group = "Flags", .min = 1000000, .max = INT64_MAX,                                          \
     .help = "How long to wait for an answer."},                                                  \
    {.name = "color", .type = OPTION_CHOICE, .offset = MEMBER(colour), .fallback = "auto",        \
     .group = "Flags", .choices = colours,                                                        \
     .help = "Colour: auto (on a terminal, unless NO_COLOR is set), always, never."},             \
    {.name = "json", .type = OPTION_BOOL, .offset = MEMBER(json), .group = "Flags",               \
     .help = "Print the server's answer as it came."},                                            \
    {.name = "watch", .type = OPTION_BOOL, .offset = MEMBER(watch), .group = "Flags",             \
     .help = "Go on, and show everything anew every interval."},                                  \
    {.name = "interval", .type = OPTION_DURATION, .offset = MEMBER(interval_ns),                  \
     .fallback = "2s", .group = "Flags", .min = 100000000, .max = INT64_MAX,                      \
     .help = "The interval of -watch."},                                                          \
    {.name = "h", .type = OPTION_BOOL, .offset = MEMBER(help), .group = "Flags",                  \
     .help = "Show this."},                                                                       \
    {.name = "help", .type = OPTION_BOOL, .offset = MEMBER(help), .group = "Flags",               \
     .help = "Show this."}

static const struct option status_options[] = {
    SHARED_OPTIONS,
    {.name = "pairs", .type = OPTION_BOOL, .offset = MEMBER(pairs), .group = "Flags",
     .help = "List the pairs with all their numbers instead of the matrix."},
};

static const struct option other_options[] = {SHARED_OPTIONS};

static const struct {
    const char *usage;
    const struct option *options;
    size_t count;
} commands[] = {
    [CLIENT_STATUS] = {"usage: probermesh status [flags]\n\n"
                       "Shows loss and mean round-trip time from every region to every other.\n",
                       status_options, ARRAY_LEN(status_options)},
    [CLIENT_URLS] = {"usage: probermesh urls [flags]\n\n"
                     "Lists every probed URL as seen from every region: whether it is well, its last\n"
                     "status, the mean seconds of each phase, and how long its certificate lasts.\n",
                     other_options, ARRAY_LEN(other_options)},
    [CLIENT_AGENTS] = {"usage: probermesh agents [flags]\n\nLists the agents that the server knows.\n",
                       other_options, ARRAY_LEN(other_options)},
    [CLIENT_AUDIT] = {"usage: probermesh audit [flags]\n\n"
                      "Lists the newest changes: who made them, from where, and what came of them. Needs\n"
                      "a token of the role admin, or root at the server's host.\n",
                      other_options, ARRAY_LEN(other_options)},
};

bool client_options_read(struct client_options *out, enum client_command command, int argc,
                         char *const *argv, int *status)
{
    struct problems *problems = NULL;
    struct options_source source = {
        .table = commands[command].options,
        .count = commands[command].count,
        .settings = out,
        .argc = argc,
        .argv = argv,
        .environment = environ,
    };

    *out = (struct client_options){0};
    *status = 2;
    if (problems_create(&problems) || options_load(&source, problems)) {
        for (size_t i = 0; problems && i < problems_count(problems) && i < PROBLEMS_MAX; i++)
            fprintf(stderr, "probermesh: %s\n", problems_text(problems, i));
    } else if (out->help) {
        puts(commands[command].usage);
        options_help(source.table, source.count, stdout);
        *status = 0;
    } else {
        *status = -1;
    }
    problems_destroy(problems);
    if (*status >= 0)
        client_options_free(out, command);
    return *status < 0;
}

struct client_target client_options_target(const struct client_options *options)
{
    return (struct client_target){.server = options->server,
                                  .token = options->token,
                                  .ca_file = options->ca_file,
                                  .plain_token = options->plain_token,
                                  .timeout_ns = options->timeout_ns};
}

void client_options_free(struct client_options *options, enum client_command command)
{
    options_free(commands[command].options, commands[command].count, options);
}
