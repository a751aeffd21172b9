/*
 * json - JSON values (adapter of cJSON).
 *
 * Purpose    Reading answers and bodies strictly (no trailing bytes, no duplicate keys, no
 *            "\u0000", valid UTF-8, nesting at most JSON_DEPTH_MAX), and writing them.
 * Threads    A value belongs to one thread.
 * Ownership  A root owns its children; what is added to an object or array belongs to it.
 *            Adding NULL marks the parent as failed: json_print then returns NULL.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"

#define JSON_DEPTH_MAX 64

struct json;

/* Reads text[len]. Errors: PROBER_ERR_SYNTAX with a sentence (line, byte offset) in *why, _NOMEM. */
enum prober_error json_parse(struct json **out, const char *text, size_t len,
                             struct prober_failure *why);
void json_free(struct json *value);

/* Looking. A NULL value is fine everywhere and is nothing. Keys are case-sensitive. */
const struct json *json_get(const struct json *object, const char *key);
const struct json *json_at(const struct json *array, size_t i);
size_t json_count(const struct json *array_or_object);
/* The key of the i-th member of an object. */
const char *json_key(const struct json *object, size_t i);
/* Walking: json_at and json_key count from the start, these do not. NULL at the end. */
const struct json *json_first(const struct json *array_or_object);
const struct json *json_next(const struct json *member);
/* The key of a member of an object; NULL for an element of an array. */
const char *json_name(const struct json *member);
bool json_is_null(const struct json *value);
bool json_is_object(const struct json *value);
bool json_is_array(const struct json *value);
/* NULL when the value is not a string; valid as long as the root. */
const char *json_string(const struct json *value);
/* Errors: PROBER_ERR_SYNTAX when it is not a number (bool), or not a whole one in range. json_u64
 * takes numbers below 2^53, above which they are not exact, and decimal strings. */
enum prober_error json_number(const struct json *value, double *out);
enum prober_error json_u64(const struct json *value, uint64_t *out);
enum prober_error json_bool(const struct json *value, bool *out);

/* Making. NULL for lack of memory. */
struct json *json_object(void);
struct json *json_array(void);
void json_add(struct json *object, const char *key, struct json *value);
void json_append(struct json *array, struct json *value);
struct json *json_new_string(const char *text);
struct json *json_new_double(double value); /* not finite: null */
struct json *json_new_u64(uint64_t value);  /* from 2^53 on a string, so that it stays exact */
struct json *json_new_bool(bool value);
struct json *json_new_null(void);
/* Shorthands for json_add of a new value. */
void json_add_string(struct json *object, const char *key, const char *text);
void json_add_double(struct json *object, const char *key, double value);
void json_add_u64(struct json *object, const char *key, uint64_t value);
void json_add_bool(struct json *object, const char *key, bool value);
void json_add_null(struct json *object, const char *key);

/* The value as text, malloc'd, on one line or indented; NULL after a failure. */
char *json_print(const struct json *value, bool indented);
/* Appends text[len] as a JSON string, quoted and escaped; what is not UTF-8 becomes U+FFFD. For
 * those who write large documents without a tree. */
void json_put_string(struct strbuf *out, const char *text, size_t len);

#endif
