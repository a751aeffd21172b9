#include "probermesh/task_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/utf8.h"
#include "probermesh/client.h"
#include "probermesh/client_options.h"
#include "probermesh/task_follow.h"
#include "probermesh/task_line.h"
#include "probermesh/task_view.h"
#include "probermesh/terminal.h"

#define OPERANDS_MAX 2
#define PATH_ROOM 256
#define EXIT_TROUBLE 1
#define EXIT_USAGE 2

/* A sub-command that asks one thing. */
struct question {
    const char *name;
    enum client_command command;
    size_t operands;
    const char *operand_names;
    const char *method; /* NULL: GET */
    /* Of the path behind the first operand and behind the second; with -stderr. */
    const char *middle, *behind, *behind_errors;
    /* How the answer is shown; NULL: as it came. */
    enum prober_error (*view)(const struct json *answer, struct view_style style,
                              struct strbuf *out, struct prober_failure *why);
};

static int complain(const char *text)
{
    fprintf(stderr, "probermesh: %s (probermesh task -h tells more)\n", text);
    return EXIT_USAGE;
}

static enum prober_error view_cancelled(const struct json *answer, struct view_style style,
                                        struct strbuf *out, struct prober_failure *why)
{
    uint64_t agents = 0;

    (void)style;
    if (json_u64(json_get(answer, "cancelled"), &agents))
        return prober_fail(why, PROBER_ERR_PROTOCOL, "not the answer of a ProberMesh server");
    strbuf_printf(out, "the task ends with %llu agent%s\n", (unsigned long long)agents,
                  agents == 1 ? "" : "s");
    return PROBER_OK;
}

static const struct question questions[] = {
    {"list", CLIENT_TASK_LIST, 0, "", NULL, "", "", "", task_view_list},
    {"show", CLIENT_TASK_SHOW, 1, "the task's id", NULL, "?output=0", "", "", task_view_show},
    {"output", CLIENT_TASK_OUTPUT, 2, "the task's id and the agent's", NULL, "/output/",
     "?stream=stdout", "?stream=stderr", NULL},
    {"cancel", CLIENT_TASK_CANCEL, 1, "the task's id", "DELETE", "", "", "", view_cancelled},
};

/* ---- one question ---- */

/* An output may be anything: a terminal gets it in a form that cannot command it. */
static void print_output(const struct client_answer *answer)
{
    struct strbuf text = STRBUF_INIT;

    if (!terminal_is_tty()) {
        fwrite(answer->bytes, 1, answer->len, stdout);
        return;
    }
    task_view_harmless(&text, answer->bytes, answer->len);
    fwrite(text.bytes ? text.bytes : "", 1, text.len, stdout);
    strbuf_free(&text);
}

static enum prober_error print_answer(const struct question *q,
                                      const struct client_options *options,
                                      const struct client_answer *answer,
                                      struct prober_failure *why)
{
    struct strbuf text = STRBUF_INIT;
    struct json *json = NULL;
    enum prober_error err = PROBER_OK;

    if (!q->view) {
        print_output(answer);
    } else if (options->json) {
        printf("%s\n", answer->bytes);
    } else {
        err = json_parse(&json, answer->bytes, answer->len, why);
        if (!err)
            err = q->view(json, terminal_style((enum terminal_colour)options->colour), &text, why);
        if (!err)
            fputs(text.bytes, stdout);
    }
    strbuf_free(&text);
    json_free(json);
    return err;
}

static int answer_question(const struct question *q, const struct client_options *options,
                           const char *const operands[OPERANDS_MAX])
{
    const struct client_target target = client_options_target(options);
    char path[PATH_ROOM];
    const struct client_request request = {.path = path, .method = q->method};
    struct client_answer answer = {0};
    struct prober_failure why;
    enum prober_error err;

    snprintf(path, sizeof(path), "/api/v1/tasks%s%s%s%s%s", q->operands ? "/" : "",
             q->operands ? operands[0] : "", q->middle, q->operands > 1 ? operands[1] : "",
             options->errors ? q->behind_errors : q->behind);
    err = client_ask(&target, &request, &answer, 1, -1, &why);
    if (!err && answer.status != 200)
        err = client_refused(&answer, &why);
    if (!err)
        err = print_answer(q, options, &answer, &why);
    if (err)
        fprintf(stderr, "probermesh: %s\n", why.text);
    client_answers_free(&answer, 1);
    return err ? EXIT_TROUBLE : 0;
}

static bool is_help(int argc, char *const *argv)
{
    return argc == 1 && (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "-help") == 0 ||
                         strcmp(argv[0], "--help") == 0);
}

/* The operands stand before the flags, or behind them. */
static int run_question(const struct question *q, int argc, char *const *argv)
{
    const char *operands[OPERANDS_MAX + 1] = {NULL};
    bool first = argc > 0 && argv[0][0] != '-', help = is_help(argc, argv);
    struct client_options options;
    int status, count = (int)q->operands;
    char *const *flags = first ? argv + count : argv;
    char *const *at = first ? argv : argv + argc - count;
    char text[128];

    if (!help && argc < count) {
        snprintf(text, sizeof(text), "task %s needs %s", q->name, q->operand_names);
        return complain(text);
    }
    for (int i = 0; i < count && !help; i++) {
        operands[i] = at[i];
        if (!client_is_name(at[i])) {
            snprintf(text, sizeof(text), "task %s needs %s", q->name, q->operand_names);
            return complain(text);
        }
    }
    if (!client_options_read(&options, q->command, help ? argc : argc - count, flags, &status))
        return status;
    status = answer_question(q, &options, operands);
    client_options_free(&options, q->command);
    return status;
}

/* ---- a new task ---- */

static int check(const struct client_options *options, size_t words)
{
    bool has_line = options->line[0] != '\0';

    if (options->region[0] == '\0')
        return complain("-region says which agents are to run it: -region '.*' for all");
    if (words == 0 && !has_line)
        return complain("the command stands behind --");
    if (words > 0 && has_line)
        return complain("-cmd and words behind -- are two commands");
    return 0;
}

static int run_task(int argc, char *const *argv)
{
    struct client_options options;
    struct strbuf line = STRBUF_INIT;
    int flags = 0, status;
    size_t words;

    while (flags < argc && strcmp(argv[flags], "--") != 0)
        flags++;
    words = flags < argc ? (size_t)(argc - flags - 1) : 0;
    if (!client_options_read(&options, CLIENT_TASK, flags, argv, &status))
        return status;
    status = check(&options, words);
    if (words > 0)
        task_line_put(&line, argv + flags + 1, words);
    else
        strbuf_puts(&line, options.line);
    if (status == 0 && strbuf_ok(&line))
        status = task_follow(&options, line.bytes);
    strbuf_free(&line);
    client_options_free(&options, CLIENT_TASK);
    return status;
}

int task_cli(int argc, char *const *argv)
{
    if (argc == 0 || argv[0][0] == '-')
        return run_task(argc, argv);
    for (size_t i = 0; i < ARRAY_LEN(questions); i++)
        if (strcmp(argv[0], questions[i].name) == 0)
            return run_question(&questions[i], argc - 1, argv + 1);
    return complain("there are task list, show, output and cancel; a command stands behind --");
}
