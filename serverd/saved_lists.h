/*
 * saved_lists - what URLs listed last, kept in the state directory over a restart.
 *
 * Purpose    A server that starts while a discovery endpoint is down goes on with what it knew. One
 *            file a list, readable to its owner alone, since targets may hold credentials.
 * Threads    Functions of the file system; the caller sees to it that one thread at a time writes.
 */
#ifndef SERVERD_SAVED_LISTS_H
#define SERVERD_SAVED_LISTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "libprober/target_book.h"

/* Keeps the list of a source. Errors: as file_replace, with a sentence in *why. */
enum prober_error saved_lists_write(const char *state_dir, enum probe_kind kind,
                                    const struct target_source *source,
                                    const struct target_list *list, struct prober_failure *why);
/* The list that was kept, with one reference, and when (wall clock, Unix ns). Errors:
 * PROBER_ERR_NOT_FOUND; others with a sentence in *why. */
enum prober_error saved_lists_read(const char *state_dir, enum probe_kind kind,
                                   const struct target_source *source, struct target_list **out,
                                   uint64_t *saved_real_ns, struct prober_failure *why);
/* Removes what is kept of sources that are not among pages[count]. */
void saved_lists_prune(const char *state_dir, const struct target_page *pages, size_t count);

#endif
