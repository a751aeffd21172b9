#include "serverd/target_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX 200

/* ---- life ---- */

struct target_item *target_item_get(struct target_item *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void target_item_put(struct target_item *list)
{
    if (!list || atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1)
        return;
    target_files_destroy(list->files);
    target_fetch_destroy(list->fetch);
    target_list_put(list->current);
    target_source_put(list->source);
    free(list->watches);
    free(list);
}

static struct target_item *item_create(enum probe_kind kind, const struct target_source *source)
{
    struct target_item *list = calloc(1, sizeof(*list));

    if (!list)
        return NULL;
    atomic_init(&list->references, 1);
    list->kind = kind;
    list->source = target_source_get(source);
    list->watches = calloc(source->file_count + 1, sizeof(*list->watches));
    for (size_t i = 0; list->watches && i < source->file_count; i++)
        list->watches[i] = -1;
    if (!list->watches ||
        (source->kind == TARGET_SOURCE_FILES && target_files_create(&list->files, kind, source))) {
        target_item_put(list);
        return NULL;
    }
    return list;
}

void target_set_put(struct target_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++) {
        target_item_put(set->slots[i].list);
        free(set->slots[i].label);
    }
    probe_spec_destroy(set->spec);
    free(set->slots);
    free(set);
}

struct target_set *target_set_get(struct target_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

/* ---- looking ---- */

struct target_slot *target_set_find(const struct target_set *set, enum probe_kind kind,
                                    const struct target_source *source)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (set->slots[i].list->kind == kind &&
            strcmp(set->slots[i].list->source->id, source->id) == 0)
            return &set->slots[i];
    return NULL;
}

struct target_page *target_set_pages(const struct target_set *set)
{
    struct target_page *pages = calloc(set->count + 1, sizeof(*pages));

    for (size_t i = 0; pages && i < set->count; i++) {
        const struct target_item *list = set->slots[i].list;

        pages[i] = (struct target_page){list->kind, list->source, NULL};
        pages[i].list = list->current ? target_list_get(list->current) : NULL;
    }
    return pages;
}

void target_set_free_pages(const struct target_set *set, struct target_page *pages)
{
    for (size_t i = 0; pages && i < set->count; i++)
        target_list_put(pages[i].list);
    free(pages);
}

size_t target_set_total(const struct target_set *set, const struct target_page *pages)
{
    size_t sum = 0;

    for (size_t i = 0; set->spec && i < set->spec->count; i++)
        sum += set->spec->entries[i].target_count;
    for (size_t i = 0; i < set->count; i++)
        sum += pages[i].list ? set->slots[i].uses * pages[i].list->count : 0;
    return sum;
}

/* ---- making ---- */

static size_t count_lists(const struct probe_spec *spec)
{
    size_t count = 0;

    for (size_t i = 0; spec && i < spec->count; i++)
        count += spec->entries[i].list_count;
    return count;
}

/* A label that no list of its kind has before this one. */
static char *make_label(const struct target_set *set, const struct target_item *list)
{
    const char *shown = list->source->shown;
    size_t same = 0, len = strnlen(shown, LABEL_MAX);
    char label[LABEL_MAX + 32];

    while (len == LABEL_MAX && ((unsigned char)shown[len] & 0xc0) == 0x80)
        len--; /* not within a rune */

    for (size_t i = 0; i < set->count; i++)
        same += set->slots[i].list->kind == list->kind &&
                strncmp(set->slots[i].list->source->shown, shown, LABEL_MAX) == 0;
    snprintf(label, sizeof(label), "%.*s", (int)len, shown);
    if (same)
        snprintf(label + len, sizeof(label) - len, "#%zu", same + 1);
    return strdup(label);
}

static enum prober_error add_slot(struct target_set *set, const struct target_set *old,
                                  enum probe_kind kind, const struct target_source *source)
{
    struct target_slot *slot = target_set_find(set, kind, source),
                       *before = target_set_find(old, kind, source);
    struct target_item *list;

    if (slot) {
        slot->uses++;
        if (source->refresh_ns < slot->refresh_ns)
            slot->refresh_ns = source->refresh_ns;
        return PROBER_OK;
    }
    list = before ? target_item_get(before->list) : item_create(kind, source);
    if (!list)
        return PROBER_ERR_NOMEM;
    slot = &set->slots[set->count];
    slot->label = make_label(set, list);
    slot->list = list;
    slot->refresh_ns = source->refresh_ns;
    slot->uses = 1;
    set->count++;
    return slot->label ? PROBER_OK : PROBER_ERR_NOMEM;
}

enum prober_error target_set_create(struct target_set **out, const struct target_set *old,
                                    struct probe_spec *spec, const struct plan_config *plan)
{
    struct target_set *set = calloc(1, sizeof(*set));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!set)
        return err;
    atomic_init(&set->references, 1);
    set->slots = calloc(count_lists(spec) + 1, sizeof(*set->slots));
    if (!set->slots)
        goto out;
    err = PROBER_OK;
    set->plan = *plan;
    set->spec = spec ? probe_spec_get(spec) : NULL;
    for (size_t i = 0; spec && i < spec->count; i++) {
        const struct probe_entry *entry = &spec->entries[i];

        for (size_t k = 0; !err && k < entry->list_count; k++)
            err = add_slot(set, old, entry->kind, entry->lists[k]);
    }
    if (err)
        goto out;
    *out = set;
    set = NULL;
out:
    target_set_put(set);
    return err;
}
