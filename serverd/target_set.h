/*
 * target_set - the lists of a probe file, and what is known of each; private to target_lists*.c.
 *
 * Purpose    A reload makes a new set. A list whose source stays is in both: it goes on.
 * Threads    A set is immutable. A list says of each member whose it is.
 * Ownership  Reference-counted, both.
 */
#ifndef SERVERD_TARGET_SET_H
#define SERVERD_TARGET_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "libprober/spec.h"
#include "libprober/target_book.h"
#include "serverd/plan.h"
#include "serverd/target_fetch.h"
#include "serverd/target_files.h"

/* What a source lists for entries of a kind. It goes on through reloads. */
struct target_item {
    atomic_uint references;
    enum probe_kind kind;
    struct target_source *source; /* a reference */

    /* the worker's; before the list is in force, its maker's */
    struct target_files *files;      /* of TARGET_SOURCE_FILES */
    int *watches;                    /* [source->file_count], of inotify; -1: none */
    struct target_fetch *fetch;      /* under way; NULL: none */
    struct target_item *next_active; /* of those with a fetch */
    uint64_t due_ns;                 /* monotonic; UINT64_MAX while a fetch is under way */

    /* guarded by the lock of target_lists */
    struct target_list *current; /* a reference; NULL: never loaded */
    bool failing;
    bool left_out; /* of the last book, for lack of room */
    uint64_t refreshes, failures;
    uint64_t success_real_ns; /* 0: never */
};

/* A list in the probe file that is in force. */
struct target_slot {
    struct target_item *list; /* a reference */
    char *label;              /* tells it from the other lists of its kind */
    uint64_t refresh_ns;
    size_t uses; /* entries that name it */
};

/* All lists of a probe file; immutable. */
struct target_set {
    atomic_uint references;
    struct target_slot *slots; /* [count] */
    size_t count;
    struct probe_spec *spec; /* a reference; NULL: no file */
    struct plan_config plan;
};

/* Makes the set of a probe file (NULL: none), with the lists of `old` (which may be NULL) that it
 * names too. Errors: PROBER_ERR_NOMEM. */
enum prober_error target_set_create(struct target_set **out, const struct target_set *old,
                                    struct probe_spec *spec, const struct plan_config *plan);
/* The slot of a source, or NULL. `set` may be NULL. */
struct target_slot *target_set_find(const struct target_set *set, enum probe_kind kind,
                                    const struct target_source *source);
/* What a book of the set holds, [set->count], in the order of the slots, with references to the
 * lists. NULL for lack of memory; with the lock. */
struct target_page *target_set_pages(const struct target_set *set);
/* NULL is fine. */
void target_set_free_pages(const struct target_set *set, struct target_page *pages);
/* What the pages [set->count] list, each list as often as it is used, and the file's targets. */
size_t target_set_total(const struct target_set *set, const struct target_page *pages);

struct target_set *target_set_get(struct target_set *set);
struct target_item *target_item_get(struct target_item *list);
/* NULL is fine. */
void target_set_put(struct target_set *set);
void target_item_put(struct target_item *list);

#endif
