/*
 * target_files - the files of a source: found by their patterns, and read when they changed.
 *
 * Purpose    Knows for each file what it listed last, so that a file that has become bad goes on
 *            listing that. A file that a pattern with * no longer finds lists nothing; one that is
 *            named outright, or whose directory cannot be read, is missing: that is a fault.
 * Threads    One thread at a time.
 * Ownership  Holds the source.
 */
#ifndef SERVERD_TARGET_FILES_H
#define SERVERD_TARGET_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/problems.h"
#include "libprober/target_list.h"
#include "libprober/target_source.h"

#define TARGET_FILES_MAX 1000 /* of a source */

struct target_files;

/* For entries of this kind. Nothing is read yet. Errors: PROBER_ERR_NOMEM. */
enum prober_error target_files_create(struct target_files **out, enum probe_kind kind,
                                      const struct target_source *source);
/* Looks for the files and reads those that changed; now_real_ns: the wall clock. Every fault is
 * added to `problems`, and what its file listed before stays. Errors: PROBER_ERR_NOMEM. */
enum prober_error target_files_scan(struct target_files *f, uint64_t now_real_ns,
                                    struct problems *problems);
/* What the files list, all together, with one reference.
 * Errors: PROBER_ERR_RANGE when they list more than a list may hold; PROBER_ERR_NOMEM. */
enum prober_error target_files_list(const struct target_files *f, struct target_list **out);
/* Adds what is wrong with those files of a source that are there to `problems`.
 * Errors: PROBER_ERR_SYNTAX, with at least one problem; PROBER_ERR_NOMEM. */
enum prober_error target_files_check(enum probe_kind kind, const struct target_source *source,
                                     struct problems *problems);
/* The directory of the i-th pattern of the source, malloc'd, for those who watch; NULL for lack of
 * memory. */
char *target_files_dir(const struct target_files *f, size_t i);
/* NULL is fine. */
void target_files_destroy(struct target_files *f);

#endif
