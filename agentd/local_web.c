#include "agentd/local_web.h"

#include <stdlib.h>

#include "agentd/agent_metrics.h"
#include "agentd/agent_health.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/web.h"

struct local_web {
    struct local_web_config config; /* immutable */
    char agent_id[PROBER_ID_TEXT_MAX], boot_id[PROBER_ID_TEXT_MAX];
    struct web_server *server;
};

static void serve_metrics(struct web_exchange *x, void *context)
{
    struct local_web *web = context;
    struct agent_metrics_identity identity = {web->agent_id, web->boot_id, web->config.region};
    struct strbuf out = STRBUF_INIT;
    struct metrics_writer w = {.out = &out, .format = metrics_negotiate(web_header(x, "Accept"))};
    struct clock_reading now = clock_read();
    struct agent_stats_copy stats;
    struct spool_counts spool;
    struct task_desk_counts tasks;

    agent_stats_read(web->config.stats, &stats);
    spool_counts(web->config.spool, &spool);
    agent_metrics_write(&w, &identity, &stats, &spool, &now);
    if (web->config.tasks) {
        task_desk_counts(web->config.tasks, &tasks);
        agent_metrics_write_tasks(&w, &tasks);
    }
    metrics_end(&w);
    if (strbuf_ok(&out))
        web_reply(x, 200, metrics_content_type(w.format), out.bytes, out.len);
    else
        web_reply_text(x, 503, "out of memory\n");
    strbuf_free(&out);
}

static void serve_check(struct web_exchange *x, void *context,
                        bool (*check)(const struct agent_stats_copy *, uint64_t, char *))
{
    struct local_web *web = context;
    char text[AGENT_HEALTH_TEXT_MAX];
    struct agent_stats_copy stats;
    bool good;

    agent_stats_read(web->config.stats, &stats);
    good = check(&stats, clock_monotonic_ns(), text);
    web_reply_text(x, good ? 200 : 503, text);
}

static void serve_healthy(struct web_exchange *x, void *context)
{
    serve_check(x, context, agent_health_is_alive);
}

static void serve_ready(struct web_exchange *x, void *context)
{
    serve_check(x, context, agent_health_is_ready);
}

static const struct web_route routes[] = {{"/metrics", WEB_GET, 0, serve_metrics},
                                          {"/-/healthy", WEB_GET, 0, serve_healthy},
                                          {"/-/ready", WEB_GET, 0, serve_ready}};

enum prober_error local_web_open(struct local_web **out, const struct local_web_config *config,
                                 struct prober_failure *why)
{
    struct local_web *web = calloc(1, sizeof(*web));
    struct web_config wc = {.listen = config->listen, .threads = 4, .context = web};
    enum prober_error err;

    if (!web)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    web->config = *config;
    prober_id_format(&config->identity->agent_id, web->agent_id);
    prober_id_format(&config->identity->boot_id, web->boot_id);
    err = web_open(&web->server, &wc, routes, ARRAY_LEN(routes), why);
    if (err) {
        free(web);
        return err;
    }
    *out = web;
    return PROBER_OK;
}

uint16_t local_web_port(const struct local_web *web)
{
    return web_port(web->server);
}

void local_web_close(struct local_web *web)
{
    if (!web)
        return;
    web_close(web->server);
    free(web);
}
