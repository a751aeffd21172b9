/*
 * target_lists - keeps the lists of targets that the probe file names fresh.
 *
 * Purpose    Reads files when they change and asks URLs at their intervals, and hands a book of all
 *            lists to those who plan. A list that cannot be read, or is not what it should be, stays
 *            as it last was: that is logged when it begins and when it ends, and counted. What a URL
 *            listed last survives a restart in the state directory. All lists together with the
 *            probe file hold PROBE_SPEC_TARGETS_MAX targets at most, and no more than can be sent.
 * Threads    One of its own does the reading; publish is called on it, check on any. target_lists_begin and _end
 *            belong to who reloads, one at a time; target_lists_write_metrics any thread.
 * Ownership  Holds sources and lists.
 */
#ifndef SERVERD_TARGET_LISTS_H
#define SERVERD_TARGET_LISTS_H

#include <stdbool.h>

#include "common/error.h"
#include "common/metrics.h"
#include "libprober/spec.h"
#include "libprober/target_book.h"
#include "serverd/plan.h"

struct target_lists;

struct target_lists_config {
    const char *state_dir; /* borrowed while lists are made; NULL: nothing survives a restart */
    /* Takes over the caller's reference, but on an error, after which it is called again. */
    enum prober_error (*publish)(void *context, struct target_book *book);
    /* Says what forbids this spec, which lists have a part in, in `problems`; NULL: nothing does. */
    enum prober_error (*check)(void *context, const struct probe_spec *spec,
                               const struct plan_config *plan, struct problems *problems);
    void *context;
};

/* Errors: PROBER_ERR_NOMEM, PROBER_ERR_IO. */
enum prober_error target_lists_create(struct target_lists **out,
                                      const struct target_lists_config *config);
/* Prepares for another probe file (NULL: none) and how it is planned: lists whose source stays go on, files of new ones
 * are read now, and *book is what there is, with a reference. Nothing is published until
 * target_lists_end, which must follow. Errors: PROBER_ERR_NOMEM; nothing has begun then. */
enum prober_error target_lists_begin(struct target_lists *lists, struct probe_spec *spec,
                                     const struct plan_config *plan, struct target_book **book);
/* The other probe file is in force, or all stays as it was. */
void target_lists_end(struct target_lists *lists, bool in_force);
/* Starts refreshing. Errors: PROBER_ERR_IO. */
enum prober_error target_lists_start(struct target_lists *lists);
void target_lists_write_metrics(struct target_lists *lists, struct metrics_writer *w);
/* Ends the thread; nothing is published any more. NULL is fine. */
void target_lists_stop(struct target_lists *lists);
/* Stops, and frees. NULL is fine. */
void target_lists_destroy(struct target_lists *lists);

#endif
