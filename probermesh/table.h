/*
 * table - text in columns that line up on a terminal, also with wide characters.
 *
 * Threads    One thread at a time.
 * Ownership  A table owns copies of its texts.
 */
#ifndef PROBERMESH_TABLE_H
#define PROBERMESH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"

struct table;

enum table_colour { TABLE_PLAIN, TABLE_BOLD, TABLE_DIM, TABLE_GREEN, TABLE_YELLOW, TABLE_ORANGE, TABLE_RED };

/* An empty table of `columns` columns; the first `left` of them are aligned to the left, the others
 * to the right. Errors: PROBER_ERR_NOMEM. */
enum prober_error table_create(struct table **out, size_t columns, size_t left);
/* Adds a cell, row by row. Characters that could command a terminal are shown as '?', as are invalid bytes. */
void table_add(struct table *t, const char *text, enum table_colour colour);
/* Prints the rows into *out; lines wider than `width` columns (0: no limit) are split into blocks
 * that repeat the first column. With `colour`, by ANSI escapes. False for lack of memory. */
bool table_print(const struct table *t, size_t width, bool colour, struct strbuf *out);
void table_destroy(struct table *t);

/* Appends the text as it is, in a colour. */
void table_put_dyed(struct strbuf *out, const char *text, enum table_colour colour);
/* How many columns of a terminal the UTF-8 text takes; an invalid byte counts as one. Needs the
 * LC_CTYPE locale to be a UTF-8 one. */
size_t table_text_width(const char *text);

#endif
