/*
 * target_list - the targets that a source lists.
 *
 * Purpose    Reads the documents of Prometheus's file and HTTP discovery: a list of groups, each with
 *            targets and labels. The label "region" of a group takes the place of the entry's region
 *            for its targets; other labels are taken and not used. A document is taken whole or not
 *            at all.
 * Threads    Lists are immutable once made, read by many.
 * Ownership  Reference-counted; a list owns its texts.
 */
#ifndef LIBPROBER_TARGET_LIST_H
#define LIBPROBER_TARGET_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/problems.h"
#include "common/strbuf.h"
#include "libprober/spec.h"

#define TARGET_LIST_BYTES_MAX (10u << 20) /* of a document */
#define TARGET_LIST_VALUES_MAX (1u << 21) /* in a document in JSON */
#define TARGET_LIST_REGIONS_MAX 1000      /* that differ, in a list */

struct listed_target {
    const char *region; /* NULL: that of the entry */
    const char *text;
};

struct target_list {
    struct listed_target *items; /* [count], at most PROBE_SPEC_TARGETS_MAX: without a region first,
                                    then by region and text; each once */
    size_t count;
};

enum target_format { TARGET_FORMAT_JSON, TARGET_FORMAT_YAML };

/* Reads text[len], called `name` in messages, for entries of this kind. Every fault is added to
 * `problems` with its place. Errors: PROBER_ERR_SYNTAX, PROBER_ERR_RANGE, with at least one problem;
 * PROBER_ERR_NOMEM. *out is untouched then. */
enum prober_error target_list_read(struct target_list **out, enum probe_kind kind,
                                   enum target_format format, const char *name, const char *text,
                                   size_t len, struct problems *problems);
/* The targets of lists[count], of which any may be NULL. Errors: PROBER_ERR_RANGE when they are more
 * than a list may hold, PROBER_ERR_NOMEM. */
enum prober_error target_list_merge(struct target_list **out,
                                    const struct target_list *const *lists, size_t count);
/* NULL is a list like none but NULL. */
bool target_list_equal(const struct target_list *a, const struct target_list *b);
/* Appends the list as a document in JSON, hardly longer than any that it was read from. */
void target_list_write(struct strbuf *out, const struct target_list *list);
struct target_list *target_list_get(const struct target_list *list);
/* NULL is fine. */
void target_list_put(struct target_list *list);

#endif
