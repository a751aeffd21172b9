/*
 * wire_check - the bounds of a message, the same ones before encoding and after decoding.
 *
 * Purpose    What common/wire.c does not leave to protobuf: lengths, counts, ranges, valid text. Only
 *            wire.c needs it.
 * Threads    Pure functions; a check belongs to one thread.
 * Ownership  Borrows what it looks at.
 */
#ifndef COMMON_WIRE_CHECK_H
#define COMMON_WIRE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/wire.h"

/* One pass over a message; the first failure stays. */
struct wire_check {
    enum prober_error code;     /* what a failure is called */
    struct prober_failure *why; /* where it is told; may be NULL */
    bool failed;
};

void wire_check_request(struct wire_check *c, const struct wire_request *request);
void wire_check_reply(struct wire_check *c, const struct wire_reply *reply);

/* How many bytes of `text` are valid: at most `max`, whole UTF-8 characters, none of control. */
size_t wire_valid_prefix(const char *text, size_t max);

#endif
