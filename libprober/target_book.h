/*
 * target_book - the lists of all sources at one moment, and the probe file with them.
 *
 * Purpose    A probe file whose entries have sources is a spec of more targets once a book says what
 *            the sources list.
 * Threads    A book is immutable once made, read by many.
 * Ownership  Reference-counted; a book holds its lists and sources.
 */
#ifndef LIBPROBER_TARGET_BOOK_H
#define LIBPROBER_TARGET_BOOK_H

#include <stddef.h>

#include "common/error.h"
#include "libprober/spec.h"
#include "libprober/target_list.h"
#include "libprober/target_source.h"

/* A source and what it lists for entries of a kind. */
struct target_page {
    enum probe_kind kind;
    struct target_source *source; /* a reference */
    struct target_list *list;     /* a reference; NULL: never loaded */
};

struct target_book {
    struct target_page *pages; /* [count], by kind and the source's id */
    size_t count;
};

/* Makes a book of pages[count], in any order, none twice; takes references of its own.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error target_book_create(struct target_book **out, const struct target_page *pages,
                                     size_t count);
/* The page of a source, or NULL. */
const struct target_page *target_book_find(const struct target_book *book, enum probe_kind kind,
                                           const struct target_source *source);
struct target_book *target_book_get(const struct target_book *book);
/* NULL is fine. */
void target_book_put(struct target_book *book);

/* Makes the spec of `file` with the targets of the book (NULL: none): behind those of each entry come
 * those that its sources list for its region, and behind the entry one more for each other region
 * that they name, and for what they list that makes an entry confidential. Borrows from both: only probe_spec_extended_free may free it, before them.
 * Errors: PROBER_ERR_NOMEM. */
enum prober_error probe_spec_extend(struct probe_spec **out, const struct probe_spec *file,
                                    const struct target_book *book);
/* NULL is fine. */
void probe_spec_extended_free(struct probe_spec *spec);

#endif
