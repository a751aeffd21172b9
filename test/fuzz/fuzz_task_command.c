/*
 * fuzz_task_command - command lines of tasks. A refusal says why; what is taken is a listed command
 * with printable arguments, of which none is empty, and is taken again as what it was written as.
 * A URL may hold what shells act on; no shell ever sees it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agentd/task_command.h"
#include "agentd/task_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void settle(struct task_command *c)
{
    struct prober_failure why = {PROBER_OK, ""};
    struct prober_addr there[2];

    if (prober_addr_parse("192.0.2.7", &there[0]) || prober_addr_parse("2001:db8::7", &there[1]))
        abort();
    if (task_command_settle(c, there, task_command_lookup(c) ? 2 : 0, NULL, &why) && !why.text[0])
        abort();
}

static void check_words(const char *const *argv)
{
    for (; *argv; argv++) {
        bool is_url = strncasecmp(*argv, "http", 4) == 0;

        if (!argv[0][0])
            abort();
        for (const char *c = *argv; *c; c++)
            if (*c <= ' ' || *c > '~' || (!is_url && strchr("|&;<>()$`\\*?[]{}~#'\"", *c)))
                abort();
    }
}

static void check_again(const struct task_terms *terms, const char *const *argv)
{
    char line[2 * TASK_LINE_MAX] = "";
    struct prober_failure why;
    struct task_command *again = NULL;
    const char *const *second;

    /* dig's -q and the networks for http are of our own writing. */
    if (strcmp(argv[0], "dig") == 0 || (argv[1] && argv[2] && strcmp(argv[2], "http") == 0))
        return;
    argv += strcmp(argv[0], "agentd") == 0;
    for (size_t i = 0; argv[i]; i++) {
        strcat(line, argv[i]);
        strcat(line, " ");
    }
    if (strlen(line) > TASK_LINE_MAX)
        return;
    if (task_command_parse(&again, terms, line, strlen(line), &why)) {
        fprintf(stderr, "%s: %s\n", line, why.text);
        abort();
    }
    settle(again);
    second = task_command_argv(again);
    second += strcmp(second[0], "agentd") == 0;
    for (size_t i = 0; argv[i] || second[i]; i++)
        if (!argv[i] || !second[i] || strcmp(argv[i], second[i]) != 0)
            abort();
    task_command_destroy(again);
}

/* The first byte chooses the terms, the rest is the line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct task_terms terms = {
        .policy = TASK_POLICY_ALLOWLIST, .root = false, .deadline_ns = UINT64_C(60000000000)};
    struct prober_failure why = {PROBER_OK, ""};
    struct task_command *c = NULL;
    const char *const *argv;
    char *line;

    if (size == 0)
        return 0;
    terms.root = data[0] & 1;
    terms.own_ping = data[0] & 2;
    if (data[0] == '$')
        terms.policy = TASK_POLICY_SHELL;
    line = malloc(size);
    if (!line)
        abort();
    memcpy(line, data + 1, size - 1);
    if (task_command_parse(&c, &terms, line, size - 1, &why)) {
        if (c || !why.text[0])
            abort();
        goto out;
    }
    settle(c);
    argv = task_command_argv(c);
    if (argv && terms.policy == TASK_POLICY_ALLOWLIST) {
        check_words(argv);
        check_again(&terms, argv);
    }
    if (argv && terms.policy == TASK_POLICY_SHELL && strlen(argv[2]) != size - 1)
        abort();
out:
    task_command_destroy(c);
    free(line);
    return 0;
}
