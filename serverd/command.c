#include "serverd/command.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/problems.h"
#include "common/utf8.h"
#include "serverd/local_socket.h"
#include "serverd/options.h"

#define ANSWER_NS (15 * CLOCK_NS_PER_S) /* the server may have to wait for its disk */
#define TIME_ROOM 32

/* ---- reading flags ---- */

/* The option of a table that the argument names, or NULL. */
static const struct option *find_option(const struct option *table, size_t count,
                                        const char *argument)
{
    char name[OPTION_NAME_MAX + 1];
    size_t len;

    if (argument[0] != '-')
        return NULL;
    argument += argument[1] == '-' ? 2 : 1;
    len = strcspn(argument, "=");
    if (len >= sizeof(name))
        return NULL;
    memcpy(name, argument, len);
    name[len] = '\0';
    return options_find(table, count, name);
}

struct words {
    char **items; /* [count] */
    int count;
};

/* Parts the arguments: what is not the command's own is for the server's table to judge. */
static void part(const struct command *command, int argc, char *const *argv, struct words *own,
                 struct words *rest)
{
    for (int i = 0; i < argc; i++) {
        const struct option *option = find_option(command->options, command->option_count, argv[i]);
        struct words *words = option ? own : rest;

        words->items[words->count++] = argv[i];
        if (!option)
            option = find_option(serverd_options, serverd_options_count, argv[i]);
        if (option && option->type != OPTION_BOOL && !strchr(argv[i], '=') && i + 1 < argc)
            words->items[words->count++] = argv[++i];
    }
}

static enum prober_error load_own(struct command *command, const struct words *own,
                                  struct problems *problems)
{
    const struct options_source source = {
        .table = command->options,
        .count = command->option_count,
        .settings = command->settings,
        .argc = own->count,
        .argv = own->items,
    };

    return options_load(&source, problems);
}

static enum prober_error load_server(struct command *command, const struct words *rest,
                                     char *const *environment, struct problems *problems)
{
    struct serverd_settings settings = {.config = NULL};
    enum prober_error err =
        serverd_settings_load(&settings, rest->count, rest->items, environment, problems);

    if (!err) {
        command->state_dir = strdup(settings.state_dir);
        err = command->state_dir ? PROBER_OK : PROBER_ERR_NOMEM;
    }
    serverd_settings_free(&settings);
    return err;
}

int command_load(struct command *command, int argc, char *const *argv, char *const *environment)
{
    struct words own = {.items = calloc((size_t)argc + 1, sizeof(char *))};
    struct words rest = {.items = calloc((size_t)argc + 1, sizeof(char *))};
    struct problems *problems = NULL;
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!own.items || !rest.items || problems_create(&problems))
        goto out;
    part(command, argc, argv, &own, &rest);
    err = load_own(command, &own, problems);
    if (!err)
        err = load_server(command, &rest, environment, problems);
    for (size_t i = 0; i < problems_count(problems) && i < PROBLEMS_MAX; i++)
        fprintf(stderr, "%s\n", problems_text(problems, i));
    if (err == PROBER_ERR_NOMEM)
        fprintf(stderr, "%s\n", prober_error_text(err));
out:
    problems_destroy(problems);
    free(own.items);
    free(rest.items);
    return !err ? COMMAND_OK : err == PROBER_ERR_SYNTAX ? COMMAND_USAGE : COMMAND_FAULT;
}

void command_help(const struct command *command, FILE *out)
{
    fprintf(out, "%s\n", command->usage);
    options_help(command->options, command->option_count, out);
    fputs("\nThe server's own -config and -server.state.dir say which server is asked.\n", out);
}

void command_free(struct command *command)
{
    options_free(command->options, command->option_count, command->settings);
    free(command->state_dir);
    command->state_dir = NULL;
}

/* ---- asking ---- */

int command_ask(const struct command *command, const struct local_request *request,
                struct json **answer)
{
    struct strbuf line = STRBUF_INIT, text = STRBUF_INIT;
    struct prober_failure why = {PROBER_OK, ""};
    struct json *root = NULL;
    const char *error;
    int status = COMMAND_FAULT;
    enum prober_error err = PROBER_ERR_NOMEM;

    local_request_put(&line, request);
    if (strbuf_ok(&line))
        err = local_socket_ask(command->state_dir, line.bytes, line.len, ANSWER_NS, &text, &why);
    if (!err)
        err = json_parse(&root, text.bytes ? text.bytes : "", text.len, &why);
    if (err) {
        fprintf(stderr, "%s\n", why.code ? why.text : prober_error_text(err));
        goto out;
    }
    error = json_string(json_get(root, "error"));
    if (error) {
        command_print_text(stderr, error);
        fputc('\n', stderr);
        goto out;
    }
    *answer = root;
    root = NULL;
    status = COMMAND_OK;
out:
    json_free(root);
    strbuf_free(&line);
    strbuf_free(&text);
    return status;
}

/* ---- printing ---- */

void command_print_text(FILE *out, const char *text)
{
    struct strbuf safe = STRBUF_INIT;

    utf8_put_escaped(&safe, text, strlen(text));
    if (strbuf_ok(&safe) && safe.len)
        fwrite(safe.bytes, 1, safe.len, out);
    strbuf_free(&safe);
}

void command_print_time(FILE *out, int64_t seconds)
{
    char text[TIME_ROOM] = "?";
    time_t t = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&t, &parts))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    fputs(text, out);
}

void command_print_word(FILE *out, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/@";
    bool quoted = text[0] == '\0';

    for (const char *c = text; *c; c++)
        quoted |= (unsigned char)*c < 0x80 && !strchr(plain, *c);
    if (!quoted) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    fputc('\'', out);
}

int command_print_json(struct json *answer, const char *key)
{
    char *text = json_print(json_get(answer, key), true);
    bool printed = text && puts(text) >= 0 && fflush(stdout) == 0;

    free(text);
    json_free(answer);
    return printed ? COMMAND_OK : COMMAND_FAULT;
}

int64_t command_number(const struct json *object, const char *key)
{
    uint64_t value = 0;

    return json_u64(json_get(object, key), &value) ? 0 : (int64_t)value;
}

const char *command_text(const struct json *object, const char *key)
{
    const char *text = json_string(json_get(object, key));

    return text ? text : "";
}
