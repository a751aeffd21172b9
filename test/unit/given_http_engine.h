/*
 * given_http_engine - an engine with a name server of its own, and a probe that runs to its end.
 */
#ifndef TEST_UNIT_GIVEN_HTTP_ENGINE_H
#define TEST_UNIT_GIVEN_HTTP_ENGINE_H

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "fakes/dns_server.h"
#include "given_http_spec.h"
#include "libprober/http_engine.h"
#include "unit.h"

#define GIVEN_TIMEOUT_NS (20 * CLOCK_NS_PER_S)

struct given_http_engine {
    struct dns_server *dns;
    struct resolver *resolver;
    struct http_engine *engine;
    struct http_spec spec;
    struct http_means means;
    struct http_trace *trace; /* for the next probe; NULL: none */
    struct http_kind *kind; /* made by the first probe; given_spec_changes forgets it */
    struct http_result result;
    char trouble[PROBER_FAILURE_MAX]; /* of the result; "": none */
    unsigned ended;
    uint64_t later_ns; /* how much later than it is probes begin */
};

static inline void given_engine(struct given_http_engine *g, const struct dns_record *records)
{
    struct resolver_config config = {0};

    memset(g, 0, sizeof(*g));
    g->dns = dns_server_start(records);
    config.servers = dns_server_address(g->dns);
    g->spec = given_http_spec();
    assert_int_equal(resolver_create(&g->resolver, &config, NULL), PROBER_OK);
    assert_int_equal(http_engine_create(&g->engine, g->resolver), PROBER_OK);
}

static inline void given_spec_changes(struct given_http_engine *g)
{
    http_kind_destroy(g->kind);
    g->kind = NULL;
}

static inline void given_engine_ends(struct given_http_engine *g)
{
    resolver_destroy(g->resolver);
    http_engine_destroy(g->engine);
    given_spec_changes(g);
    dns_server_stop(g->dns);
}

static inline void given_on_done(void *context, const struct http_result *result)
{
    struct given_http_engine *g = context;

    g->result = *result;
    snprintf(g->trouble, sizeof(g->trouble), "%s", result->trouble ? result->trouble : "");
    g->ended++;
}

static inline void given_begin(struct given_http_engine *g, const char *url, uint64_t timeout_ns)
{
    struct prober_failure why;

    if (!g->kind && http_kind_create(&g->kind, &g->spec, &g->means, &why))
        fail_msg("%s", why.text);
    http_engine_start_traced(g->engine, g->kind, url, timeout_ns,
                             clock_monotonic_ns() + g->later_ns, g->trace, given_on_done, g);
}

static inline void given_turn(struct given_http_engine *g)
{
    uint64_t now = clock_monotonic_ns(), next = http_engine_step(g->engine, now);
    struct pollfd fd = {http_engine_fd(g->engine), POLLIN, 0};

    if (http_engine_running(g->engine) > 0 && next > now)
        poll(&fd, 1, next == UINT64_MAX ? -1 : (int)((next - now) / CLOCK_NS_PER_MS + 1));
}

/* Returns the reason; the result is in g. */
static inline const char *given_probe_within(struct given_http_engine *g, const char *url,
                                             uint64_t timeout_ns)
{
    unsigned before = g->ended;

    given_begin(g, url, timeout_ns);
    while (g->ended == before)
        given_turn(g);
    return g->result.reason ? http_reason_text(g->result.reason) : "success";
}

static inline const char *given_probe(struct given_http_engine *g, const char *url)
{
    return given_probe_within(g, url, GIVEN_TIMEOUT_NS);
}

#endif
