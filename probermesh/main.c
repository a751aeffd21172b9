/* probermesh - the dispatcher of the daemons, and the command-line client of the admin API. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "probermesh/dispatch.h"
#include "probermesh/show_command.h"
#include "probermesh/task_cli.h"

static int help_command(int argc, char *const *argv)
{
    char flag[] = "-h";
    char *help[] = {flag, NULL};

    (void)argc;
    (void)argv;
    return dispatch_command(1, help);
}

static const struct command {
    const char *name;
    int (*run)(int argc, char *const *argv); /* the words after the command's name; exit status */
} commands[] = {
    {"status", status_command},
    {"urls", urls_command},
    {"agents", agents_command},
    {"audit", audit_command},
    {"task", task_cli},
    {"help", help_command},
};

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    if (argc < 2 || argv[1][0] == '-')
        return dispatch_command(argc - 1, argv + 1);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "probermesh: unknown command '%s' (probermesh -h lists them)\n", argv[1]);
    return 2;
}
