/*
 * gate - lets requests of the admin API in, and keeps the record of changes.
 *
 * Purpose    Stands before the routes of the web servers: judges each request by the rules in force
 *            (serverd/access), bounds how many of one client are answered at a time, counts and logs
 *            what it refuses, and has each change on record before it is begun and before it is
 *            acknowledged. A route with another method than GET is a change.
 * Threads    gate_serve on the web servers' threads; gate_set_rules from any.
 * Ownership  Borrows the audit; takes over the rules that it is given.
 */
#ifndef SERVERD_GATE_H
#define SERVERD_GATE_H

#include "common/error.h"
#include "common/metrics.h"
#include "common/web.h"
#include "serverd/access.h"
#include "serverd/store_audit.h"

struct gate;

/* audit NULL: changes are logged only. per_client: requests of one client that are answered at a
 * time. Errors: PROBER_ERR_NOMEM, with `rules` the caller's still. */
enum prober_error gate_create(struct gate **out, struct access_rules *rules,
                              struct store_audit *audit, size_t per_client);
/* The web_gate; `context` is the struct gate. web_caller of a request that passed is a const struct
 * access_caller. */
void gate_serve(struct web_exchange *x, void *context);
/* Whether the peer is a trusted proxy, which asks for many. `context` is the struct gate. */
bool gate_spares(void *context, const struct prober_addr *peer);
/* From now on requests are judged by these. */
void gate_set_rules(struct gate *gate, struct access_rules *rules);
/* What was refused, and what was changed. */
void gate_write_metrics(struct gate *gate, struct metrics_writer *w);
/* When no web server uses it any more. NULL is fine. */
void gate_destroy(struct gate *gate);

#endif
