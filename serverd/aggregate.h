/*
 * aggregate - once an interval, merges the shards into a mesh and renders it.
 *
 * Purpose    A thread that collects the mesh, renders the exposition in both formats, and publishes
 *            both. A scrape is then one write of bytes that are already there; gzip is made on first
 *            demand and kept with the snapshot, or made before publishing when the snapshot before
 *            was asked for it.
 * Threads    Its own; every function but create and destroy may be called from any thread.
 * Ownership  Borrows ingest and board: they outlive it. Meshes and scrapes are reference-counted
 *            and may outlive it.
 */
#ifndef SERVERD_AGGREGATE_H
#define SERVERD_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"
#include "serverd/directory.h"
#include "serverd/exposition.h"
#include "serverd/ingest.h"
#include "serverd/mesh.h"

struct aggregate;
struct aggregate_scrape;

struct aggregate_config {
    struct ingest *ingest;
    struct directory_board *board;
    uint64_t interval_ns; /* at least 1 ms */
    struct exposition_settings settings;
};

/* Makes the first snapshot (so there is always one) and starts the thread.
 * Errors: PROBER_ERR_NOMEM, _RANGE, _IO with a sentence in *why. */
enum prober_error aggregate_create(struct aggregate **out, const struct aggregate_config *config,
                                   struct prober_failure *why);
/* The newest mesh, with a reference of the caller's (mesh_put); never NULL. */
struct mesh *aggregate_mesh(struct aggregate *a);
/* The newest exposition, with a reference of the caller's; never NULL: for lack of memory to
 * compress, the plain one (see aggregate_scrape_is_gzip). */
struct aggregate_scrape *aggregate_scrape(struct aggregate *a, enum metrics_format format,
                                          bool gzip);
const void *aggregate_scrape_bytes(const struct aggregate_scrape *s, size_t *len);
bool aggregate_scrape_is_gzip(const struct aggregate_scrape *s);
void aggregate_scrape_put(struct aggregate_scrape *s);
/* Aggregates now, and returns when the new snapshot is published. */
void aggregate_refresh(struct aggregate *a);
/* Monotonic time at which the last aggregation ended: for the watchdog. */
uint64_t aggregate_progress_ns(const struct aggregate *a);
/* How often an aggregation failed for lack of memory (the snapshot before then stays). */
uint64_t aggregate_failures(const struct aggregate *a);
/* Stops the thread and frees. NULL is fine. */
void aggregate_destroy(struct aggregate *a);

#endif
