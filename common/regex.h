/*
 * regex - regular expressions that cannot hang (adapter of RE2).
 *
 * Purpose    The syntax and meaning of Go's regexp, as users of Prometheus know them: a match
 *            anywhere in the text, `.` without newline, `^` and `$` at the ends of the text alone
 *            unless (?m), \d \w \s \b of ASCII, text read as UTF-8 by character. Matching takes
 *            time linear in the text. No look-around, no backreferences.
 * Threads    A regex may be used by many threads at once.
 * Ownership  A regex owns all it needs, not the pattern's text. A regex_subject borrows its bytes.
 */
#ifndef COMMON_REGEX_H
#define COMMON_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define REGEX_PATTERN_MAX 65536    /* bytes of a pattern */
#define REGEX_MEMORY_MAX (8 << 20) /* bytes that one regex may take, compiled and at work */

struct regex;

/* A text to match regexes against. Read only. */
struct regex_subject {
    const char *bytes; /* [len], UTF-8 */
    size_t len;
    char *copy; /* owned; NULL where the caller's own bytes serve */
};

/* Compiles `pattern` (UTF-8). Errors: PROBER_ERR_SYNTAX, or PROBER_ERR_RANGE when it is or becomes
 * too large, with the reason in *why (may be NULL); PROBER_ERR_NOMEM. *out is untouched then. */
enum prober_error regex_create(struct regex **out, const char *pattern, struct prober_failure *why);

/* Makes bytes[len], any bytes, ready for matching: each one that is not part of UTF-8 acts as
 * U+FFFD. Keep the bytes until regex_subject_free. Done once for any number of regexes. Errors:
 * PROBER_ERR_NOMEM, with an empty subject that may be freed. */
enum prober_error regex_subject_init(struct regex_subject *s, const char *bytes, size_t len);

/* True when `r` matches anywhere in `s`. */
bool regex_matches(const struct regex *r, const struct regex_subject *s);

void regex_subject_free(struct regex_subject *s);
/* NULL is fine. */
void regex_destroy(struct regex *r);

#endif
