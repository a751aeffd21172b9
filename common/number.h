/*
 * number - integers and truth values as users write them, in flags and in files.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_NUMBER_H
#define COMMON_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* Reads an optional sign and decimal digits, or 0x, 0o, 0b and their digits. A decimal with leading
 * zeros is refused: to some it is octal. Errors: PROBER_ERR_SYNTAX, PROBER_ERR_RANGE, with *out
 * untouched. */
enum prober_error number_parse_i64(const char *text, int64_t *out);
/* Reads 1 t T true True TRUE, 0 f F false False FALSE. Errors: PROBER_ERR_SYNTAX. */
enum prober_error number_parse_bool(const char *text, bool *out);
/* Reads bytes: "1500", "10MB", "64KiB"; units B, K, M, G, T with or without B or iB, all of them
 * powers of 1024. Errors: PROBER_ERR_SYNTAX; PROBER_ERR_RANGE above 2^63-1. */
enum prober_error number_parse_size(const char *text, uint64_t *out);

#endif
