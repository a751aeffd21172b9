#include "agentd/task_words.h"

#include <stdbool.h>
#include <string.h>

struct splitter {
    struct task_words *words;
    size_t used; /* of words->room */
    bool in_word;
    char quote; /* the one that is open, or 0 */
};

/* What a shell would act on, outside of quotes. */
static const char meta[] = "|&;<>()$`\\*?[]{}~!#^";

static enum prober_error check_byte(unsigned char c, size_t at, struct prober_failure *why)
{
    if (c == '\0')
        return prober_fail(why, PROBER_ERR_SYNTAX, "a NUL byte at offset %zu of the command", at);
    if (c >= 0x80)
        return prober_fail(
            why, PROBER_ERR_SYNTAX,
            "byte 0x%02x at offset %zu of the command is not ASCII; write host names "
            "in their xn-- form",
            c, at);
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "control character 0x%02x at offset %zu of the command", c, at);
    return PROBER_OK;
}

static enum prober_error begin_word(struct splitter *s, struct prober_failure *why)
{
    if (s->in_word)
        return PROBER_OK;
    if (s->words->count == TASK_WORDS_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the command has more than %d words",
                           TASK_WORDS_MAX);
    s->words->items[s->words->count++] = s->words->room + s->used;
    s->in_word = true;
    return PROBER_OK;
}

static void end_word(struct splitter *s)
{
    if (s->in_word)
        s->words->room[s->used++] = '\0';
    s->in_word = false;
}

static enum prober_error take(struct splitter *s, char c, size_t at, struct prober_failure *why)
{
    enum prober_error err;

    if (!s->quote && (c == ' ' || c == '\t')) {
        end_word(s);
        return PROBER_OK;
    }
    if (!s->quote && strchr(meta, c))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "'%c' at offset %zu: commands run without a shell, so it has no meaning "
                           "here; a word that needs it is put in quotes",
                           c, at);
    err = begin_word(s, why);
    if (err)
        return err;
    if (s->quote ? c == s->quote : c == '\'' || c == '"')
        s->quote = s->quote ? '\0' : c;
    else
        s->words->room[s->used++] = c;
    return PROBER_OK;
}

enum prober_error task_words_split(struct task_words *out, const char *line, size_t len,
                                   struct prober_failure *why)
{
    struct splitter s = {.words = out};
    enum prober_error err = PROBER_OK;

    out->count = 0;
    if (len > TASK_LINE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the command has %zu bytes, more than %d", len,
                           TASK_LINE_MAX);
    for (size_t i = 0; i < len && !err; i++) {
        err = check_byte((unsigned char)line[i], i, why);
        if (!err)
            err = take(&s, line[i], i, why);
    }
    if (err)
        return err;
    if (s.quote)
        return prober_fail(why, PROBER_ERR_SYNTAX, "a %s quote that does not end",
                           s.quote == '"' ? "double" : "single");
    end_word(&s);
    if (out->count == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the command is empty");
    return PROBER_OK;
}
