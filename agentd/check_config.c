#include "agentd/check_config.h"

#include <stdio.h>
#include <unistd.h>

#include "agentd/options.h"
#include "agentd/usage.h"

int check_config(int argc, char *const *argv)
{
    struct agentd_settings settings = {0};
    struct problems *problems = NULL;
    char flag[] = "-config";
    char *file[2] = {flag, argc ? argv[0] : NULL};
    int status = 2;

    if (problems_create(&problems)) {
        fputs("agentd: out of memory\n", stderr);
        return status;
    }
    if (argc == 1 && argv[0][0] != '-') {
        argc = 2;
        argv = file;
    }
    if (agentd_settings_load(&settings, argc, argv, environ, problems)) {
        usage_complain(problems);
    } else {
        if (settings.help)
            usage_print(stdout);
        else
            options_dump(agentd_options, agentd_options_count, &settings, stdout);
        status = 0;
    }
    agentd_settings_free(&settings);
    problems_destroy(problems);
    return status;
}
