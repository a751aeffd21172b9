/*
 * utf8 - text that comes from outside: is it UTF-8, and is it safe to show.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/strbuf.h"

/* Reads one character (RFC 3629: no surrogates, no overlong forms) from bytes[len] into *rune and
 * returns its length, 1 to 4; 0 when there is none. */
size_t utf8_decode(const char *bytes, size_t len, uint32_t *rune);
/* True when bytes[len] is UTF-8 throughout; NUL bytes are characters. */
bool utf8_is_valid(const char *bytes, size_t len);
/* False for what can forge a line or turn a terminal's text around: control characters (C0, DEL,
 * C1), line and paragraph separators, and bidirectional formatting. */
bool utf8_is_shown_safely(uint32_t rune);
/* Appends bytes[len] with everything unsafe or invalid escaped (\n, \r, \t, \xNN for single
 * bytes, \uNNNN) and nothing else changed. */
void utf8_put_escaped(struct strbuf *out, const char *bytes, size_t len);

#endif
