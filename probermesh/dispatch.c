#include "probermesh/dispatch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/options.h"
#include "common/array.h"
#include "common/version.h"
#include "serverd/options.h"

static const struct option mode_option = {.name = "mode", .type = OPTION_STRING};

/* A flag as it stands on the command line, and the option that it means. */
struct flag {
    const char *name;  /* without dashes; ends at the '=' or the word's end */
    size_t name_len;
    const char *value; /* behind the '=', or NULL */
};

static bool read_flag(const char *word, struct flag *flag)
{
    if (word[0] != '-' || word[1] == '\0')
        return false;
    flag->name = word + (word[1] == '-' ? 2 : 1);
    flag->name_len = strcspn(flag->name, "=");
    flag->value = flag->name[flag->name_len] == '=' ? flag->name + flag->name_len + 1 : NULL;
    return flag->name_len > 0 && *flag->name != '-';
}

static bool flag_is(const struct flag *flag, const char *name)
{
    return strlen(name) == flag->name_len && memcmp(flag->name, name, flag->name_len) == 0;
}

static const struct option *find_in(const struct dispatch_mode *mode, const struct flag *flag)
{
    for (size_t i = 0; i < mode->option_count; i++)
        if (flag_is(flag, mode->options[i].name))
            return &mode->options[i];
    return NULL;
}

/* The option of a flag: of the dispatcher itself, or of any mode. */
static const struct option *find(const struct dispatch_mode *modes, size_t count,
                                 const struct flag *flag)
{
    const struct option *option = flag_is(flag, mode_option.name) ? &mode_option : NULL;

    for (size_t i = 0; i < count && !option; i++)
        option = find_in(&modes[i], flag);
    return option;
}

static bool takes_next_word(const struct option *option, const struct flag *flag)
{
    return !flag->value && option->type != OPTION_BOOL;
}

static enum prober_error choose_mode(struct dispatch_plan *plan, const char *name,
                                     const struct dispatch_mode *modes, size_t count,
                                     struct prober_failure *why)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(modes[i].name, name) == 0) {
            plan->mode = &modes[i];
            return PROBER_OK;
        }
    return prober_fail(why, PROBER_ERR_SYNTAX, "-mode: expected 'agent' or 'server', got '%s'", name);
}

/* Finds out what is asked for, and checks that every word is a flag, with its value. */
static enum prober_error survey(struct dispatch_plan *plan, int argc, char *const *argv,
                                const struct dispatch_mode *modes, size_t count,
                                struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    for (int i = 0; i < argc && !err; i++) {
        const struct option *option;
        struct flag flag;

        if (!read_flag(argv[i], &flag))
            return prober_fail(why, PROBER_ERR_SYNTAX,
                               "'%s': expected a flag; a value follows as '-flag value' or "
                               "'-flag=value', that of a boolean only as '-flag=value'",
                               argv[i]);
        option = find(modes, count, &flag);
        if (flag_is(&flag, "h") || flag_is(&flag, "help"))
            plan->action = DISPATCH_HELP;
        else if (flag_is(&flag, "v") || flag_is(&flag, "version"))
            plan->action = DISPATCH_VERSION;
        else if (!option)
            return prober_fail(why, PROBER_ERR_SYNTAX, "unknown flag %s (probermesh -h lists all)",
                               argv[i]);
        else if (takes_next_word(option, &flag) && ++i == argc)
            return prober_fail(why, PROBER_ERR_SYNTAX, "flag -%s needs a value", option->name);
        else if (option == &mode_option)
            err = choose_mode(plan, flag.value ? flag.value : argv[i], modes, count, why);
    }
    return err;
}

/* Copies the words that the chosen mode's program takes. The words have passed survey(). */
static void pass_on(struct dispatch_plan *plan, int argc, char *const *argv,
                    const struct dispatch_mode *modes, size_t count)
{
    for (int i = 0; i < argc; i++) {
        const struct option *option;
        struct flag flag;
        bool applies;

        read_flag(argv[i], &flag);
        option = find(modes, count, &flag);
        applies = find_in(plan->mode, &flag) != NULL;
        if (applies)
            plan->argv[plan->argc++] = argv[i];
        if (option && takes_next_word(option, &flag)) {
            i++;
            if (applies)
                plan->argv[plan->argc++] = argv[i];
        }
    }
}

enum prober_error dispatch_read(struct dispatch_plan *out, int argc, char *const *argv,
                                const struct dispatch_mode *modes, size_t count,
                                struct prober_failure *why)
{
    struct dispatch_plan plan = {.action = DISPATCH_RUN, .mode = &modes[0]};
    enum prober_error err;

    *out = (struct dispatch_plan){0};
    err = survey(&plan, argc, argv, modes, count, why);
    if (err)
        return err;
    plan.argv = calloc((size_t)argc + 2, sizeof(*plan.argv));
    if (!plan.argv)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    plan.argv[plan.argc++] = (char *)plan.mode->program;
    if (plan.action == DISPATCH_RUN)
        pass_on(&plan, argc, argv, modes, count);
    *out = plan;
    return PROBER_OK;
}

void dispatch_free(struct dispatch_plan *plan)
{
    free(plan->argv);
    *plan = (struct dispatch_plan){0};
}

static void print_help(const struct dispatch_mode *modes, size_t count)
{
    puts("usage: probermesh -mode agent|server [flags]   run a daemon (default: server)\n"
         "       probermesh COMMAND [flags]              ask a running server\n"
         "\n"
         "Commands:\n"
         "  status    show the mesh of regions: loss and round-trip time of every pair\n"
         "  urls      list every probed URL as seen from every region\n"
         "  agents    list the agents that the server knows\n"
         "  audit     list the changes that were made to the server, and who made them\n"
         "  task      have agents run a command, and print what they write\n"
         "  help      show this; 'probermesh COMMAND -h' shows a command's flags\n"
         "\n"
         "Flags of both daemons are taken in either mode; those that do not apply are left out.");
    for (size_t i = 0; i < count; i++) {
        printf("\nMode %s (also a program of its own: %s)\n", modes[i].name, modes[i].program);
        options_help(modes[i].options, modes[i].option_count, stdout);
    }
}

/* The daemons live beside this program. */
static int execute(const struct dispatch_plan *plan)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    size_t name_len = strlen(plan->mode->program);
    char *slash;

    if (len < 0) {
        fprintf(stderr, "probermesh: cannot find my own program: %s\n", strerror(errno));
        return 1;
    }
    path[len] = '\0';
    slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + name_len >= sizeof(path)) {
        fprintf(stderr, "probermesh: the path of my own program is too long: %s\n", path);
        return 1;
    }
    memcpy(slash + 1, plan->mode->program, name_len + 1);
    plan->argv[0] = path;
    execv(path, plan->argv);
    fprintf(stderr, "probermesh: cannot execute %s: %s; %s must be installed beside probermesh\n",
            path, strerror(errno), plan->mode->program);
    return 1;
}

int dispatch_command(int argc, char *const *argv)
{
    const struct dispatch_mode modes[] = {
        {"server", "serverd", serverd_options, serverd_options_count},
        {"agent", "agentd", agentd_options, agentd_options_count},
    };
    struct dispatch_plan plan;
    struct prober_failure why;
    int status = 0;

    if (dispatch_read(&plan, argc, argv, modes, ARRAY_LEN(modes), &why)) {
        fprintf(stderr, "probermesh: %s\n", why.text);
        return 2;
    }
    switch (plan.action) {
    case DISPATCH_HELP:
        print_help(modes, ARRAY_LEN(modes));
        break;
    case DISPATCH_VERSION:
        printf("probermesh %s\n", PROBER_VERSION);
        break;
    case DISPATCH_RUN:
        status = execute(&plan);
        break;
    }
    dispatch_free(&plan);
    return status;
}
