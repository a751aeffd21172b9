/*
 * exposition_http - the families of probed URLs.
 *
 * Threads    Pure: reads only what it is given. Any thread.
 */
#ifndef SERVERD_EXPOSITION_HTTP_H
#define SERVERD_EXPOSITION_HTTP_H

#include "common/error.h"
#include "common/metrics.h"
#include "serverd/mesh.h"

/* Series that a URL has in one source region, about: while it has answers over TLS, has failed for one
 * reason, and nothing came too late. */
#define EXPOSITION_HTTP_SERIES 37

/* Writes the families of the mesh's URLs. Errors: PROBER_ERR_NOMEM. */
enum prober_error exposition_http(struct metrics_writer *w, const struct mesh *mesh);

#endif
