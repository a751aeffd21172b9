/*
 * yaml - YAML documents as trees that know their lines (adapter of libyaml).
 *
 * Purpose    Reading configuration. Refuses what libyaml lets pass: duplicate keys, more than one
 *            document, aliases, anchors and tags, keys that are no scalars, files over
 *            YAML_FILE_MAX, nesting over YAML_DEPTH_MAX, more than YAML_NODES_MAX nodes.
 * Threads    A document belongs to one thread, or is read by many once made.
 * Ownership  The document owns its nodes; node pointers are valid until yaml_destroy.
 */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/problems.h"

#define YAML_FILE_MAX (16u << 20)
#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX (1u << 20)

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_document;
struct yaml_node;

/* Reads a file, or text[len] that is called `name` in messages. An empty document is an empty
 * mapping. Every fault is added to `problems` with its place.
 * Errors: PROBER_ERR_IO, _NOT_FOUND, _DENIED, _SYNTAX, _RANGE, _NOMEM: *out is untouched. */
enum prober_error yaml_read_file(struct yaml_document **out, const char *path,
                                 struct problems *problems);
enum prober_error yaml_read_text(struct yaml_document **out, const char *name, const char *text,
                                 size_t len, struct problems *problems);
const char *yaml_name(const struct yaml_document *doc); /* path or name, for messages */
const struct yaml_node *yaml_root(const struct yaml_document *doc);
void yaml_destroy(struct yaml_document *doc);

enum yaml_kind yaml_kind(const struct yaml_node *node);
int yaml_line(const struct yaml_node *node); /* from 1 */
/* A scalar's text; "" for other kinds. It may hold NUL bytes only if yaml_len says more. */
const char *yaml_text(const struct yaml_node *node);
size_t yaml_len(const struct yaml_node *node);
/* True when the scalar was quoted or a block: then it is never null, a number or a bool. */
bool yaml_is_quoted(const struct yaml_node *node);
/* True for an empty plain scalar, "~" or "null". */
bool yaml_is_null(const struct yaml_node *node);
/* Elements of a sequence, or pairs of a mapping; 0 for a scalar. */
size_t yaml_count(const struct yaml_node *node);
const struct yaml_node *yaml_item(const struct yaml_node *sequence, size_t i);
const struct yaml_node *yaml_key(const struct yaml_node *mapping, size_t i);
const struct yaml_node *yaml_value(const struct yaml_node *mapping, size_t i);
/* The value of `key`, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);

/* Plain scalars as values, in the forms of number.h: those of YAML 1.2's core schema, but for
 * numbers with leading zeros, and Go's booleans ("true", "True", "TRUE", "t", "1" …).
 * Errors: PROBER_ERR_SYNTAX, PROBER_ERR_RANGE, with *out untouched. */
enum prober_error yaml_bool(const struct yaml_node *node, bool *out);
enum prober_error yaml_int(const struct yaml_node *node, int64_t *out);

/* Adds "name:line:key: message" for `node` to `problems`. */
void yaml_problem(struct problems *problems, const struct yaml_document *doc,
                  const struct yaml_node *node, const char *key, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
