#include "probermesh/client_options.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "common/array.h"
#include "common/options.h"

static const char *const colours[] = {"auto", "always", "never", NULL};
const char *const client_exprs[] = {"=~", "=", "!=", "!~", NULL};

#define MEMBER(name) offsetof(struct client_options, name)

#define SERVER_OPTIONS                                                                            \
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
     .help = "Send the token also over plain HTTP to another host."}

#define TIMEOUT_OPTION                                                                            \
    {.name = "timeout", .type = OPTION_DURATION, .offset = MEMBER(timeout_ns), .fallback = "5s",  \
     .group = "Flags", .min = 1000000, .max = INT64_MAX,                                          \
     .help = "How long to wait for an answer."}

#define STYLE_OPTIONS                                                                             \
    {.name = "color", .type = OPTION_CHOICE, .offset = MEMBER(colour), .fallback = "auto",        \
     .group = "Flags", .choices = colours,                                                        \
     .help = "Colour: auto (on a terminal, unless NO_COLOR is set), always, never."},             \
    {.name = "json", .type = OPTION_BOOL, .offset = MEMBER(json), .group = "Flags",               \
     .help = "Print the server's answer as it came."}

#define WATCH_OPTIONS                                                                             \
    {.name = "watch", .type = OPTION_BOOL, .offset = MEMBER(watch), .group = "Flags",             \
     .help = "Go on, and show everything anew every interval."},                                  \
    {.name = "interval", .type = OPTION_DURATION, .offset = MEMBER(interval_ns),                  \
     .fallback = "2s", .group = "Flags", .min = 100000000, .max = INT64_MAX,                      \
     .help = "The interval of -watch."}

#define HELP_OPTIONS                                                                              \
    {.name = "h", .type = OPTION_BOOL, .offset = MEMBER(help), .group = "Flags",                  \
     .help = "Show this."},                                                                       \
    {.name = "help", .type = OPTION_BOOL, .offset = MEMBER(help), .group = "Flags",               \
     .help = "Show this."}

#define SHARED_OPTIONS SERVER_OPTIONS, TIMEOUT_OPTION, STYLE_OPTIONS, WATCH_OPTIONS, HELP_OPTIONS

static const struct option status_options[] = {
    SHARED_OPTIONS,
    {.name = "pairs", .type = OPTION_BOOL, .offset = MEMBER(pairs), .group = "Flags",
     .help = "List the pairs with all their numbers instead of the matrix."},
};

static const struct option other_options[] = {SHARED_OPTIONS};

static const struct option task_options[] = {
    {.name = "region", .type = OPTION_STRING, .offset = MEMBER(region), .group = "Flags",
     .argument = "text", .help = "Which agents: their region is compared with it."},
    {.name = "expr", .type = OPTION_CHOICE, .offset = MEMBER(expr), .fallback = "=~",
     .group = "Flags", .choices = client_exprs,
     .help = "How: =~ matches the regular expression (RE2, not anchored), !~ does not match it, = is "
             "equal, != is not equal."},
    {.name = "cmd", .type = OPTION_STRING, .offset = MEMBER(line), .group = "Flags",
     .argument = "line",
     .help = "The command as one line that agents read as it stands, instead of words behind --."},
    {.name = "timeout", .type = OPTION_DURATION, .offset = MEMBER(task_timeout_ns),
     .group = "Flags",
     .help = "How long the command may run, 1s to 1d; not given: the server's -server.task.timeout."},
    {.name = "wait", .type = OPTION_DURATION, .offset = MEMBER(wait_ns), .fallback = "1w",
     .group = "Flags", .min = 1000000, .max = INT64_C(604800000000000),
     .help = "How long to wait for results at most; the task goes on after it."},
    {.name = "detach", .type = OPTION_BOOL, .offset = MEMBER(detach), .group = "Flags",
     .help = "Print the id of the task and do not wait."},
    SERVER_OPTIONS,
    STYLE_OPTIONS,
    HELP_OPTIONS,
};

static const struct option task_look_options[] = {SERVER_OPTIONS, TIMEOUT_OPTION, STYLE_OPTIONS,
                                                  HELP_OPTIONS};

static const struct option task_output_options[] = {
    {.name = "stderr", .type = OPTION_BOOL, .offset = MEMBER(errors), .group = "Flags",
     .help = "What it wrote to stderr, instead of stdout."},
    SERVER_OPTIONS,
    TIMEOUT_OPTION,
    HELP_OPTIONS,
};

static const struct option task_cancel_options[] = {SERVER_OPTIONS, TIMEOUT_OPTION, HELP_OPTIONS};

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
    [CLIENT_TASK] = {"usage: probermesh task -region TEXT [flags] -- COMMAND [WORD ...]\n"
                     "       probermesh task list [flags]\n"
                     "       probermesh task show ID [flags]\n"
                     "       probermesh task output ID AGENT [flags]\n"
                     "       probermesh task cancel ID [flags]\n\n"
                     "Has agents run a command and prints what they write. Interrupted, it cancels the\n"
                     "task; interrupted again, it leaves at once. Exit status: 0 when the command ended\n"
                     "with 0 everywhere, 1 for trouble with the server, 2 for a usage error, 3 when it\n"
                     "ended with another status somewhere, 4 when some agent did not run it to its end,\n"
                     "5 when -wait was over first, 130 when interrupted.\n",
                     task_options, ARRAY_LEN(task_options)},
    [CLIENT_TASK_LIST] = {"usage: probermesh task list [flags]\n\nLists the newest tasks.\n",
                          task_look_options, ARRAY_LEN(task_look_options)},
    [CLIENT_TASK_SHOW] = {"usage: probermesh task show ID [flags]\n\n"
                          "Shows how a task stands with each agent.\n",
                          task_look_options, ARRAY_LEN(task_look_options)},
    [CLIENT_TASK_OUTPUT] = {"usage: probermesh task output ID AGENT [flags]\n\n"
                            "Prints what an agent wrote for a task, so far.\n",
                            task_output_options, ARRAY_LEN(task_output_options)},
    [CLIENT_TASK_CANCEL] = {"usage: probermesh task cancel ID [flags]\n\n"
                            "Ends a task where it has not ended yet.\n",
                            task_cancel_options, ARRAY_LEN(task_cancel_options)},
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
