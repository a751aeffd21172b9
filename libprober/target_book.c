#include "libprober/target_book.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

struct book_block {
    struct target_book book; /* first: a book is the start of its block */
    atomic_uint references;
};

static struct book_block *block_of(const struct target_book *book)
{
    return CONTAINER_OF((struct target_book *)(uintptr_t)book, struct book_block, book);
}

static int compare_pages(const void *x, const void *y)
{
    const struct target_page *a = x, *b = y;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return strcmp(a->source->id, b->source->id);
}

enum prober_error target_book_create(struct target_book **out, const struct target_page *pages,
                                     size_t count)
{
    struct book_block *b = calloc(1, sizeof(*b));

    if (!b)
        return PROBER_ERR_NOMEM;
    atomic_init(&b->references, 1);
    b->book.pages = calloc(count + 1, sizeof(*pages));
    if (!b->book.pages) {
        free(b);
        return PROBER_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        b->book.pages[i] = (struct target_page){
            .kind = pages[i].kind,
            .source = target_source_get(pages[i].source),
            .list = pages[i].list ? target_list_get(pages[i].list) : NULL,
        };
    b->book.count = count;
    qsort(b->book.pages, count, sizeof(*pages), compare_pages);
    *out = &b->book;
    return PROBER_OK;
}

const struct target_page *target_book_find(const struct target_book *book, enum probe_kind kind,
                                           const struct target_source *source)
{
    const struct target_page key = {.kind = kind,
                                    .source = (struct target_source *)(uintptr_t)source};

    if (!book)
        return NULL;
    return bsearch(&key, book->pages, book->count, sizeof(key), compare_pages);
}

struct target_book *target_book_get(const struct target_book *book)
{
    struct book_block *b = block_of(book);

    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return &b->book;
}

void target_book_put(struct target_book *book)
{
    struct book_block *b;

    if (!book)
        return;
    b = block_of(book);
    if (atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < book->count; i++) {
        target_source_put(book->pages[i].source);
        target_list_put(book->pages[i].list);
    }
    free(book->pages);
    free(b);
}

/* ---- a spec of more targets ---- */

struct extension {
    struct probe_spec *spec;
    size_t room; /* of its entries */
};

/* Adds a copy of `from` for a region, with room for so many targets, which is its own if it has
 * lists. NULL for lack of memory. */
static struct probe_entry *add_entry(struct extension *x, const struct probe_entry *from,
                                     const char *region, size_t targets)
{
    struct probe_entry *e;

    if (x->spec->count == x->room) {
        size_t room = x->room ? 2 * x->room : 16;
        struct probe_entry *entries = realloc(x->spec->entries, room * sizeof(*entries));

        if (!entries)
            return NULL;
        x->spec->entries = entries;
        x->room = room;
    }
    e = &x->spec->entries[x->spec->count];
    *e = *from;
    e->region = (char *)(uintptr_t)region;
    if (from->list_count) {
        e->target_count = 0;
        e->targets = calloc(targets + 1, sizeof(*e->targets));
        if (!e->targets)
            return NULL;
    }
    x->spec->count++;
    return e;
}

/* A listed target on its way into an entry. */
struct guest {
    const char *region; /* its own, or the entry's */
    bool confidential;  /* makes its entry confidential, which the others need not be for it */
    const char *text;
};

static int compare_places(const struct guest *a, const struct guest *b)
{
    int order = strcmp(a->region, b->region);

    return order ? order : (int)a->confidential - (int)b->confidential;
}

static int compare_guests(const void *x, const void *y)
{
    const struct guest *a = x, *b = y;
    int order = compare_places(a, b);

    return order ? order : strcmp(a->text, b->text);
}

/* Collects what the sources of an entry list, in order; *guests is malloc'd. */
static enum prober_error collect(const struct probe_entry *from, const struct target_book *book,
                                 struct guest **guests, size_t *count)
{
    size_t total = 0;

    *count = 0;
    for (size_t i = 0; i < from->list_count; i++) {
        const struct target_page *page = target_book_find(book, from->kind, from->lists[i]);

        total += page && page->list ? page->list->count : 0;
    }
    *guests = calloc(total + 1, sizeof(**guests));
    if (!*guests)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < from->list_count; i++) {
        const struct target_page *page = target_book_find(book, from->kind, from->lists[i]);

        for (size_t k = 0; page && page->list && k < page->list->count; k++) {
            const struct listed_target *t = &page->list->items[k];

            (*guests)[(*count)++] =
                (struct guest){t->region ? t->region : from->region,
                               probe_target_is_confidential(from->kind, t->text), t->text};
        }
    }
    qsort(*guests, total, sizeof(**guests), compare_guests);
    return PROBER_OK;
}

/* How many of guests[count] belong into the entry of the first one. */
static size_t count_together(const struct guest *guests, size_t count)
{
    size_t n = 0;

    while (n < count && compare_places(&guests[n], &guests[0]) == 0)
        n++;
    return n;
}

static void add_targets(struct probe_entry *e, const struct guest *guests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(guests[i].text, guests[i - 1].text) != 0)
            e->targets[e->target_count++] = (char *)(uintptr_t)guests[i].text;
}

/* The entry itself comes first, whether or not anything is listed for it. */
static enum prober_error add_with_lists(struct extension *x, const struct probe_entry *from,
                                        const struct target_book *book)
{
    struct guest *guests;
    size_t count, own = x->spec->count;
    enum prober_error err = collect(from, book, &guests, &count);
    struct probe_entry *e;

    if (err)
        return err;
    err = PROBER_ERR_NOMEM;
    e = add_entry(x, from, from->region, from->target_count + count);
    if (!e)
        goto out;
    for (size_t i = 0; i < from->target_count; i++)
        e->targets[e->target_count++] = from->targets[i];
    for (size_t i = 0, n; i < count; i += n) {
        n = count_together(guests + i, count - i);
        e = strcmp(guests[i].region, from->region) == 0 && !guests[i].confidential
                ? &x->spec->entries[own]
                : add_entry(x, from, guests[i].region, n);
        if (!e)
            goto out;
        add_targets(e, guests + i, n);
    }
    err = PROBER_OK;
out:
    free(guests);
    return err;
}

enum prober_error probe_spec_extend(struct probe_spec **out, const struct probe_spec *file,
                                    const struct target_book *book)
{
    struct extension x = {.spec = calloc(1, sizeof(*x.spec))};
    enum prober_error err = x.spec ? PROBER_OK : PROBER_ERR_NOMEM;

    for (size_t i = 0; !err && i < file->count; i++) {
        const struct probe_entry *from = &file->entries[i];

        if (from->list_count)
            err = add_with_lists(&x, from, book);
        else if (!add_entry(&x, from, from->region, 0))
            err = PROBER_ERR_NOMEM;
    }
    if (err)
        probe_spec_extended_free(x.spec);
    else
        *out = x.spec;
    return err;
}

void probe_spec_extended_free(struct probe_spec *spec)
{
    if (!spec)
        return;
    for (size_t i = 0; i < spec->count; i++)
        if (spec->entries[i].list_count)
            free(spec->entries[i].targets);
    free(spec->entries);
    free(spec);
}
