/*
 * exposition - a mesh and a directory as metrics: the table of the server's families.
 *
 * Purpose    Renders everything that /metrics shows, in one of the two formats. Both formats yield
 *            the same series, since both come from the same table. What each metric means and how
 *            it is computed is told in docs/metrics.md.
 * Threads    Pure: reads only what it is given. Any thread.
 * Ownership  Borrows all that it is given.
 */
#ifndef SERVERD_EXPOSITION_H
#define SERVERD_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"
#include "common/strbuf.h"
#include "serverd/directory.h"
#include "serverd/mesh.h"

/* Families of other modules (link, registry, store, web), written after ours. Called once for each
 * format and aggregation, on the aggregate thread: it must only read counters. */
typedef void (*exposition_extra_fn)(void *context, struct metrics_writer *w);

struct exposition_settings {
    bool task_enabled;         /* prober_server_task_enabled */
    bool probe_self_enabled;   /* prober_server_probe_self_enabled */
    exposition_extra_fn extra; /* may be NULL */
    void *extra_context;
};

/* How aggregating goes, for the server's own health; sizes and render_ns are of the rendering before. */
struct exposition_health {
    uint64_t failures;   /* aggregations given up for lack of memory */
    uint64_t collect_ns; /* merging the mesh */
    uint64_t render_ns;  /* both formats */
    uint64_t prometheus_bytes;
    uint64_t openmetrics_bytes;
};

/* Appends the exposition to *out. Errors: PROBER_ERR_NOMEM. */
enum prober_error exposition_render(struct strbuf *out, enum metrics_format format,
                                    const struct mesh *mesh, const struct directory *directory,
                                    const struct exposition_settings *settings,
                                    const struct exposition_health *health);

#endif
