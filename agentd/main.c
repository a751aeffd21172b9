#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/agent_check.h"
#include "agentd/daemon.h"
#include "agentd/options.h"
#include "agentd/probe_command.h"
#include "agentd/task_exec.h"
#include "agentd/usage.h"
#include "common/array.h"
#include "common/version.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char *const *argv); /* without the command's own name */
} commands[] = {
    {"probe", probe_command},
    {"check-config", agent_check},
    {TASK_EXEC_NAME, task_exec_command},
};

static int run_agent(int argc, char *const *argv)
{
    struct agentd_settings settings = {0};
    struct problems *problems = NULL;
    int status = 2;

    if (problems_create(&problems)) {
        fputs("agentd: out of memory\n", stderr);
        return 1;
    }
    if (agentd_settings_load(&settings, argc, argv, environ, problems)) {
        usage_complain(problems);
    } else if (settings.help) {
        usage_print(stderr);
        status = 0;
    } else if (settings.version) {
        fputs("level=info msg=version version=" PROBER_VERSION "\n", stderr);
        status = 0;
    } else {
        status = daemon_run(&settings, argc, argv, environ);
    }
    agentd_settings_free(&settings);
    problems_destroy(problems);
    return status;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    return run_agent(argc - 1, argv + 1);
}
