/*
 * trust - what the server takes trusted connections with, kept up to date.
 *
 * Purpose    Holds authority and ticket keys in the state directory, and makes of them the
 *            configuration of handshakes; renews the server's certificate and changes the ticket keys
 *            when it is time. Tells the log when one that was given, or the
 *            authority's, nears its end.
 * Threads    main()'s, but trust_write_metrics: any.
 * Ownership  Owns authority, ticket keys and configuration: they outlive the connections.
 */
#ifndef SERVERD_TRUST_H
#define SERVERD_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/channel_tls.h"
#include "common/error.h"
#include "common/metrics.h"
#include "serverd/authority.h"
#include "serverd/options.h"

struct trust;

/* Opens what there is and makes what is missing; tells the log of what is wrong with ticket keys
 * (there are new ones then). Errors: as authority_open, with a sentence in *why: the server must not
 * go on, unless trust_may_do_without. */
enum prober_error trust_open(struct trust **out, const struct serverd_settings *settings,
                             int64_t now_s, struct prober_failure *why);
/* True when the server is better off with plain links alone than not running: nothing was given, its
 * state directory can be written by nobody (`store_works`), and plain links are accepted. */
bool trust_may_do_without(const struct serverd_settings *settings, bool store_works,
                          enum prober_error err);
/* Judges the certificates and keys that the settings name; makes nothing, and looks at no state
 * directory. Errors: as authority_check. */
enum prober_error trust_check(const struct serverd_settings *settings, int64_t now_s,
                              struct prober_failure *why);
struct channel_server *trust_server(const struct trust *t);
struct authority *trust_authority(const struct trust *t);
/* Does what is due; to be called about once a second. After a renewal `take` is given the new
 * configuration, and must have let go of the old one when it returns. Tells the log what came of
 * it. */
void trust_step(struct trust *t, int64_t now_s,
                void (*take)(void *context, struct channel_server *server), void *context);
/* Writes when the certificates expire. */
void trust_write_metrics(const struct trust *t, struct metrics_writer *w);
void trust_close(struct trust *t); /* NULL is fine */

#endif
