/*
 * file - reading and replacing small files safely.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

/* Reads a whole file of at most `max` bytes; *bytes is malloc'd and NUL-terminated.
 * Errors: PROBER_ERR_NOT_FOUND, _DENIED, _IO, _RANGE (too large), _NOMEM. */
enum prober_error file_read(const char *path, size_t max, char **bytes, size_t *len,
                            struct prober_failure *why);
/* Replaces a file at once (temporary file, fsync, rename), so a crash leaves the old or the new
 * one. Errors: PROBER_ERR_IO, _DENIED: the old file is untouched. */
enum prober_error file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
                               struct prober_failure *why);
/* Makes a directory and its missing parents with `mode`; fine if it exists. */
enum prober_error file_make_dir(const char *path, mode_t mode, struct prober_failure *why);

#endif
