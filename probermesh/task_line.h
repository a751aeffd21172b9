/*
 * task_line - words as the one line that an agent reads.
 *
 * Purpose    Words that a shell took apart are put together again so that the agent
 *            (docs/tasks.md), and a shell of the policy `shell`, find the same words in the line.
 * Threads    Pure function; any thread.
 */
#ifndef PROBERMESH_TASK_LINE_H
#define PROBERMESH_TASK_LINE_H

#include <stddef.h>

#include "common/strbuf.h"

/* Appends words[count], quoted where that is needed and separated by blanks. */
void task_line_put(struct strbuf *out, char *const *words, size_t count);

#endif
