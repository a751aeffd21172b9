#include "agentd/agent_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agentd/options.h"
#include "agentd/usage.h"

static int check(int argc, char *const *argv, bool dump, struct problems *problems)
{
    struct agentd_settings settings = {0};
    int status = 1;

    if (agentd_settings_load(&settings, argc, argv, NULL, problems)) {
        usage_complain(problems);
    } else {
        if (settings.help)
            usage_print(stderr);
        else if (dump)
            options_dump(agentd_options, agentd_options_count, &settings, stdout);
        else
            printf("%s: ok\n", settings.config[0] ? settings.config : "settings");
        status = 0;
    }
    agentd_settings_free(&settings);
    return status;
}

int agent_check(int argc, char *const *argv)
{
    struct problems *problems = NULL;
    char flag[] = "-config";
    bool dump = argc > 0 && (strcmp(argv[0], "-dump") == 0 || strcmp(argv[0], "--dump") == 0);
    char *file[2] = {flag, NULL};
    int status;

    if (problems_create(&problems)) {
        fputs("agentd: out of memory\n", stderr);
        return 1;
    }
    argc -= dump;
    argv += dump;
    if (argc == 1 && argv[0][0] != '-') {
        file[1] = argv[0];
        argc = 2;
        argv = file;
    }
    status = check(argc, argv, dump, problems);
    problems_destroy(problems);
    return status;
}
