/* The half of options that shows them: the help, and settings as a file. */
#include "common/options.h"

#include <inttypes.h>
#include <string.h>

#include "common/duration.h"
#include "common/json.h"
#include "common/strbuf.h"

#define WIDTH 80
#define INDENT 8

/* ---- help ---- */

/* The columns that text[len] takes: continuation bytes of UTF-8 take none. */
static int columns_of(const char *text, size_t len)
{
    int columns = 0;

    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Prints words, as many on a line as fit, each line indented. */
static void put_wrapped(const char *text, FILE *out)
{
    int column = 0; /* 0: at the start of a line */

    while (*(text += strspn(text, " ")) != '\0') {
        size_t len = strcspn(text, " ");
        int columns = columns_of(text, len);

        if (column > 0 && column + 1 + columns > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += fprintf(out, "%*s", column ? 1 : INDENT, "") + columns;
        fwrite(text, 1, len, out);
        text += len;
    }
    if (column)
        fputc('\n', out);
}

/* The default that is worth telling, or NULL. */
static const char *told_default(const struct option *option)
{
    const char *text = option->fallback;

    if (!text && option->type == OPTION_CHOICE)
        text = option->choices[0];
    if (!text || !*text || option->type == OPTION_SECRET)
        return NULL;
    return option->type == OPTION_BOOL && strcmp(text, "false") == 0 ? NULL : text;
}

static void put_argument(const struct option *option, FILE *out)
{
    static const char *const by_type[] = {
        [OPTION_BOOL] = NULL,       [OPTION_INT] = "int",           [OPTION_STRING] = "string",
        [OPTION_SECRET] = "secret", [OPTION_DURATION] = "duration", [OPTION_CHOICE] = NULL,
        [OPTION_SIZE] = "size",     [OPTION_LIST] = "list",
    };
    const char *argument = option->argument ? option->argument : by_type[option->type];

    if (argument)
        fprintf(out, " %s", argument);
    for (size_t i = 0; !argument && option->choices && option->choices[i]; i++)
        fprintf(out, "%c%s", i ? '|' : ' ', option->choices[i]);
}

static void put_option(const struct option *option, FILE *out)
{
    struct strbuf text = STRBUF_INIT;
    const char *fallback = told_default(option);

    fprintf(out, "  -%s", option->name);
    put_argument(option, out);
    fputc('\n', out);
    strbuf_puts(&text, option->help ? option->help : "");
    if (fallback)
        strbuf_printf(&text, " (default %s)", fallback);
    if (strbuf_ok(&text))
        put_wrapped(text.bytes, out);
    strbuf_free(&text);
}

static bool same_group(const struct option *a, const struct option *b)
{
    return strcmp(a->group ? a->group : "", b->group ? b->group : "") == 0;
}

void options_help(const struct option *table, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t first = 0;

        while (!same_group(&table[first], &table[i]))
            first++;
        if (first < i)
            continue; /* printed with the first of its group */
        fprintf(out, "%s%s:\n", i ? "\n" : "", table[i].group ? table[i].group : "Flags");
        for (size_t j = i; j < count; j++)
            if (same_group(&table[i], &table[j]))
                put_option(&table[j], out);
    }
}

/* ---- settings as a file ---- */

static void put_list(struct strbuf *line, const struct option_list *list)
{
    strbuf_putc(line, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            strbuf_puts(line, ", ");
        json_put_string(line, list->items[i], strlen(list->items[i]));
    }
    strbuf_putc(line, ']');
}

static void put_value(struct strbuf *line, const struct option *option, const void *field)
{
    const char *text = "";
    int64_t integer;
    uint64_t number;
    char duration[DURATION_TEXT_MAX];
    int choice;

    switch (option->type) {
    case OPTION_BOOL:
        strbuf_puts(line, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_INT:
        memcpy(&integer, field, sizeof(integer));
        strbuf_put_i64(line, integer);
        break;
    case OPTION_DURATION:
        memcpy(&number, field, sizeof(number));
        strbuf_puts(line, duration_format(number, duration));
        break;
    case OPTION_SIZE:
        memcpy(&number, field, sizeof(number));
        strbuf_put_u64(line, number);
        break;
    case OPTION_CHOICE:
        memcpy(&choice, field, sizeof(choice));
        strbuf_puts(line, option->choices[choice]);
        break;
    case OPTION_STRING:
    case OPTION_SECRET:
        memcpy(&text, field, sizeof(text));
        json_put_string(line, text, strlen(text));
        break;
    case OPTION_LIST:
        put_list(line, field);
        break;
    }
}

void options_dump(const struct option *table, size_t count, const void *settings, FILE *out)
{
    struct strbuf line = STRBUF_INIT;

    for (size_t i = 0; i < count; i++) {
        const void *field = (const char *)settings + table[i].offset;
        const char *secret = NULL;

        if (table[i].flags & OPTION_NO_FILE)
            continue;
        if (table[i].type == OPTION_SECRET)
            memcpy(&secret, field, sizeof(secret));
        strbuf_clear(&line);
        strbuf_printf(&line, "%s%s: ", secret && *secret ? "# " : "", table[i].name);
        if (secret && *secret)
            strbuf_puts(&line, "(set, not shown)");
        else
            put_value(&line, &table[i], field);
        strbuf_putc(&line, '\n');
        if (strbuf_ok(&line))
            fwrite(line.bytes, 1, line.len, out);
    }
    strbuf_free(&line);
}
