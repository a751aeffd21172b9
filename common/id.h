/*
 * id - 128-bit identifiers of agents, servers and boots.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define PROBER_ID_LEN 16
#define PROBER_ID_TEXT_MAX 33

struct prober_id {
    uint8_t bytes[PROBER_ID_LEN];
};

/* A new random id. */
struct prober_id prober_id_random(void);
bool prober_id_equal(const struct prober_id *a, const struct prober_id *b);
bool prober_id_is_zero(const struct prober_id *id);
/* 32 lower-case hex digits; returns `out`. */
char *prober_id_format(const struct prober_id *id, char out[PROBER_ID_TEXT_MAX]);
/* Errors: PROBER_ERR_SYNTAX, with *out untouched. */
enum prober_error prober_id_parse(const char *text, struct prober_id *out);

#endif
