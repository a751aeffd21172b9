/*
 * target_fetch - one request for a list of targets, and what its answer is worth.
 *
 * Purpose    Asks as Prometheus does (GET, Accept, X-Prometheus-Refresh-Interval-Seconds) and takes
 *            what Prometheus takes: status 200, application/json. Files that the client's settings
 *            name are read for each request, so what is in them may change.
 * Threads    That of the fetcher.
 * Ownership  Holds the source. Borrows the fetcher, which must be destroyed first or have given the
 *            answer back.
 */
#ifndef SERVERD_TARGET_FETCH_H
#define SERVERD_TARGET_FETCH_H

#include <stdint.h>

#include "common/error.h"
#include "libprober/http_fetch.h"
#include "libprober/target_list.h"
#include "libprober/target_source.h"

struct target_fetch;

/* Starts a request to a source of kind TARGET_SOURCE_HTTP. Errors: PROBER_ERR_NOMEM; those of
 * file_read when the settings name a file that cannot be read, with a sentence in *why. */
enum prober_error target_fetch_start(struct target_fetch **out, struct http_fetcher *fetcher,
                                     const struct target_source *source, uint64_t refresh_ns,
                                     uint64_t timeout_ns, struct prober_failure *why);
/* The answer that http_fetcher_take gives for this fetch. */
const struct http_answer *target_fetch_answer(const struct target_fetch *fetch);
/* Makes a list for entries of this kind of the answer, once it is complete. Errors: all that can be
 * wrong with it, with a sentence in *why. */
enum prober_error target_fetch_read(const struct target_fetch *fetch, enum probe_kind kind,
                                    struct target_list **out, struct prober_failure *why);
/* NULL is fine. */
void target_fetch_destroy(struct target_fetch *fetch);

#endif
