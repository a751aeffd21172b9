#include "serverd/join_token_command.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/array.h"
#include "common/clock.h"
#include "serverd/command.h"

#define HOST_MAX 256

struct settings {
    bool help, h, list, json;
    char *region, *revoke;
    uint64_t ttl_ns;
    int64_t uses;
};

#define AT(member) offsetof(struct settings, member)

static const struct option options[] = {
    {.name = "region", .type = OPTION_STRING, .offset = AT(region), .group = "A token",
     .argument = "name",
     .help = "The region that agents join with it. Default: the one that each agent names."},
    {.name = "ttl", .type = OPTION_DURATION, .offset = AT(ttl_ns), .fallback = "1h",
     .group = "A token", .argument = "duration",
     .min = JOIN_TTL_MIN_S * (int64_t)CLOCK_NS_PER_S,
     .max = JOIN_TTL_MAX_S * (int64_t)CLOCK_NS_PER_S, .help = "How long it can be used."},
    {.name = "uses", .type = OPTION_INT, .offset = AT(uses), .fallback = "1", .group = "A token",
     .argument = "n", .min = 1, .max = JOIN_USES_MAX, .help = "How many agents can join with it."},
    {.name = "list", .type = OPTION_BOOL, .offset = AT(list), .group = "Instead of making one",
     .help = "List the tokens there are; their secrets are kept nowhere."},
    {.name = "revoke", .type = OPTION_STRING, .offset = AT(revoke),
     .group = "Instead of making one", .argument = "name",
     .help = "Take back the token of this name, as -list shows it. Agents that joined with it "
             "stay."},
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .group = "General",
     .help = "With -list: print JSON."},
    {.name = "h", .type = OPTION_BOOL, .offset = AT(h), .group = "General",
     .help = "Show this help and exit."},
    {.name = "help", .type = OPTION_BOOL, .offset = AT(help), .group = "General",
     .help = "Show this help and exit."},
};

/* ---- making one ---- */

static bool is_every_address(const char *host)
{
    struct prober_addr address;

    return host[0] == '\0' || (prober_addr_parse(host, &address) == PROBER_OK &&
                               prober_addr_classify(&address) == PROBER_ADDR_UNSPECIFIED);
}

static bool is_this_host_alone(const char *host)
{
    struct prober_addr address;

    return strcmp(host, "localhost") == 0 ||
           (prober_addr_parse(host, &address) == PROBER_OK &&
            prober_addr_classify(&address) == PROBER_ADDR_LOOPBACK);
}

/* Where agents call, as far as that can be known here. */
static void print_address(const char *listen, int64_t port, const char **remark)
{
    char host[HOST_MAX > PROBER_HOST_MAX ? HOST_MAX : PROBER_HOST_MAX];
    uint16_t configured;

    *remark = NULL;
    if (prober_hostport_split(listen, 0, host, &configured, NULL))
        host[0] = '\0';
    if (is_every_address(host)) {
        if (gethostname(host, sizeof(host)) || host[0] == '\0')
            strcpy(host, "HOST");
        host[sizeof(host) - 1] = '\0';
        *remark = "or whatever name or address agents reach this host by";
    } else if (is_this_host_alone(host)) {
        *remark = "agents of other hosts cannot reach this server: it listens at localhost alone "
                  "(-server.rpc.listen.addr)";
    }
    fprintf(stderr, strchr(host, ':') ? "[%s]:%lld" : "%s:%lld", host, (long long)port);
}

static void print_advice(const struct json *answer)
{
    const char *region = command_text(answer, "region"), *remark;
    int64_t uses = command_number(answer, "uses");

    fprintf(stderr, "Token %s, for %s", command_text(answer, "name"),
            region[0] ? "region " : "any region");
    command_print_text(stderr, region);
    fprintf(stderr, ", joins %lld agent%s until ", (long long)uses, uses == 1 ? "" : "s");
    command_print_time(stderr, command_number(answer, "expires_s"));
    fputs(". On the agent's host:\n\n  agentd -agent.rpc.report.addr ", stderr);
    print_address(command_text(answer, "listen"), command_number(answer, "port"), &remark);
    fputs(" -agent.region ", stderr);
    if (region[0])
        command_print_word(stderr, region);
    else
        fputs("REGION", stderr);
    fprintf(stderr, " -agent.join %s\n\n", command_text(answer, "token"));
    if (remark)
        fprintf(stderr, "(%s)\n", remark);
}

static int make(const struct command *command, const struct settings *settings)
{
    struct local_request request = {.command = LOCAL_TOKEN_MAKE,
                                    .ttl_s = (int64_t)(settings->ttl_ns / CLOCK_NS_PER_S),
                                    .uses = settings->uses};
    struct json *answer;
    int status;

    if (strlen(settings->region) > PKI_REGION_MAX) {
        fprintf(stderr, "-region: a region is at most %d bytes\n", PKI_REGION_MAX);
        return COMMAND_USAGE;
    }
    strcpy(request.region, settings->region);
    status = command_ask(command, &request, &answer);
    if (status)
        return status;
    print_advice(answer);
    printf("%s\n", command_text(answer, "token"));
    json_free(answer);
    return fflush(stdout) ? COMMAND_FAULT : COMMAND_OK;
}

/* ---- those there are ---- */

static void print_row(const struct json *token, int64_t now_s)
{
    const char *region = command_text(token, "region");
    int64_t expires_s = command_number(token, "expires_s"), used = command_number(token, "used"),
            uses = command_number(token, "uses");

    printf("%-16s  %4lld/%-4lld  %-8s  ", command_text(token, "name"), (long long)used,
           (long long)uses,
           now_s >= expires_s ? "expired" : used >= uses ? "used up" : "good");
    command_print_time(stdout, expires_s);
    fputs("  ", stdout);
    command_print_text(stdout, region[0] ? region : "(any)");
    putchar('\n');
}

static int list(const struct command *command, const struct settings *settings)
{
    const struct local_request request = {.command = LOCAL_TOKEN_LIST};
    int64_t now_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
    struct json *answer;
    int status = command_ask(command, &request, &answer);

    if (status)
        return status;
    if (settings->json)
        return command_print_json(answer, "tokens");
    printf("%-16s  %9s  %-8s  %-20s  %s\n", "NAME", "USED", "STATE", "EXPIRES", "REGION");
    for (const struct json *t = json_first(json_get(answer, "tokens")); t; t = json_next(t))
        print_row(t, now_s);
    json_free(answer);
    return fflush(stdout) ? COMMAND_FAULT : COMMAND_OK;
}

static int take_back(const struct command *command, const struct settings *settings)
{
    struct local_request request = {.command = LOCAL_TOKEN_REVOKE};
    struct json *answer;
    int status;

    if (strlen(settings->revoke) != JOIN_NAME_MAX - 1) {
        fprintf(stderr, "-revoke takes the name of a token, %d hex digits: -list shows them\n",
                JOIN_NAME_MAX - 1);
        return COMMAND_USAGE;
    }
    strcpy(request.name, settings->revoke);
    status = command_ask(command, &request, &answer);
    if (status)
        return status;
    json_free(answer);
    fprintf(stderr, "Token %s is revoked. Agents that joined with it stay: 'serverd agents revoke' "
                    "ends one.\n",
            request.name);
    return COMMAND_OK;
}

int join_token_command(int argc, char *const *argv, char *const *environment)
{
    struct settings settings = {.list = false};
    struct command command = {
        .usage = "usage: serverd join-token [-region NAME] [-ttl DURATION] [-uses N]\n"
                 "       serverd join-token -list [-json]\n"
                 "       serverd join-token -revoke NAME\n\n"
                 "Prints a token that agents join the running server with: the token on stdout, the "
                 "agent's\ncommand line on stderr.\n",
        .options = options,
        .option_count = ARRAY_LEN(options),
        .settings = &settings,
    };
    int status = command_load(&command, argc, argv, environment);

    if (status) {
        fputs("serverd join-token -h shows the usage\n", stderr);
    } else if (settings.h || settings.help) {
        command_help(&command, stderr);
    } else if ((settings.list && settings.revoke[0]) || (settings.json && !settings.list)) {
        fputs("-list goes with nothing but -json, and -json with nothing but -list\n", stderr);
        status = COMMAND_USAGE;
    } else if (settings.list) {
        status = list(&command, &settings);
    } else if (settings.revoke[0]) {
        status = take_back(&command, &settings);
    } else {
        status = make(&command, &settings);
    }
    command_free(&command);
    return status;
}
