/*
 * target_source - where a list of targets is kept outside the probe file: in files, or behind a URL.
 *
 * Purpose    Reads an element of file_sd_configs or http_sd_configs, which are Prometheus's: the same
 *            names, types, defaults and meanings, with what is said here. Of the client's keys, those
 *            that fetching from the server cannot honour are refused: oauth2, proxy_from_environment,
 *            no_proxy, proxy_connect_header, tls_config.server_name, follow_redirects: true.
 * Threads    Made by one thread, immutable from then on, read by many.
 * Ownership  Reference-counted; owns its texts.
 */
#ifndef LIBPROBER_TARGET_SOURCE_H
#define LIBPROBER_TARGET_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/problems.h"
#include "common/strbuf.h"
#include "common/yaml.h"
#include "libprober/http_spec.h"

#define TARGET_SOURCE_PATTERNS_MAX 100
#define TARGET_SOURCE_PATH_MAX 4000 /* bytes of a pattern */

/* Their names as keys of an entry are a table: target_source_key. */
enum target_source_kind { TARGET_SOURCE_FILES, TARGET_SOURCE_HTTP, TARGET_SOURCE_KIND_COUNT };

struct target_source {
    enum target_source_kind kind;
    uint64_t refresh_ns; /* 1 s to 30 d; 5 min for files, 1 min for a URL by default */
    char **files;        /* [file_count]: paths whose last segment may hold one *, as written; they
                            end in .json, .yml or .yaml */
    size_t file_count;
    char *url;                /* http or https, no user information; NULL for files */
    struct http_spec *client; /* of TARGET_SOURCE_HTTP: its client's keys alone say something */
    char *dir; /* where relative paths begin, with a slash at the end; "": the working directory */
    char *id; /* all of the above but refresh_ns as a text, secrets too: equal ids, the same list */
    char *shown; /* for people, without secrets: the URL without its query, or the patterns */
};

/* "file_sd_configs" and "http_sd_configs". */
const char *target_source_key(enum target_source_kind kind);

/* Reads `node`, an element of the list under the kind's key; `key` is where it stands, for messages.
 * `dir`: as in the struct. The source has one reference.
 * Errors: PROBER_ERR_SYNTAX, with at least one problem; PROBER_ERR_NOMEM. *out is untouched then. */
enum prober_error target_source_read(struct target_source **out, enum target_source_kind kind,
                                     const char *dir, const struct yaml_document *doc,
                                     const struct yaml_node *node, const char *key,
                                     struct problems *problems);
/* A path that the source names, malloc'd: relative ones from its dir. NULL for lack of memory. */
char *target_source_path(const struct target_source *source, const char *path);
/* Appends the source as one line of JSON (which is YAML too), secrets masked; what the client's keys
 * leave at its default is left out. */
void target_source_write(struct strbuf *out, const struct target_source *source);

struct target_source *target_source_get(const struct target_source *source);
/* NULL is fine. */
void target_source_put(struct target_source *source);

#endif
