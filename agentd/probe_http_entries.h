/*
 * probe_http_entries - the settings that one-shot HTTP probes follow.
 *
 * Purpose    Those of the entries of a probe file that are called as wanted, made ready for probing;
 *            without a file the defaults.
 * Threads    One thread.
 * Ownership  Own what they hold, until closed.
 */
#ifndef AGENTD_PROBE_HTTP_ENTRIES_H
#define AGENTD_PROBE_HTTP_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/problems.h"
#include "libprober/http_engine.h"
#include "libprober/spec.h"

struct probe_http_entry {
    const struct http_spec *spec;
    struct http_kind *kind; /* of the spec */
    uint64_t timeout_ns;    /* 0: the entry has none */
    char *const *targets;   /* [target_count], its own */
    size_t target_count;
    int line;
};

struct probe_http_entries {
    struct probe_http_entry *items; /* [count], at least one after opening */
    size_t count;
    struct probe_spec *file;
    struct http_spec *defaults;
    int32_t status; /* as wanted */
};

struct probe_http_wanted {
    const char *file;          /* NULL: the defaults, one entry without targets */
    const char *prober;        /* the name of the file's entries */
    enum prober_family family; /* the only one to use; NONE: as the entry says */
    const char *method;        /* NULL, 0 and false: as the entry says */
    int32_t status;            /* the only one that is a success */
    bool no_redirects;
    struct http_means means;
};

/* Fills zeroed *entries. Faults are added to `problems`, with file:line:key: those of the file, that
 * no http entry has the name, that an entry cannot be probed by. Errors: PROBER_ERR_SYNTAX with at
 * least one problem, _NOMEM; close in any case. */
enum prober_error probe_http_entries_open(struct probe_http_entries *entries,
                                          const struct probe_http_wanted *wanted,
                                          struct problems *problems);
void probe_http_entries_close(struct probe_http_entries *entries);

#endif
