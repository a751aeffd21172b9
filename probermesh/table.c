#include "probermesh/table.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/utf8.h"

#define COLUMN_GAP 2

struct cell {
    char *text;
    size_t width;
    enum table_colour colour;
};

struct table {
    size_t columns;
    size_t left;
    struct cell *cells; /* [count], row by row */
    size_t count, room;
    bool failed;
};

static const char *const escapes[] = {
    [TABLE_PLAIN] = "",         [TABLE_BOLD] = "\033[1m",    [TABLE_DIM] = "\033[2m",
    [TABLE_GREEN] = "\033[32m", [TABLE_YELLOW] = "\033[33m", [TABLE_ORANGE] = "\033[38;5;208m",
    [TABLE_RED] = "\033[1;31m",
};

size_t table_text_width(const char *text)
{
    mbstate_t state = {0};
    size_t width = 0;

    while (*text) {
        wchar_t c;
        size_t len = mbrtowc(&c, text, strlen(text), &state);
        int columns = 1;

        if (len == (size_t)-1 || len == (size_t)-2) {
            state = (mbstate_t){0};
            len = 1;
        } else {
            columns = wcwidth(c);
        }
        width += columns > 0 ? (size_t)columns : 0;
        text += len;
    }
    return width;
}

enum prober_error table_create(struct table **out, size_t columns, size_t left)
{
    struct table *t = calloc(1, sizeof(*t));

    if (!t)
        return PROBER_ERR_NOMEM;
    t->columns = columns;
    t->left = left;
    *out = t;
    return PROBER_OK;
}

static bool grow(struct table *t)
{
    size_t room = t->room ? t->room * 2 : 64;
    struct cell *cells;

    if (t->count < t->room)
        return true;
    cells = realloc(t->cells, room * sizeof(*cells));
    if (!cells)
        return false;
    t->cells = cells;
    t->room = room;
    return true;
}

/* A copy with a question mark for each character that could command the terminal. */
static char *printable(const char *text)
{
    struct strbuf out = STRBUF_INIT;
    size_t len = strlen(text);

    while (len > 0) {
        uint32_t rune;
        size_t used = utf8_decode(text, len, &rune);

        if (used > 0 && utf8_is_shown_safely(rune))
            strbuf_put(&out, text, used);
        else
            strbuf_putc(&out, '?');
        text += used ? used : 1;
        len -= used ? used : 1;
    }
    return strbuf_take(&out, NULL);
}

void table_add(struct table *t, const char *text, enum table_colour colour)
{
    struct cell cell = {.text = printable(text), .colour = colour};

    if (!cell.text || !grow(t)) {
        free(cell.text);
        t->failed = true;
        return;
    }
    cell.width = table_text_width(cell.text);
    t->cells[t->count++] = cell;
}

static void put_blanks(struct strbuf *out, size_t count)
{
    while (count-- > 0)
        strbuf_putc(out, ' ');
}

void table_put_dyed(struct strbuf *out, const char *text, enum table_colour colour)
{
    strbuf_puts(out, escapes[colour]);
    strbuf_puts(out, text);
    strbuf_puts(out, "\033[0m");
}

static void put_cell(struct strbuf *out, const struct cell *cell, size_t width, bool left, bool last,
                     bool colour)
{
    bool dyed = colour && cell->colour != TABLE_PLAIN;

    if (!left)
        put_blanks(out, width - cell->width);
    if (dyed)
        table_put_dyed(out, cell->text, cell->colour);
    else
        strbuf_puts(out, cell->text);
    if (left && !last)
        put_blanks(out, width - cell->width);
    if (!last)
        put_blanks(out, COLUMN_GAP);
}

/* Prints column 0 and the columns from..to-1 of every row. */
static void print_block(const struct table *t, const size_t *widths, size_t from, size_t to, bool colour,
                        struct strbuf *out)
{
    for (size_t row = 0; row + t->columns <= t->count; row += t->columns) {
        put_cell(out, &t->cells[row], widths[0], t->left > 0, to <= from, colour);
        for (size_t i = from; i < to; i++)
            put_cell(out, &t->cells[row + i], widths[i], i < t->left, i + 1 == to, colour);
        strbuf_putc(out, '\n');
    }
}

bool table_print(const struct table *t, size_t width, bool colour, struct strbuf *out)
{
    size_t *widths = calloc(t->columns, sizeof(*widths));
    size_t from = 1;

    if (!widths || t->failed) {
        free(widths);
        return false;
    }
    for (size_t i = 0; i < t->count; i++)
        if (t->cells[i].width > widths[i % t->columns])
            widths[i % t->columns] = t->cells[i].width;
    do {
        size_t to = from, taken = widths[0];

        while (to < t->columns &&
               (!width || to == from || taken + COLUMN_GAP + widths[to] <= width))
            taken += COLUMN_GAP + widths[to++];
        print_block(t, widths, from, to, colour, out);
        from = to;
        if (from < t->columns)
            strbuf_putc(out, '\n');
    } while (from < t->columns);
    free(widths);
    return strbuf_ok(out);
}

void table_destroy(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
}
