/*
 * http_kinds - the kinds of HTTP probes that the plan needs, each made once.
 *
 * Purpose    Targets of the plan whose http blocks are the same share one http_kind, and one place
 *            where it is kept in mind what the log was told about it. A block that this agent cannot
 *            honour has no http_kind, but a sentence about why.
 * Threads    The http thread.
 * Ownership  A kind lives as long as somebody holds it: its targets, and its probes that run.
 */
#ifndef AGENTD_HTTP_KINDS_H
#define AGENTD_HTTP_KINDS_H

#include <stdbool.h>
#include <stddef.h>

#include "agentd/http_block.h"
#include "agentd/trouble.h"
#include "common/error.h"
#include "libprober/http_kind.h"

struct http_kinds;

struct http_shared_kind {
    struct http_kind *kind;      /* NULL: no probe of it can be made */
    struct prober_failure why;   /* then */
    struct trouble_kind trouble; /* of its probes on this machine, as the log was told */
    /* private */
    struct http_block *block;
    size_t references;
    struct http_kinds *owner;
    struct http_shared_kind *chain;
};

/* `means` is copied; what it points to must outlive the kinds. Errors: PROBER_ERR_NOMEM. */
enum prober_error http_kinds_create(struct http_kinds **out, const struct http_means *means);
/* Finds the kind of an equal block or makes it, and holds it once more. *is_new: it was made. NULL for
 * lack of memory. */
struct http_shared_kind *http_kinds_get(struct http_kinds *k, struct http_block *block,
                                        bool *is_new);
struct http_shared_kind *http_shared_kind_hold(struct http_shared_kind *kind);
void http_shared_kind_release(struct http_shared_kind *kind); /* NULL is fine */
size_t http_kinds_count(const struct http_kinds *k);
/* Nobody holds any. NULL is fine. */
void http_kinds_destroy(struct http_kinds *k);

#endif
