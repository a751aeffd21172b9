/*
 * task_files - the result files of tasks, as the original wrote them.
 *
 * Purpose    One file per result: <region>_<address>_YYYY-MM-DD_HH-MM-SS, in the server's local time;
 *            a further one of the same name gets ".2", ".3", … Its content is
 *            "commond:\n<command> \n\noutput:\n<output>", to the byte. Bytes of a region that have no
 *            place in a file's name are written as %XX, long names are cut; nothing is written
 *            outside the directory, nothing there is overwritten or followed, and a file is there whole
 *            or not at all. The files are kept
 *            within a size and an age: only regular files of the server's own user with such a name
 *            are ever removed.
 * Threads    One thread at a time; task_files_counts from any.
 * Ownership  Copies the directory's name.
 */
#ifndef SERVERD_TASK_FILES_H
#define SERVERD_TASK_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"

struct task_files;

struct task_files_config {
    const char *dir;   /* made if it is missing */
    uint64_t size_max; /* bytes of all files; 0: no limit */
    uint64_t age_ns;   /* 0: no limit */
};

/* Errors: PROBER_ERR_NOMEM. A directory that cannot be opened is tried again with each result. */
enum prober_error task_files_create(struct task_files **out,
                                    const struct task_files_config *config);
/* The file's name without suffix: at most 200 bytes, whatever the texts. Appended to *out. */
void task_files_name(struct strbuf *out, const char *region, const char *address,
                     uint64_t now_real_ns);
struct task_files_result {
    const char *region, *address, *line;
    const char *output; /* [len] */
    size_t len;
};
/* Writes a file. Errors: PROBER_ERR_IO, _DENIED, _NOMEM with a sentence in *why: there is none. */
enum prober_error task_files_write(struct task_files *files, const struct task_files_result *result,
                                   uint64_t now_real_ns, struct prober_failure *why);
/* Removes what is too old, then the oldest until the rest is within the size. */
void task_files_prune(struct task_files *files, uint64_t now_real_ns);

struct task_files_counts {
    uint64_t written, failed, removed;
    uint64_t bytes; /* of all files, as of the last prune and what was written since */
};
void task_files_counts(const struct task_files *files, struct task_files_counts *out);
void task_files_destroy(struct task_files *files); /* NULL is fine */

#endif
