/*
 * http_trouble - says once that probing URLs is in trouble on this side, and once that it is over.
 *
 * Purpose    What keeps probes from being made, and is not the target's fault, the operator of the
 *            agent should hear of: one line when it begins and one when it ends, with a URL as an
 *            example. No user information of a URL is shown.
 * Threads    The http thread.
 * Ownership  Holds references to the names of its examples.
 */
#ifndef AGENTD_HTTP_TROUBLE_H
#define AGENTD_HTTP_TROUBLE_H

#include <stdint.h>

#include "agentd/agent_plan.h"
#include "agentd/agent_stats.h"
#include "agentd/http_kinds.h"
#include "agentd/target_name.h"
#include "agentd/trouble.h"

struct http_trouble {
    uint64_t quiet_ns; /* what was not seen for so long is over */
    struct {
        struct trouble_kind kind;
        uint64_t seen;               /* how many there were at the last look */
        struct target_name *example; /* the last one; NULL: none */
    } causes[HTTP_UNSENT_COUNT];
};

/* Probes come once per interval_ns. */
void http_trouble_init(struct http_trouble *t, uint64_t interval_ns);
/* A probe of `name` was not sent. */
void http_trouble_note(struct http_trouble *t, enum http_unsent cause, struct target_name *name);
/* So many were not sent by now: tells what began or ended. */
void http_trouble_tell(struct http_trouble *t, const uint64_t unsent[HTTP_UNSENT_COUNT],
                       uint64_t now_ns);
/* A probe of `kind` ended, of which the engine said this; NULL: nothing. */
void http_trouble_see_kind(const struct http_trouble *t, struct http_shared_kind *kind,
                           const struct target_name *name, const char *trouble, uint64_t now_ns);
/* The kind of this target cannot be probed at all. */
void http_trouble_tell_unusable(const struct agent_plan_http_target *target,
                                const struct http_shared_kind *kind);
void http_trouble_clear(struct http_trouble *t);

#endif
