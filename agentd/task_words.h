/*
 * task_words - a command line as words, without any shell.
 *
 * Purpose    Words stand between blanks (space, tab). 'Single' or "double" quotes, of a whole word
 *            or a part of one, keep blanks and other characters in it; nothing escapes.
 *            Outside quotes, every character that a shell would act on is refused, not taken
 *            literally: who writes `ping a; reboot` is told so, and nothing runs. Nothing is ever
 *            expanded.
 * Threads    Pure function; any thread.
 */
#ifndef AGENTD_TASK_WORDS_H
#define AGENTD_TASK_WORDS_H

#include <stddef.h>

#include "common/error.h"

#define TASK_LINE_MAX 4096
#define TASK_WORDS_MAX 64

struct task_words {
    size_t count;
    const char *items[TASK_WORDS_MAX]; /* into `room`: the struct is not to be copied */
    char room[TASK_LINE_MAX + 1];
};

/* Splits line[len]: printable ASCII and tabs, blanks at either end are fine.
 * Errors: PROBER_ERR_SYNTAX (nothing there, a quote that does not end, a character that has no
 * place in a command, NUL among them), PROBER_ERR_RANGE (too long, too many words); with a sentence
 * in *why, and *out undefined. */
enum prober_error task_words_split(struct task_words *out, const char *line, size_t len,
                                   struct prober_failure *why);

#endif
