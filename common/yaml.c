#include "common/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/array.h"
#include "common/file.h"
#include "common/number.h"

struct yaml_node {
    enum yaml_kind kind;
    bool quoted;
    int line;
    size_t len;               /* of text */
    struct yaml_node **items; /* owned; of a mapping: key, value, key, value … */
    size_t count, room;       /* of items */
    char text[];              /* NUL-terminated; of a scalar */
};

struct yaml_document {
    char *name;
    struct yaml_node *root;
};

/* One reading of a text. */
struct reader {
    yaml_parser_t parser;
    const char *name; /* borrowed, for messages */
    struct problems *problems;
    size_t nodes;
    bool gave_up; /* the parser cannot go on, or memory or a bound is exhausted */
    enum prober_error err;
};

static int line_of(const yaml_mark_t *mark)
{
    return (int)mark->line + 1;
}

static void give_up(struct reader *r, enum prober_error err)
{
    r->gave_up = true;
    if (!r->err || err == PROBER_ERR_NOMEM)
        r->err = err;
}

static void complain(struct reader *r, int line, const char *message)
{
    problems_add(r->problems, r->name, line, NULL, "%s", message);
    if (!r->err)
        r->err = PROBER_ERR_SYNTAX;
}

/* libyaml tells what it found and, mostly, while doing what. */
static void complain_of_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR) {
        give_up(r, PROBER_ERR_NOMEM);
        return;
    }
    problems_add(r->problems, r->name, line_of(&p->problem_mark), NULL, "%s%s%s%s",
                 p->problem ? p->problem : "malformed YAML", p->context ? " (" : "",
                 p->context ? p->context : "", p->context ? ")" : "");
    give_up(r, PROBER_ERR_SYNTAX);
}

/* The next event; false, with the reader told, when there is none. */
static bool next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    complain_of_syntax(r);
    return false;
}

static void node_free(struct yaml_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++)
        node_free(node->items[i]);
    free(node->items);
    free(node);
}

static struct yaml_node *node_create(struct reader *r, enum yaml_kind kind, int line,
                                     const char *text, size_t len)
{
    struct yaml_node *node;

    if (r->nodes++ >= YAML_NODES_MAX) {
        complain(r, line, "the file has too many values");
        give_up(r, PROBER_ERR_SYNTAX);
        return NULL;
    }
    node = calloc(1, sizeof(*node) + len + 1);
    if (!node) {
        give_up(r, PROBER_ERR_NOMEM);
        return NULL;
    }
    node->kind = kind;
    node->line = line;
    node->len = len;
    memcpy(node->text, text, len);
    return node;
}

/* Adds `item`, which is the node's from now on. */
static bool node_append(struct reader *r, struct yaml_node *node, struct yaml_node *item)
{
    struct yaml_node **items;
    size_t room = node->room ? 2 * node->room : 4;

    if (node->count == node->room) {
        items = realloc(node->items, room * sizeof(struct yaml_node *));
        if (!items) {
            node_free(item);
            give_up(r, PROBER_ERR_NOMEM);
            return false;
        }
        node->items = items;
        node->room = room;
    }
    node->items[node->count++] = item;
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const struct yaml_node *left = *(struct yaml_node *const *)a,
                           *right = *(struct yaml_node *const *)b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = memcmp(left->text, right->text, len);

    if (order)
        return order;
    if (left->len != right->len)
        return left->len < right->len ? -1 : 1;
    return left->line < right->line ? -1 : left->line > right->line;
}

static bool same_text(const struct yaml_node *a, const struct yaml_node *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void find_duplicate_keys(struct reader *r, const struct yaml_node *mapping)
{
    size_t pairs = mapping->count / 2;
    struct yaml_node **keys;

    if (pairs < 2)
        return;
    keys = calloc(pairs, sizeof(struct yaml_node *));
    if (!keys) {
        give_up(r, PROBER_ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < pairs; i++)
        keys[i] = mapping->items[2 * i];
    qsort(keys, pairs, sizeof(struct yaml_node *), compare_keys);
    for (size_t i = 1; i < pairs; i++)
        if (same_text(keys[i - 1], keys[i])) {
            problems_add(r->problems, r->name, keys[i]->line, keys[i]->text,
                         "this key stands twice, first in line %d", keys[i - 1]->line);
            r->err = r->err ? r->err : PROBER_ERR_SYNTAX;
        }
    free(keys);
}

static bool is_word(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && strlen(node->text) == node->len;
}

static struct yaml_node *read_node(struct reader *r, const yaml_event_t *event, int depth);

/* Reads items up to the end of the sequence or mapping. */
static void read_items(struct reader *r, struct yaml_node *node, int depth)
{
    yaml_event_t event;

    while (!r->gave_up && next_event(r, &event)) {
        bool ends = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        struct yaml_node *item = ends ? NULL : read_node(r, &event, depth + 1);

        yaml_event_delete(&event);
        if (ends)
            break;
        if (!item || !node_append(r, node, item))
            continue;
        if (node->kind == YAML_MAPPING && node->count % 2 == 1 && !is_word(item))
            complain(r, item->line, "a key must be a plain word, no list or mapping");
    }
    if (node->kind == YAML_MAPPING && !r->gave_up)
        find_duplicate_keys(r, node);
}

/* Refuses what makes a file mean other than it reads. */
static void refuse_extras(struct reader *r, int line, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    if (anchor)
        complain(r, line, "anchors (&name) are not taken");
    if (tag)
        complain(r, line, "tags (!name) are not taken");
}

static struct yaml_node *read_collection(struct reader *r, enum yaml_kind kind, int line, int depth)
{
    struct yaml_node *node;

    if (depth >= YAML_DEPTH_MAX) {
        complain(r, line, "nested too deep");
        give_up(r, PROBER_ERR_SYNTAX);
        return NULL;
    }
    node = node_create(r, kind, line, "", 0);
    if (node)
        read_items(r, node, depth);
    return node;
}

/* The node that begins with `event`; NULL only after giving up. */
static struct yaml_node *read_node(struct reader *r, const yaml_event_t *event, int depth)
{
    int line = line_of(&event->start_mark);
    struct yaml_node *node;

    switch (event->type) {
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(r, line, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return read_collection(r, YAML_SEQUENCE, line, depth);
    case YAML_MAPPING_START_EVENT:
        refuse_extras(r, line, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return read_collection(r, YAML_MAPPING, line, depth);
    case YAML_SCALAR_EVENT:
        refuse_extras(r, line, event->data.scalar.anchor, event->data.scalar.tag);
        node = node_create(r, YAML_SCALAR, line, (const char *)event->data.scalar.value,
                           event->data.scalar.length);
        if (node)
            node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return node;
    default: /* an alias: an empty scalar stands in for it, so that reading can go on */
        complain(r, line, "aliases (*name) are not taken");
        return node_create(r, YAML_SCALAR, line, "", 0);
    }
}

/* Reads the whole stream; the root stays NULL when there is no document. */
static struct yaml_node *read_stream(struct reader *r)
{
    struct yaml_node *root = NULL;
    yaml_event_t event;
    bool more = true;

    while (more && !r->gave_up && next_event(r, &event)) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            more = false;
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root) {
                complain(r, line_of(&event.start_mark), "a second document (---) is not taken");
                give_up(r, PROBER_ERR_SYNTAX);
            }
            break;
        default:
            root = read_node(r, &event, 0);
        }
        yaml_event_delete(&event);
    }
    return root;
}

/* A document without content is an empty mapping. */
static void default_to_mapping(struct reader *r, struct yaml_node **root)
{
    if (r->err || (*root && !yaml_is_null(*root)))
        return;
    node_free(*root);
    *root = node_create(r, YAML_MAPPING, 1, "", 0);
}

enum prober_error yaml_read_text(struct yaml_document **out, const char *name, const char *text,
                                 size_t len, struct problems *problems)
{
    struct reader r = {.name = name, .problems = problems};
    struct yaml_document *doc = NULL;
    struct yaml_node *root;

    if (len > YAML_FILE_MAX) {
        problems_add(problems, name, 0, NULL, "larger than %u bytes", YAML_FILE_MAX);
        return PROBER_ERR_RANGE;
    }
    if (!yaml_parser_initialize(&r.parser))
        return PROBER_ERR_NOMEM;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    root = read_stream(&r);
    yaml_parser_delete(&r.parser);
    default_to_mapping(&r, &root);
    if (!r.err) {
        doc = calloc(1, sizeof(*doc));
        if (doc)
            doc->name = strdup(name);
        if (!doc || !doc->name)
            r.err = PROBER_ERR_NOMEM;
    }
    if (r.err) {
        node_free(root);
        free(doc);
        return r.err;
    }
    doc->root = root;
    *out = doc;
    return PROBER_OK;
}

enum prober_error yaml_read_file(struct yaml_document **out, const char *path,
                                 struct problems *problems)
{
    struct prober_failure why;
    char *text;
    size_t len;
    enum prober_error err = file_read(path, YAML_FILE_MAX, &text, &len, &why);

    if (err) {
        problems_add(problems, NULL, 0, NULL, "%s", why.text);
        return err;
    }
    err = yaml_read_text(out, path, text, len, problems);
    free(text);
    return err;
}

const char *yaml_name(const struct yaml_document *doc)
{
    return doc->name;
}

const struct yaml_node *yaml_root(const struct yaml_document *doc)
{
    return doc->root;
}

void yaml_destroy(struct yaml_document *doc)
{
    if (!doc)
        return;
    node_free(doc->root);
    free(doc->name);
    free(doc);
}

enum yaml_kind yaml_kind(const struct yaml_node *node)
{
    return node->kind;
}

int yaml_line(const struct yaml_node *node)
{
    return node->line;
}

const char *yaml_text(const struct yaml_node *node)
{
    return node->text;
}

size_t yaml_len(const struct yaml_node *node)
{
    return node->len;
}

bool yaml_is_quoted(const struct yaml_node *node)
{
    return node->quoted;
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (node->kind != YAML_SCALAR || node->quoted)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(node->text, words[i]) == 0)
            return true;
    return false;
}

size_t yaml_count(const struct yaml_node *node)
{
    return node->kind == YAML_MAPPING ? node->count / 2 : node->count;
}

const struct yaml_node *yaml_item(const struct yaml_node *sequence, size_t i)
{
    return sequence->items[i];
}

const struct yaml_node *yaml_key(const struct yaml_node *mapping, size_t i)
{
    return mapping->items[2 * i];
}

const struct yaml_node *yaml_value(const struct yaml_node *mapping, size_t i)
{
    return mapping->items[2 * i + 1];
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    size_t len = strlen(key);

    if (mapping->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count / 2; i++) {
        const struct yaml_node *name = yaml_key(mapping, i);

        if (name->len == len && memcmp(name->text, key, len) == 0)
            return yaml_value(mapping, i);
    }
    return NULL;
}

static bool is_plain_scalar(const struct yaml_node *node)
{
    return is_word(node) && !node->quoted;
}

enum prober_error yaml_bool(const struct yaml_node *node, bool *out)
{
    return is_plain_scalar(node) ? number_parse_bool(node->text, out) : PROBER_ERR_SYNTAX;
}

enum prober_error yaml_int(const struct yaml_node *node, int64_t *out)
{
    return is_plain_scalar(node) ? number_parse_i64(node->text, out) : PROBER_ERR_SYNTAX;
}

void yaml_problem(struct problems *problems, const struct yaml_document *doc,
                  const struct yaml_node *node, const char *key, const char *format, ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    problems_add(problems, doc->name, node->line, key, "%s", message);
}
