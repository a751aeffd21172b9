/*
 * probe_targets - the targets of a one-shot probe: words of the command line, lines of a file.
 *
 * Purpose    A list of 100,000 lines costs one read and one array. A line holds one target; blanks
 *            around it, empty lines and what follows a '#' are left out. Targets given twice are
 *            probed twice.
 * Threads    One thread.
 * Ownership  The list owns its texts; words of the command line stay the caller's.
 */
#ifndef AGENTD_PROBE_TARGETS_H
#define AGENTD_PROBE_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/resolver.h"

#define PROBE_TARGETS_FILE_MAX (64u << 20) /* bytes */
#define PROBE_TARGETS_MAX 1000000
#define PROBE_TARGET_TEXT_MAX 8192

struct probe_target {
    const char *name;           /* as written */
    struct prober_addr address; /* family NONE: not known (yet) */
    uint64_t resolve_ns;
    bool ended; /* its result is out */
};

struct probe_targets {
    struct probe_target *list; /* [count] */
    size_t count, room;
    char *text; /* of the file */
};

/* Append one target, or those of the file `path` ("-": of stdin).
 * Errors, with a sentence in *why: PROBER_ERR_SYNTAX (a line with blanks inside, too long, or a NUL
 * byte), _RANGE (too many or too large), _NOT_FOUND, _DENIED, _IO, _NOMEM. */
enum prober_error probe_targets_add(struct probe_targets *t, const char *name,
                                    struct prober_failure *why);
enum prober_error probe_targets_read(struct probe_targets *t, const char *path,
                                     struct prober_failure *why);
/* Append the targets of text[len], called `name` in messages; takes over the malloc'd text, which
 * is NUL-terminated. One text a list. */
enum prober_error probe_targets_take_text(struct probe_targets *t, const char *name, char *text,
                                          size_t len, struct prober_failure *why);
void probe_targets_free(struct probe_targets *t);

/* What a lookup without an address is called in a result. */
const char *probe_targets_name_error(enum resolver_status status);

#endif
