/*
 * problems - all that is wrong with a configuration, each thing with its place.
 *
 * Purpose    A parser of configuration reports every fault it finds and goes on, so a person mends
 *            them all at once. A line reads "file:line:key: message".
 * Threads    One thread at a time.
 * Ownership  The list owns its texts.
 */
#ifndef COMMON_PROBLEMS_H
#define COMMON_PROBLEMS_H

#include <stddef.h>

#include "common/error.h"

#define PROBLEMS_MAX 200 /* further ones are counted, not kept */

struct problems;

enum prober_error problems_create(struct problems **out);
/* Adds a problem. `file` and `key` may be NULL, `line` 0: what is unknown is left out. */
void problems_add(struct problems *p, const char *file, int line, const char *key,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
size_t problems_count(const struct problems *p);
/* The text of problem i (< problems_count, < PROBLEMS_MAX); valid until the list is destroyed. */
const char *problems_text(const struct problems *p, size_t i);
/* Fills *why with the first problem, and how many more there are; PROBER_ERR_SYNTAX, or PROBER_OK
 * when there is none. */
enum prober_error problems_failure(const struct problems *p, struct prober_failure *why);
void problems_destroy(struct problems *p);

#endif
