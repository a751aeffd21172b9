/*
 * http_block - an http block of the plan, as it came and as it was read.
 *
 * Purpose    Equal blocks of a plan are one. The kinds of probes that are made of it outlive the plan.
 * Threads    Reference-counted, atomically; immutable.
 * Ownership  get and put count references; the last put frees.
 */
#ifndef AGENTD_HTTP_BLOCK_H
#define AGENTD_HTTP_BLOCK_H

#include <stdatomic.h>

#include "common/error.h"
#include "common/problems.h"
#include "libprober/http_spec.h"

struct http_block {
    atomic_uint references;
    struct http_spec *spec;
    char text[]; /* with credentials, where the server sent any: not to be logged */
};

/* Reads a block as http_spec_put writes it, and gives it one reference. Errors: PROBER_ERR_SYNTAX,
 * with at least one problem; PROBER_ERR_NOMEM. */
enum prober_error http_block_create(struct http_block **out, const char *text,
                                    struct problems *problems);
struct http_block *http_block_get(struct http_block *block);
void http_block_put(struct http_block *block); /* NULL is fine */

#endif
