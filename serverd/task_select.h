/*
 * task_select - which regions a task is for.
 *
 * Purpose    The operators of the original, on the name of a region: `=` and `!=` compare the whole
 *            of it, `=~` and `!~` match a regular expression (common/regex.h) anywhere in it.
 * Threads    Pure functions; a selection may be used by many threads at once.
 * Ownership  A selection owns all it needs.
 */
#ifndef SERVERD_TASK_SELECT_H
#define SERVERD_TASK_SELECT_H

#include <stdbool.h>

#include "common/error.h"

#define TASK_SELECT_MAX 1024 /* bytes of the region or pattern */

struct task_select;

/* Errors: PROBER_ERR_SYNTAX (no such operator, not UTF-8, empty, no regular expression), _RANGE (too
 * long, too large), _NOMEM, with a sentence in *why and *out untouched. */
enum prober_error task_select_create(struct task_select **out, const char *region, const char *expr,
                                     struct prober_failure *why);
/* True for a region that the task is for. False without memory to tell: *failed is set then. */
bool task_select_has(const struct task_select *select, const char *region, bool *failed);
void task_select_destroy(struct task_select *select); /* NULL is fine */

#endif
