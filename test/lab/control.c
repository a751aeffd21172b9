#include "test/lab/control.h"

#include <string.h>

#include "common/array.h"

#define WORDS_MAX 64

static enum prober_error do_host(const struct control *c, char **words, size_t count,
                                 struct strbuf *answer, struct prober_failure *why)
{
    uint32_t host;
    enum prober_error err = network_add_host(c->network, words[0], words[1], &host, why);

    (void)count;
    (void)answer;
    if (err || !c->open_device)
        return err;
    err = c->open_device(c->context, host, words[2], words[3], why);
    if (err)
        network_remove_host(c->network, words[0], &host, NULL);
    return err;
}

static enum prober_error do_address(const struct control *c, char **words, size_t count,
                                    struct strbuf *answer, struct prober_failure *why)
{
    (void)count;
    (void)answer;
    return network_add_prefix(c->network, words[0], words[1], why);
}

static enum prober_error do_remove(const struct control *c, char **words, size_t count,
                                   struct strbuf *answer, struct prober_failure *why)
{
    uint32_t host;
    enum prober_error err = network_remove_host(c->network, words[0], &host, why);

    (void)count;
    (void)answer;
    if (!err && c->close_device)
        c->close_device(c->context, host);
    return err;
}

static enum prober_error do_set(const struct control *c, char **words, size_t count,
                                struct strbuf *answer, struct prober_failure *why)
{
    (void)answer;
    return network_set(c->network, words[0], words[1], words + 2, count - 2, why);
}

static enum prober_error do_reset(const struct control *c, char **words, size_t count,
                                  struct strbuf *answer, struct prober_failure *why)
{
    (void)count;
    (void)answer;
    return network_reset(c->network, words[0], words[1], why);
}

static enum prober_error do_get(const struct control *c, char **words, size_t count,
                                struct strbuf *answer, struct prober_failure *why)
{
    (void)count;
    return network_print_settings(c->network, words[0], words[1], answer, why);
}

static enum prober_error do_stats(const struct control *c, char **words, size_t count,
                                  struct strbuf *answer, struct prober_failure *why)
{
    (void)words;
    (void)count;
    (void)why;
    network_print_counters(c->network, answer);
    return PROBER_OK;
}

static enum prober_error do_ping(const struct control *c, char **words, size_t count,
                                 struct strbuf *answer, struct prober_failure *why)
{
    (void)c;
    (void)words;
    (void)count;
    (void)answer;
    (void)why;
    return PROBER_OK;
}

static const struct command {
    const char *name;
    const char *arguments;
    size_t min, max; /* number of arguments */
    enum prober_error (*run)(const struct control *c, char **words, size_t count,
                             struct strbuf *answer, struct prober_failure *why);
} commands[] = {
    {"host", "NAME REGION NETNS DEVICE", 4, 4, do_host},
    {"address", "NAME PREFIX", 2, 2, do_address},
    {"remove", "NAME", 1, 1, do_remove},
    {"set", "FROM TO KEY VALUE ...", 4, WORDS_MAX - 1, do_set},
    {"reset", "FROM TO", 2, 2, do_reset},
    {"get", "FROM TO", 2, 2, do_get},
    {"stats", "", 0, 0, do_stats},
    {"ping", "", 0, 0, do_ping},
};

static size_t cut_up(char *line, char *words[WORDS_MAX])
{
    size_t count = 0;
    char *rest;

    for (char *word = strtok_r(line, " \t\r", &rest); word; word = strtok_r(NULL, " \t\r", &rest)) {
        if (count == WORDS_MAX)
            return 0;
        words[count++] = word;
    }
    return count;
}

static enum prober_error execute(const struct control *c, char *line, struct strbuf *answer,
                                 struct prober_failure *why)
{
    char *words[WORDS_MAX];
    size_t count = cut_up(line, words);

    if (!count)
        return prober_fail(why, PROBER_ERR_SYNTAX, "expected a command of 1 to %d words",
                           WORDS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *k = &commands[i];

        if (strcmp(words[0], k->name) != 0)
            continue;
        if (count - 1 < k->min || count - 1 > k->max)
            return prober_fail(why, PROBER_ERR_SYNTAX, "usage: %s %s", k->name, k->arguments);
        return k->run(c, words + 1, count - 1, answer, why);
    }
    return prober_fail(why, PROBER_ERR_UNKNOWN_KEY, "'%s' is no command", words[0]);
}

void control_execute(const struct control *c, char *line, struct strbuf *answer)
{
    struct prober_failure why = {0};

    if (execute(c, line, answer, &why))
        strbuf_printf(answer, "error: %s\n", why.text);
    else
        strbuf_puts(answer, "ok\n");
}
