#include "test/unit/fakes/fake_http_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_engine *fake_http_engine;

enum prober_error http_engine_create(struct http_engine **out, struct resolver *resolver)
{
    (void)resolver;
    fake_http_engine = calloc(1, sizeof(*fake_http_engine));
    *out = fake_http_engine;
    return *out ? PROBER_OK : PROBER_ERR_NOMEM;
}

void http_engine_set_guard(struct http_engine *e,
                           bool (*permits)(void *context, const struct prober_addr *address),
                           void *context)
{
    e->permits = permits;
    e->permits_context = context;
}

static void end(struct http_engine *e, struct fake_http_probe *p, const struct http_result *result)
{
    http_done done = p->done;

    p->done = NULL;
    e->running--;
    done(p->context, result);
}

void http_engine_start(struct http_engine *e, struct http_kind *kind, const char *target,
                       uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context)
{
    struct fake_http_probe *p = &e->probes[e->count++];

    if (e->count == FAKE_HTTP_PROBES_MAX)
        abort();
    *p = (struct fake_http_probe){.kind = kind,
                                  .started_ns = now_ns,
                                  .timeout_ns = timeout_ns,
                                  .done = done,
                                  .context = context};
    snprintf(p->target, sizeof(p->target), "%s", target);
    e->running++;
    if (e->at_once)
        end(e, p, &(struct http_result){.reason = e->at_once, .content_length = -1});
}

void http_engine_start_inner(struct http_engine *e, struct http_kind *kind, const char *target,
                             uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context)
{
    http_engine_start(e, kind, target, timeout_ns, now_ns, done, context);
}

void fake_http_engine_end(size_t i, const struct http_result *result)
{
    fake_http_engine->probes[i].result = *result;
    fake_http_engine->probes[i].is_told = true;
}

size_t http_engine_running(const struct http_engine *e)
{
    return e->running;
}

bool http_engine_is_busy(const struct http_engine *e)
{
    return e->is_busy;
}

int http_engine_fd(const struct http_engine *e)
{
    (void)e;
    return -1;
}

/* When the probe ends; 0: as told, at once. */
static uint64_t end_of(const struct http_engine *e, struct fake_http_probe *p)
{
    bool answers = e->answers_after_ns && e->answers_after_ns < p->timeout_ns;

    if (p->is_told)
        return 0;
    p->result = (struct http_result){.reason = answers ? HTTP_SUCCEEDED : HTTP_FAILED_TIMEOUT,
                                     .status = answers ? 200 : 0,
                                     .content_length = -1};
    return p->started_ns + (answers ? e->answers_after_ns : p->timeout_ns);
}

uint64_t http_engine_step(struct http_engine *e, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < e->count; i++) {
        struct fake_http_probe *p = &e->probes[i];
        uint64_t at_ns;

        if (!p->done)
            continue;
        at_ns = end_of(e, p);
        if (at_ns <= now_ns)
            end(e, p, &p->result);
        else if (at_ns < next)
            next = at_ns;
    }
    return next;
}

void http_engine_destroy(struct http_engine *e)
{
    if (e == fake_http_engine)
        fake_http_engine = NULL;
    free(e);
}
