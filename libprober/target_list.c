#include "libprober/target_list.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/array.h"
#include "common/json.h"
#include "common/yaml.h"

#define ARENA_FIRST 4096
#define ARENA_MAX (64u << 20)
#define KEY_MAX 64

/* The list that is handed out, its texts, and how often it is held. */
struct list_block {
    struct target_list list; /* first: a list is the start of its block */
    struct arena *memory;
    size_t room; /* of list.items */
    atomic_uint references;
};

static struct list_block *block_of(const struct target_list *list)
{
    return CONTAINER_OF((struct target_list *)(uintptr_t)list, struct list_block, list);
}

static struct list_block *create_block(void)
{
    struct list_block *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    atomic_init(&b->references, 1);
    b->memory = arena_create(ARENA_FIRST, ARENA_MAX);
    if (!b->memory) {
        target_list_put(&b->list);
        return NULL;
    }
    return b;
}

static const char *keep(struct list_block *b, const char *text)
{
    size_t room = strlen(text) + 1;
    char *copy = arena_alloc(b->memory, room);

    return copy ? memcpy(copy, text, room) : NULL;
}

static bool append(struct list_block *b, const char *region, const char *text)
{
    if (b->list.count == b->room) {
        size_t room = b->room ? 2 * b->room : 16;
        struct listed_target *items = realloc(b->list.items, room * sizeof(*items));

        if (!items)
            return false;
        b->list.items = items;
        b->room = room;
    }
    b->list.items[b->list.count++] = (struct listed_target){region, text};
    return text != NULL;
}

static int compare_regions(const char *a, const char *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    return strcmp(a, b);
}

static int compare_items(const void *x, const void *y)
{
    const struct listed_target *a = x, *b = y;
    int order = compare_regions(a->region, b->region);

    return order ? order : strcmp(a->text, b->text);
}

/* Sorts, and keeps each once. */
static void settle(struct target_list *list)
{
    size_t kept = 0;

    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), compare_items);
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || compare_items(&list->items[i], &list->items[kept - 1]) != 0)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

static size_t count_regions(const struct target_list *list)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        count += i == 0 || compare_regions(list->items[i].region, list->items[i - 1].region) != 0;
    return count;
}

/* ---- values of either language ---- */

/* A value of a document: one of the two is not NULL. */
struct value {
    const struct yaml_node *yaml;
    const struct json *json;
};

enum shape { NOTHING, TEXT, LIST, MAPPING, OTHER };

static enum shape shape_of(const struct value *v)
{
    if (v->json)
        return json_is_null(v->json)     ? NOTHING
               : json_string(v->json)    ? TEXT
               : json_is_array(v->json)  ? LIST
               : json_is_object(v->json) ? MAPPING
                                         : OTHER;
    if (yaml_kind(v->yaml) == YAML_SCALAR)
        return yaml_is_null(v->yaml) ? NOTHING : TEXT;
    return yaml_kind(v->yaml) == YAML_SEQUENCE ? LIST : MAPPING;
}

static const char *text_of(const struct value *v, size_t *len)
{
    const char *text = v->json ? json_string(v->json) : yaml_text(v->yaml);

    *len = v->json ? strlen(text) : yaml_len(v->yaml);
    return text;
}

/* A walk over the elements of a list, or the values of a mapping. */
struct walk {
    struct value in;
    size_t next; /* number of the next one */
    const struct json *next_json;
};

static struct walk walk_over(const struct value *v)
{
    return (struct walk){.in = *v, .next_json = v->json ? json_first(v->json) : NULL};
}

/* The next value, and its key in a mapping; false at the end. */
static bool step(struct walk *w, struct value *out, const char **key)
{
    size_t i = w->next++;

    *key = "";
    if (w->in.json) {
        *out = (struct value){.json = w->next_json};
        if (!w->next_json)
            return false;
        *key = json_name(w->next_json) ? json_name(w->next_json) : "";
        w->next_json = json_next(w->next_json);
        return true;
    }
    if (i >= yaml_count(w->in.yaml))
        return false;
    if (yaml_kind(w->in.yaml) == YAML_MAPPING) {
        *key = yaml_text(yaml_key(w->in.yaml, i));
        *out = (struct value){.yaml = yaml_value(w->in.yaml, i)};
    } else {
        *out = (struct value){.yaml = yaml_item(w->in.yaml, i)};
    }
    return true;
}

/* ---- reading a document ---- */

struct reader {
    struct list_block *block;
    enum probe_kind kind;
    const char *name;
    struct problems *problems;
    size_t targets; /* seen */
    bool gave_up;   /* for lack of memory, or over a bound, which is told */
};

static void complain(struct reader *r, const struct value *at, const char *key, const char *fault,
                     const char *quoted)
{
    int line = at->yaml ? yaml_line(at->yaml) : 0;

    if (quoted && !strchr(quoted, '@')) /* it might be a password */
        problems_add(r->problems, r->name, line, key, "%s: '%.100s'", fault, quoted);
    else
        problems_add(r->problems, r->name, line, key, "%s", fault);
}

static void read_target(struct reader *r, const struct value *v, const char *key)
{
    const char *text, *fault;
    size_t len;

    if (shape_of(v) != TEXT) {
        complain(r, v, key, "a target must be a text", NULL);
        return;
    }
    text = text_of(v, &len);
    fault = probe_target_fault(r->kind, text, len);
    if (fault)
        complain(r, v, key, fault, text);
    else if (!append(r->block, NULL, keep(r->block, text)))
        r->gave_up = true;
}

static void read_targets(struct reader *r, const struct value *v, size_t group)
{
    struct walk w = walk_over(v);
    struct value item;
    const char *name;
    char key[KEY_MAX];

    if (shape_of(v) != LIST) {
        snprintf(key, sizeof(key), "[%zu].targets", group);
        complain(r, v, key, "expected a list of targets", NULL);
        return;
    }
    while (!r->gave_up && step(&w, &item, &name)) {
        snprintf(key, sizeof(key), "[%zu].targets[%zu]", group, w.next - 1);
        if (++r->targets > PROBE_SPEC_TARGETS_MAX) {
            complain(r, &item, key, "more than 200000 targets", NULL);
            r->gave_up = true;
            return;
        }
        read_target(r, &item, key);
    }
}

/* Stores the region that the labels name in *region, if they do. */
static void read_labels(struct reader *r, const struct value *v, size_t group, const char **region)
{
    struct walk w = walk_over(v);
    struct value item;
    const char *name;
    char key[KEY_MAX + 128];

    snprintf(key, sizeof(key), "[%zu].labels", group);
    if (shape_of(v) != MAPPING)
        complain(r, v, key, "expected a mapping of labels", NULL);
    while (shape_of(v) == MAPPING && !r->gave_up && step(&w, &item, &name)) {
        const char *text, *fault;
        size_t len;

        snprintf(key, sizeof(key), "[%zu].labels.%.100s", group, name);
        if (shape_of(&item) != TEXT) {
            complain(r, &item, key, "a label's value must be a text", NULL);
            continue;
        }
        text = text_of(&item, &len);
        if (strcmp(name, "region") != 0 || len == 0)
            continue;
        fault = probe_name_fault(text, len);
        if (fault)
            complain(r, &item, key, fault, NULL);
        else if (!(*region = keep(r->block, text)))
            r->gave_up = true;
    }
}

static void read_group(struct reader *r, const struct value *v, size_t group)
{
    struct walk w = walk_over(v);
    size_t first = r->block->list.count;
    const char *name, *region = NULL;
    struct value item;
    char key[KEY_MAX + 128];

    if (shape_of(v) != MAPPING) {
        snprintf(key, sizeof(key), "[%zu]", group);
        complain(r, v, key, "expected a group: a mapping with targets and labels", NULL);
        return;
    }
    while (!r->gave_up && step(&w, &item, &name)) {
        snprintf(key, sizeof(key), "[%zu].%.100s", group, name);
        if (strcmp(name, "targets") != 0 && strcmp(name, "labels") != 0)
            complain(r, &item, key, "unknown key; known are targets and labels", NULL);
        else if (shape_of(&item) == NOTHING)
            continue;
        else if (strcmp(name, "targets") == 0)
            read_targets(r, &item, group);
        else
            read_labels(r, &item, group, &region);
    }
    for (size_t i = first; i < r->block->list.count; i++)
        r->block->list.items[i].region = region;
}

static void read_root(struct reader *r, const struct value *root)
{
    struct walk w = walk_over(root);
    struct value item;
    const char *name;

    if (shape_of(root) != LIST) {
        complain(r, root, NULL, "expected a list of groups; [] lists no targets", NULL);
        return;
    }
    while (!r->gave_up && step(&w, &item, &name))
        read_group(r, &item, w.next - 1);
}

/* At least as many values as the text can have: a tree of them takes many times its size. */
static size_t values_at_most(const char *text, size_t len)
{
    size_t count = 1;

    for (size_t i = 0; i < len; i++)
        count += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return count;
}

static enum prober_error read_json(struct reader *r, const char *text, size_t len)
{
    struct json *root = NULL;
    struct prober_failure why;
    enum prober_error err;

    if (values_at_most(text, len) > TARGET_LIST_VALUES_MAX) {
        problems_add(r->problems, r->name, 0, NULL, "too many values");
        return PROBER_ERR_RANGE;
    }
    err = json_parse(&root, text, len, &why);
    if (err == PROBER_ERR_SYNTAX)
        problems_add(r->problems, r->name, 0, NULL, "%s", why.text);
    if (!err)
        read_root(r, &(struct value){.json = root});
    json_free(root);
    return err;
}

static enum prober_error read_yaml(struct reader *r, const char *text, size_t len)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_text(&doc, r->name, text, len, r->problems);

    if (!err)
        read_root(r, &(struct value){.yaml = yaml_root(doc)});
    yaml_destroy(doc);
    return err;
}

static enum prober_error judge(struct reader *r, size_t problems_before)
{
    if (problems_count(r->problems) > problems_before)
        return PROBER_ERR_SYNTAX;
    if (r->gave_up)
        return PROBER_ERR_NOMEM;
    settle(&r->block->list);
    if (count_regions(&r->block->list) > TARGET_LIST_REGIONS_MAX) {
        problems_add(r->problems, r->name, 0, NULL, "more than %d regions",
                     TARGET_LIST_REGIONS_MAX);
        return PROBER_ERR_RANGE;
    }
    return PROBER_OK;
}

enum prober_error target_list_read(struct target_list **out, enum probe_kind kind,
                                   enum target_format format, const char *name, const char *text,
                                   size_t len, struct problems *problems)
{
    struct reader r = {.kind = kind, .name = name, .problems = problems};
    size_t before = problems_count(problems);
    enum prober_error err;

    if (len > TARGET_LIST_BYTES_MAX) {
        problems_add(problems, name, 0, NULL, "larger than %u bytes", TARGET_LIST_BYTES_MAX);
        return PROBER_ERR_RANGE;
    }
    r.block = create_block();
    if (!r.block)
        return PROBER_ERR_NOMEM;
    err = format == TARGET_FORMAT_JSON ? read_json(&r, text, len) : read_yaml(&r, text, len);
    if (!err)
        err = judge(&r, before);
    if (err)
        target_list_put(&r.block->list);
    else
        *out = &r.block->list;
    return err;
}

/* ---- lists ---- */

static bool append_all(struct list_block *b, const struct target_list *list)
{
    const char *from = NULL, *region = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct listed_target *t = &list->items[i];

        if (t->region && (!from || strcmp(from, t->region) != 0)) {
            from = t->region;
            region = keep(b, from);
        }
        if ((t->region && !region) || !append(b, t->region ? region : NULL, keep(b, t->text)))
            return false;
    }
    return true;
}

enum prober_error target_list_merge(struct target_list **out,
                                    const struct target_list *const *lists, size_t count)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct list_block *b = create_block();

    if (!b)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (lists[i] && lists[i]->count > PROBE_SPEC_TARGETS_MAX - b->list.count) {
            err = PROBER_ERR_RANGE;
            goto out;
        }
        if (lists[i] && !append_all(b, lists[i]))
            goto out;
    }
    settle(&b->list);
    err = count_regions(&b->list) > TARGET_LIST_REGIONS_MAX ? PROBER_ERR_RANGE : PROBER_OK;
    if (err)
        goto out;
    *out = &b->list;
    b = NULL;
out:
    if (b)
        target_list_put(&b->list);
    return err;
}

bool target_list_equal(const struct target_list *a, const struct target_list *b)
{
    if (!a || !b || a->count != b->count)
        return a == b;
    for (size_t i = 0; i < a->count; i++)
        if (compare_items(&a->items[i], &b->items[i]) != 0)
            return false;
    return true;
}

void target_list_write(struct strbuf *out, const struct target_list *list)
{
    strbuf_putc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        const struct listed_target *t = &list->items[i];
        bool first = i == 0 || compare_regions(t->region, t[-1].region) != 0;
        bool last = i + 1 == list->count || compare_regions(t->region, t[1].region) != 0;

        if (first && t->region) {
            strbuf_puts(out, i ? ",{\"labels\":{\"region\":" : "{\"labels\":{\"region\":");
            json_put_string(out, t->region, strlen(t->region));
            strbuf_puts(out, "},\"targets\":[");
        } else {
            strbuf_puts(out, first ? "{\"targets\":[" : ",");
        }
        json_put_string(out, t->text, strlen(t->text));
        if (last)
            strbuf_puts(out, "]}");
    }
    strbuf_puts(out, "]\n");
}

struct target_list *target_list_get(const struct target_list *list)
{
    struct list_block *b = block_of(list);

    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return &b->list;
}

void target_list_put(struct target_list *list)
{
    struct list_block *b;

    if (!list)
        return;
    b = block_of(list);
    if (atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_destroy(b->memory);
    free(b->list.items);
    free(b);
}
