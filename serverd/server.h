/*
 * server - the daemon's modules, made and undone in the right order.
 *
 * Purpose    Puts store, ingest, rpc, aggregation and web together. What a module needs of another
 *            is handed to it here, and nowhere else.
 * Threads    main() only; server_is_working too.
 * Ownership  Owns every module. Borrows settings, arguments and environment.
 */
#ifndef SERVERD_SERVER_H
#define SERVERD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "serverd/options.h"

struct server;

struct server_config {
    const struct serverd_settings *settings;
    int argc; /* what the settings were read from, to be read again at a reload */
    char *const *argv;
    char *const *environment;
};

/* Starts everything. When it returns, agents are served. Errors: with every fault in `problems`. */
enum prober_error server_start(struct server **out, const struct server_config *config,
                               struct problems *problems);
/* Reads the configuration again; tells the log what came of it. */
void server_reload(struct server *server);
/* Does what is due now and then; to be called about once a second. */
void server_step(struct server *server);
/* True while the control thread and the aggregation make progress. */
bool server_is_working(const struct server *server, uint64_t now_ns);
/* Drains, stops and frees everything. NULL is fine. */
void server_stop(struct server *server);

#endif
