/*
 * fake_http_engine - HTTP probes that end as and when the test says, at the next step.
 *
 * A probe that is left alone ends with HTTP_FAILED_TIMEOUT when its time is up, or with success after
 * `answers_after_ns`, if that is not 0.
 */
#ifndef FAKE_HTTP_ENGINE_H
#define FAKE_HTTP_ENGINE_H

#include <stdbool.h>

#include "libprober/http_engine.h"

#define FAKE_HTTP_PROBES_MAX 4096

struct fake_http_probe {
    char target[64];
    struct http_kind *kind;
    uint64_t started_ns, timeout_ns;
    http_done done; /* NULL: it has ended */
    void *context;
    bool is_told; /* what `result` is */
    struct http_result result;
};

struct http_engine {
    struct fake_http_probe probes[FAKE_HTTP_PROBES_MAX];
    size_t count; /* ever started */
    size_t running;
    bool is_busy;
    uint64_t answers_after_ns;
    enum http_reason at_once; /* unless HTTP_SUCCEEDED: every probe ends so inside its start */
    bool (*permits)(void *context, const struct prober_addr *address);
    void *permits_context;
};

/* The one that was made last. */
extern struct http_engine *fake_http_engine;

/* Has probe i end with this result at the next step. */
void fake_http_engine_end(size_t i, const struct http_result *result);

#endif
