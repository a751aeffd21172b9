#include "serverd/agents_command.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "serverd/command.h"

struct settings {
    bool help, h, json;
};

#define AT(member) offsetof(struct settings, member)

static const struct option options[] = {
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .group = "General",
     .help = "With list: print JSON."},
    {.name = "h", .type = OPTION_BOOL, .offset = AT(h), .group = "General",
     .help = "Show this help and exit."},
    {.name = "help", .type = OPTION_BOOL, .offset = AT(help), .group = "General",
     .help = "Show this help and exit."},
};

static void print_row(const struct json *agent)
{
    const char *address = command_text(agent, "address");
    int64_t expires_s = command_number(agent, "certificate_expires_s");
    bool alive = false;

    json_bool(json_get(agent, "alive"), &alive);
    printf("%-32s  %-7s  %-6s  %-15s  ", command_text(agent, "id"),
           json_get(agent, "revoked_s") ? "revoked" : alive ? "alive" : "away",
           command_text(agent, "trust"), address[0] ? address : "-");
    if (expires_s)
        command_print_time(stdout, expires_s);
    else
        printf("%-20s", "-");
    fputs("  ", stdout);
    command_print_text(stdout, command_text(agent, "region"));
    putchar('\n');
}

static int list(const struct command *command, const struct settings *settings)
{
    const struct local_request request = {.command = LOCAL_AGENT_LIST};
    struct json *answer;
    int status = command_ask(command, &request, &answer);

    if (status)
        return status;
    if (settings->json)
        return command_print_json(answer, "agents");
    printf("%-32s  %-7s  %-6s  %-15s  %-20s  %s\n", "ID", "STATE", "TRUST", "ADDRESS",
           "CERTIFICATE UNTIL", "REGION");
    for (const struct json *a = json_first(json_get(answer, "agents")); a; a = json_next(a))
        print_row(a);
    json_free(answer);
    return fflush(stdout) ? COMMAND_FAULT : COMMAND_OK;
}

static int change(const struct command *command, enum local_command which, const char *id)
{
    struct local_request request = {.command = which};
    struct json *answer;
    bool known = false;
    int status;

    if (prober_id_parse(id, &request.agent) || prober_id_is_zero(&request.agent)) {
        fputs("an agent is named by its id, 32 hex digits: 'serverd agents' lists them\n", stderr);
        return COMMAND_USAGE;
    }
    status = command_ask(command, &request, &answer);
    if (status)
        return status;
    if (which == LOCAL_AGENT_UNREVOKE)
        fprintf(stderr, "Agent %s is taken again, with the certificate that it has.\n", id);
    else
        fprintf(stderr, "Agent %s is revoked.\n", id);
    if (which == LOCAL_AGENT_REVOKE && !json_bool(json_get(answer, "known"), &known) && !known)
        fputs("This server has never seen an agent of this id.\n", stderr);
    json_free(answer);
    return COMMAND_OK;
}

int agents_command(int argc, char *const *argv, char *const *environment)
{
    static const struct {
        const char *name;
        bool takes_id;
        enum local_command command;
    } words[] = {{"list", false, LOCAL_AGENT_LIST},
                 {"revoke", true, LOCAL_AGENT_REVOKE},
                 {"unrevoke", true, LOCAL_AGENT_UNREVOKE}};
    struct settings settings = {.json = false};
    struct command command = {
        .usage = "usage: serverd agents [list] [-json]\n"
                 "       serverd agents revoke ID\n"
                 "       serverd agents unrevoke ID\n\n"
                 "Lists the running server's agents. One that is revoked is out at once, whatever "
                 "certificate it\nhas, and cannot join with the same key.\n",
        .options = options,
        .option_count = ARRAY_LEN(options),
        .settings = &settings,
    };
    size_t word = 0;
    const char *id = NULL;
    int status;

    if (argc > 0 && argv[0][0] != '-') {
        while (word < ARRAY_LEN(words) && strcmp(argv[0], words[word].name) != 0)
            word++;
        argc--;
        argv++;
    }
    if (word < ARRAY_LEN(words) && words[word].takes_id && argc > 0 && argv[0][0] != '-') {
        id = argv[0];
        argc--;
        argv++;
    }
    status = command_load(&command, argc, argv, environment);
    if (!status && (settings.h || settings.help)) {
        command_help(&command, stderr);
    } else if (status || word == ARRAY_LEN(words) || (words[word].takes_id && !id)) {
        fputs("serverd agents -h shows the usage\n", stderr);
        status = status ? status : COMMAND_USAGE;
    } else {
        status = id ? change(&command, words[word].command, id) : list(&command, &settings);
    }
    command_free(&command);
    return status;
}
