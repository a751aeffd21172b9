/*
 * duration - lengths of time as users write them.
 *
 * Purpose    The grammar of the original: integers with units in the order y w d h m s ms, each at
 *            most once ("1m30s", "15ms"), or a bare "0". Beyond it, a decimal fraction on the last
 *            unit ("1.5s", "0.5s"; no finer than a nanosecond) and the units us and ns are taken.
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_DURATION_H
#define COMMON_DURATION_H

#include <stdint.h>

#include "common/error.h"

#define DURATION_TEXT_MAX 64

/* Stores the nanoseconds that `text` means in *ns. A day has 24 h, a week 7 d, a year 365 d.
 * Errors: PROBER_ERR_SYNTAX; PROBER_ERR_RANGE above 2^63-1 ns. *ns is untouched then. */
enum prober_error duration_parse(const char *text, uint64_t *ns);
/* Writes a text that duration_parse reads back as exactly `ns` ("15s", "1m30s", "1h0.25s", "1.5ms",
 * "0s"); returns `out`. */
char *duration_format(uint64_t ns, char out[DURATION_TEXT_MAX]);

#endif
