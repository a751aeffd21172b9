/*
 * api - what the server answers over HTTP: metrics, health, and the admin API.
 *
 * Purpose    The table of routes. Later kinds of requests are further lines of it.
 * Threads    Handlers run on the web server's threads: they read the directory, the newest mesh or
 *            the rendered exposition, or ask for a reload.
 * Ownership  Borrows what the context names; all of it outlives the web server.
 */
#ifndef SERVERD_API_H
#define SERVERD_API_H

#include <stdatomic.h>
#include <stddef.h>

#include "common/json.h"
#include "common/web.h"
#include "serverd/aggregate.h"
#include "serverd/directory.h"
#include "serverd/reload.h"
#include "serverd/store_audit.h"
#include "serverd/tasks.h"

/* The context of every handler. */
struct api {
    struct directory_board *board;
    struct aggregate *aggregate;
    struct reload *reload;
    struct store_audit *audit; /* NULL: the server runs without a store */
    struct tasks *tasks;       /* NULL: without -server.task */
    atomic_bool ready; /* agents are served, and what was stored is loaded */
};

/* Each names the role (serverd/role) that it needs; one with another method than GET is a change. */
extern const struct web_route api_routes[];
extern const size_t api_routes_count;
/* What is served at the metrics' own address: lines of the above. */
extern const struct web_route api_metrics_routes[];
extern const size_t api_metrics_routes_count;

/* The answers of /api/v1/agents, /api/v1/mesh, /api/v1/http and /-/targets; NULL for lack of memory. */
struct json *api_agents_json(const struct directory *directory, uint64_t now_real_ns);
struct json *api_mesh_json(const struct mesh *mesh, uint64_t now_ns);
struct json *api_http_json(const struct mesh *mesh, uint64_t now_ns);
struct json *api_targets_json(const struct directory *directory);

#endif
