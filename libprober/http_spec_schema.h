/*
 * http_spec_schema - the types of which the keys of an http block are made; private to http_spec*.c.
 *
 * Purpose    A key of the block is one row: name, type, place in its struct. A type knows how to read
 *            a value from YAML and how to write it back, so a key is told once.
 * Threads    One reading belongs to one thread.
 * Ownership  All that is read lives in the reader's arena.
 */
#ifndef LIBPROBER_HTTP_SPEC_SCHEMA_H
#define LIBPROBER_HTTP_SPEC_SCHEMA_H

#include "common/arena.h"
#include "libprober/http_spec.h"

#define HTTP_SPEC_TEXT_MAX 65536      /* bytes of a text */
#define HTTP_SPEC_LONG_MAX (1u << 20) /* bytes of a body or of PEM */
#define HTTP_SPEC_NAME_MAX 256        /* bytes of the name of a header or parameter */
#define HTTP_SPEC_LIST_MAX 1000       /* elements of a list or map */
#define HTTP_SPEC_MEMORY_MAX (64 << 20)
#define HTTP_SETTING_MAX 256

/* A value and the key under which it stands, for messages. */
struct http_setting {
    const struct yaml_node *node;
    char key[HTTP_SETTING_MAX]; /* "prober_configs[2].http.method" */
};

/* One reading of a block. */
struct http_reader {
    const struct yaml_document *doc;
    struct problems *problems;
    struct arena *memory;
    struct http_setting client; /* http_client_config; its node is NULL when there is none */
    bool no_memory;
};

struct http_writer {
    struct strbuf *out;
    bool with_secrets;
    bool with_defaults;
    int indent; /* of each key, on a line of its own; 0: all on one line */
};

struct http_key;

struct http_type {
    /* Stores the value, which is not null, in *field, or complains. */
    void (*read)(struct http_reader *r, const struct http_setting *s, const struct http_key *key,
                 void *field);
    /* Appends the value, or nothing when none is set; false when it is the default, which is
     * dropped unless defaults are wanted. NULL: never written. */
    bool (*put)(const struct http_writer *w, const struct http_key *key, const void *field);
};

struct http_key {
    const char *name;
    const struct http_type *type;
    size_t offset;      /* of the field in its struct */
    const void *detail; /* as the type wants it */
};

/* The keys of a mapping; `check`, which may be NULL, looks at them together. */
struct http_block {
    const struct http_key *keys; /* [count] */
    size_t count;
    size_t size; /* of its struct when that is allocated; 0: it is part of the one around it */
    void (*check)(struct http_reader *r, const struct http_setting *s, void *fields);
};

/* Names of the values of an enum. */
struct http_choices {
    unsigned initial;     /* the default, never written */
    bool any_case;        /* names are compared without regard to case */
    const char *expected; /* for the message: "gzip, deflate, br or identity" */
    struct {
        const char *name;
        unsigned value;
    } names[8]; /* up to the first without a name */
};

/* Schemes of a URL, up to the first NULL. */
struct http_schemes {
    const char *expected; /* for the message: "http:// or https://" */
    const char *names[6];
};

/* Fields: bool; the detail of http_type_bool is NULL, or &http_default_true. */
extern const bool http_default_true;
extern const struct http_type http_type_bool;
/* Fields: const char *, NULL for "". The detail is NULL, or a size_t: the longest that is taken. */
extern const size_t http_long_text;
extern const struct http_type http_type_text, http_type_secret, http_type_token,
    http_type_header_text, http_type_header_secret, http_type_regexp;
/* Field: const char *; detail: struct http_schemes. */
extern const struct http_type http_type_url;
/* Field: an enum; detail: struct http_choices. */
extern const struct http_type http_type_choice;
/* Field: uint64_t, bytes. */
extern const struct http_type http_type_size;
/* Field: struct http_spec, its body and body_len. */
extern const struct http_type http_type_body;
/* No field; detail: why it is refused. http_type_refused_true takes false. */
extern const struct http_type http_type_refused, http_type_refused_true;
/* Field: a struct, or a pointer to one; detail: struct http_block. */
extern const struct http_type http_type_block;
/* Fields: struct http_codes; struct http_texts of texts, of versions, of regexps (also a single
 * one). */
extern const struct http_type http_type_codes, http_type_texts, http_type_regexps;
/* Fields: struct http_headers. name: value; name: {values, secrets, files}; name: [value…] of
 * secrets; and name: value of secrets with any names. */
extern const struct http_type http_type_header_map, http_type_header_lines,
    http_type_secret_header_lists, http_type_secret_params;
/* Field: struct http_header_matches. */
extern const struct http_type http_type_header_matches;

void http_complain(struct http_reader *r, const struct http_setting *s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Complains of the key `name` of the mapping s, or of http_client_config where it stands there. */
void http_complain_of(struct http_reader *r, const struct http_setting *s, const char *name,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The i-th value of a mapping, and the i-th element of a sequence. */
struct http_setting http_setting_at(const struct http_setting *mapping, size_t i);
struct http_setting http_setting_item(const struct http_setting *sequence, size_t i);

/* size bytes, cleared; NULL, with the reader told, when there is no room. */
void *http_take(struct http_reader *r, size_t count, size_t size);
/* The text of a scalar, copied, "" too; NULL, complained of, when it is none or too long. */
const char *http_text(struct http_reader *r, const struct http_setting *s, size_t max);
/* As http_text, and it may stand in a header line: no control characters but tabs. A null is "". */
const char *http_header_text(struct http_reader *r, const struct http_setting *s);
bool http_is_token(const char *text); /* RFC 9110, section 5.6.2 */
/* True when `pattern` compiles; complains otherwise. */
bool http_check_regexp(struct http_reader *r, const struct http_setting *s, const char *pattern);

/* Reads one key of keys[count]; false when none has that name. */
bool http_read_key(struct http_reader *r, const struct http_setting *s, const char *name,
                   const struct http_key *keys, size_t count, void *fields);
/* Reads all keys of a mapping, and checks them together. */
void http_read_block(struct http_reader *r, const struct http_setting *s,
                     const struct http_block *block, void *fields);

/* Appends text[len] as a JSON string that YAML reads alike; a secret's mask without with_secrets. */
void http_put_text(const struct http_writer *w, const char *text, size_t len);
void http_put_secret(const struct http_writer *w, const char *text);
/* Appends `"name":value` of those of keys[count] that are wanted, each after a comma unless it
 * follows "{". */
void http_put_keys(const struct http_writer *w, const struct http_key *keys, size_t count,
                   const void *fields);

#endif
