/*
 * secret_files - reads the files that probes name, beneath one directory and nowhere else.
 *
 * Purpose    Who writes a probe file on the server must not be able to read what he likes on an
 *            agent's host: neither "..", nor a symbolic link, nor a link of /proc leads out of the
 *            directory (openat2(2), RESOLVE_BENEATH), what is no regular file is refused and never
 *            waited for, and no more than `max` bytes are read. Links that stay beneath the
 *            directory are followed, as secrets that are swapped at once need them. Who may read a
 *            file is not judged.
 * Threads    Pure functions; any thread. A file on a network may take its time.
 */
#ifndef LIBPROBER_SECRET_FILES_H
#define LIBPROBER_SECRET_FILES_H

#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"

/* The part of `path` that is to be looked up beneath `dir`, an absolute path: all of it when it is
 * relative, what follows `dir` when it begins with it. NULL for an absolute path elsewhere. */
const char *secret_file_beneath(const char *dir, const char *path);
/* Appends the content. The sentence in *why names the path, never what is in the file. Errors:
 * PROBER_ERR_DENIED (not beneath dir, no permission), _NOT_FOUND, _RANGE (larger than max),
 * _UNSUPPORTED (no regular file; a kernel before 5.6), _IO, _NOMEM; *out has then what it had. */
enum prober_error secret_file_read(const char *dir, const char *path, size_t max,
                                   struct strbuf *out, struct prober_failure *why);

#endif
