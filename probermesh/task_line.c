#include "probermesh/task_line.h"

#include <stdbool.h>
#include <string.h>

/* What has no meaning to any reader of lines. */
static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_.:/@%+,=";

    return *word && word[strspn(word, plain)] == '\0';
}

/* Nothing escapes in a line: single quotes hold all but themselves, which stand in double ones. */
static void put_word(struct strbuf *out, const char *word)
{
    if (is_plain(word)) {
        strbuf_puts(out, word);
        return;
    }
    if (!*word)
        strbuf_puts(out, "''");
    while (*word) {
        bool quotes = *word == '\'';
        size_t len = quotes ? strspn(word, "'") : strcspn(word, "'");

        strbuf_putc(out, quotes ? '"' : '\'');
        strbuf_put(out, word, len);
        strbuf_putc(out, quotes ? '"' : '\'');
        word += len;
    }
}

void task_line_put(struct strbuf *out, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            strbuf_putc(out, ' ');
        put_word(out, words[i]);
    }
}
