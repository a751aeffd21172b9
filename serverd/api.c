#include "serverd/api.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/number.h"
#include "common/problems.h"
#include "serverd/api_tasks.h"
#include "serverd/plan.h"
#include "serverd/role.h"

#define JSON_TYPE "application/json"

static double seconds(double ns)
{
    return ns / (double)CLOCK_NS_PER_S;
}

static void reply_json(struct web_exchange *x, struct json *value)
{
    char *text = json_print(value, false);

    json_free(value);
    if (text)
        web_reply(x, 200, JSON_TYPE, text, strlen(text));
    else
        web_reply_text(x, 500, "out of memory\n");
    free(text);
}

/* ---- agents ---- */

static struct json *agent_json(const struct directory_agent *a, uint64_t now_real_ns)
{
    struct json *object = json_object(), *addresses = json_array();
    char id[PROBER_ID_TEXT_MAX], text[PROBER_ADDR_TEXT_MAX];
    uint64_t age_ns = now_real_ns > a->last_seen_real_ns ? now_real_ns - a->last_seen_real_ns : 0;

    for (size_t i = 0; i < a->address_count; i++)
        json_append(addresses, json_new_string(prober_addr_format(&a->addresses[i], text)));
    json_add_string(object, "id", prober_id_format(&a->id, id));
    json_add_u64(object, "number", a->number);
    json_add_string(object, "region", a->region);
    json_add_bool(object, "alive", a->alive);
    json_add(object, "addresses", addresses);
    if (a->observed.family == PROBER_FAMILY_NONE)
        json_add_null(object, "observed_address");
    else
        json_add_string(object, "observed_address", prober_addr_format(&a->observed, text));
    json_add_string(object, "version", a->version);
    json_add_string(object, "os", a->os);
    json_add_string(object, "architecture", a->architecture);
    json_add_string(object, "trust", a->trusted ? "joined" : "plain");
    json_add_double(object, "probe_interval", seconds((double)a->probe_interval_ns));
    json_add_double(object, "first_seen", seconds((double)a->first_seen_real_ns));
    json_add_double(object, "last_seen", seconds((double)a->last_seen_real_ns));
    json_add_double(object, "last_seen_age", seconds((double)age_ns));
    json_add_u64(object, "spool_reports", a->spool_reports);
    json_add_u64(object, "spool_dropped", a->spool_dropped);
    return object;
}

struct json *api_agents_json(const struct directory *directory, uint64_t now_real_ns)
{
    struct json *root = json_object(), *agents = json_array();

    for (size_t i = 0; i < directory->agent_count; i++)
        json_append(agents, agent_json(&directory->agents[i], now_real_ns));
    json_add_u64(root, "plan_revision", directory->plan_revision);
    json_add(root, "agents", agents);
    return root;
}

static void get_agents(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct directory *directory = directory_get(api->board);

    reply_json(x, api_agents_json(directory, clock_realtime_ns()));
    directory_put(directory);
}

/* ---- mesh ---- */

/* Since the mesh was made. */
static uint64_t waited(const struct mesh *mesh, uint64_t now_ns)
{
    return now_ns > mesh->made_mono_ns ? now_ns - mesh->made_mono_ns : 0;
}

static void add_counts(struct json *object, const struct icmp_totals *t)
{
    json_add_u64(object, "sent", t->sent);
    json_add_u64(object, "received", t->received);
    json_add_u64(object, "lost", icmp_totals_lost(t));
    json_add_u64(object, "unknown", t->unknown);
    json_add_u64(object, "unsent", icmp_totals_unsent(t));
}

/* Without a value there is null, never 0. */
static void add_value(struct json *object, const char *key, bool known, double value)
{
    if (known)
        json_add_double(object, key, value);
    else
        json_add_null(object, key);
}

static void add_window(struct json *object, const struct mesh_pair *pair, uint64_t waited_ns)
{
    static const char *const counts[] = {"sent", "received", "lost", "unknown", "unsent"};
    const struct mesh_window *w = &pair->window;
    bool known = pair->has_gauges, rtt = known && w->rtt.count > 0;
    double loss = known ? icmp_totals_loss_ratio(&w->counts) : -1;

    if (known)
        add_counts(object, &w->counts);
    for (size_t i = 0; !known && i < ARRAY_LEN(counts); i++)
        json_add_null(object, counts[i]);
    add_value(object, "loss_ratio", loss >= 0, loss);
    add_value(object, "mean", rtt, seconds(moments_mean_ns(&w->rtt)));
    add_value(object, "stddev", rtt, seconds(moments_stddev_ns(&w->rtt)));
    add_value(object, "min", rtt, seconds((double)w->rtt.min_ns));
    add_value(object, "p50", rtt, seconds(w->p50_ns));
    add_value(object, "p90", rtt, seconds(w->p90_ns));
    add_value(object, "p99", rtt, seconds(w->p99_ns));
    add_value(object, "max", rtt, seconds((double)w->rtt.max_ns));
    add_value(object, "jitter", rtt, seconds(w->jitter_ns));
    json_add_bool(object, "failed", known && w->failed_cells > 0 && w->counts.received == 0);
    add_value(object, "cells", known, (double)w->cells);
    add_value(object, "failed_cells", known, (double)w->failed_cells);
    add_value(object, "age", known, seconds((double)(pair->age_ns + waited_ns)));
}

static struct json *pair_json(const struct mesh_pair *pair, uint64_t waited_ns)
{
    struct json *object = json_object(), *total = json_object();

    json_add_string(object, "source", pair->source);
    json_add_string(object, "target", pair->target);
    json_add_bool(object, "planned", pair->planned);
    add_window(object, pair, waited_ns);
    add_counts(total, &pair->total);
    json_add(object, "total", total);
    return object;
}

struct json *api_mesh_json(const struct mesh *mesh, uint64_t now_ns)
{
    struct json *root = json_object(), *pairs = json_array();

    for (size_t i = 0; i < mesh->pair_count; i++)
        json_append(pairs, pair_json(&mesh->pairs[i], waited(mesh, now_ns)));
    json_add_u64(root, "aggregation", mesh->number);
    json_add_double(root, "aggregated_at", seconds((double)mesh->made_real_ns));
    json_add(root, "pairs", pairs);
    return root;
}

static void get_mesh(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct mesh *mesh = aggregate_mesh(api->aggregate);

    reply_json(x, api_mesh_json(mesh, clock_monotonic_ns()));
    mesh_put(mesh);
}

/* ---- URLs ---- */

static void add_number(struct json *object, const char *key, uint64_t number)
{
    if (number)
        json_add_u64(object, key, number);
    else
        json_add_null(object, key);
}

static struct json *phases_json(const struct mesh_url_window *w, bool known)
{
    struct json *object = json_object();

    for (int phase = 0; phase < HTTP_PHASE_COUNT; phase++)
        add_value(object, http_phase_text((enum http_phase)phase), known,
                  seconds(w->phases_ns[phase]));
    return object;
}

static void add_seen(struct json *object, const struct mesh_url_window *w)
{
    char version[MESH_HTTP_VERSION_MAX];

    add_number(object, "status_code", w->status);
    if (w->version)
        json_add_string(object, "http_version", mesh_http_version_text(w->version, version));
    else
        json_add_null(object, "http_version");
    if (w->tls_version)
        json_add_string(object, "tls_version", mesh_tls_version_text(w->tls_version));
    else
        json_add_null(object, "tls_version");
    add_value(object, "redirects", w->redirects > 0, (double)w->redirects - 1);
    add_value(object, "content_length", w->content_length > 0, (double)w->content_length - 1);
    add_value(object, "body_length", w->body_length > 0, (double)w->body_length - 1);
    add_number(object, "dns_answers", w->dns_answers);
    add_number(object, "ssl_earliest_cert_expiry", w->earliest_cert_expiry);
    add_number(object, "ssl_last_chain_expiry", w->last_chain_expiry);
}

static struct json *failed_json(const struct mesh_url_window *w)
{
    struct json *object = json_object();

    for (unsigned reason = 0; reason < HTTP_TOTALS_REASONS; reason++)
        if (http_totals_is_failure(reason) && w->ended[reason] > 0)
            json_add_u64(object, http_totals_reason_text(reason), w->ended[reason]);
    return object;
}

static void add_url_window(struct json *object, const struct mesh_url *url, uint64_t waited_ns)
{
    static const struct mesh_url_window nothing;
    const struct mesh_url_window *w = url->has_gauges ? &url->window : &nothing;
    bool succeeded = w->ended[HTTP_SUCCEEDED] > 0;
    add_value(object, "agents", url->has_gauges, w->agents);
    add_value(object, "succeeded", url->has_gauges, w->ended[HTTP_SUCCEEDED]);
    if (url->has_gauges)
        json_add(object, "failed", failed_json(w));
    else
        json_add_null(object, "failed");
    json_add(object, "phases", phases_json(w, succeeded));
    add_value(object, "duration", succeeded, seconds(w->duration_ns));
    add_seen(object, w);
    add_value(object, "age", url->has_gauges, seconds((double)(url->age_ns + waited_ns)));
}

static struct json *url_totals_json(const struct mesh_url *url)
{
    struct json *object = json_object(), *failures = json_object();

    for (unsigned reason = 0; reason < HTTP_TOTALS_REASONS; reason++)
        if (http_totals_is_failure(reason) && url->total.ended[reason] > 0)
            json_add_u64(failures, http_totals_reason_text(reason), url->total.ended[reason]);
    json_add_u64(object, "probes", http_totals_probed(&url->total));
    json_add_u64(object, "succeeded", http_totals_succeeded(&url->total));
    json_add_u64(object, "failed", url->total_failed);
    json_add_u64(object, "unsent", http_totals_unsent(&url->total));
    json_add(object, "failures", failures);
    return object;
}

static struct json *url_json(const struct mesh_url *url, uint64_t waited_ns)
{
    struct json *object = json_object();

    json_add_string(object, "source", url->source);
    json_add_string(object, "target_region", url->region);
    json_add_string(object, "target", url->target);
    json_add_bool(object, "planned", url->planned);
    add_url_window(object, url, waited_ns);
    json_add(object, "total", url_totals_json(url));
    return object;
}

struct json *api_http_json(const struct mesh *mesh, uint64_t now_ns)
{
    struct json *root = json_object(), *urls = json_array();

    for (size_t i = 0; i < mesh->url_count; i++)
        json_append(urls, url_json(&mesh->urls[i], waited(mesh, now_ns)));
    json_add_u64(root, "aggregation", mesh->number);
    json_add_double(root, "aggregated_at", seconds((double)mesh->made_real_ns));
    json_add(root, "urls", urls);
    return root;
}

static void get_http(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct mesh *mesh = aggregate_mesh(api->aggregate);

    reply_json(x, api_http_json(mesh, clock_monotonic_ns()));
    mesh_put(mesh);
}

/* ---- targets ---- */

static struct json *entry_json(const struct plan_entry *e)
{
    struct json *object = json_object(), *targets = json_array();

    for (size_t i = 0; i < e->target_count; i++)
        json_append(targets, json_new_string(e->targets[i].shown));
    json_add_string(object, "prober_type", probe_kind_name(e->kind));
    json_add(object, "targets", targets);
    return object;
}

/* A region whose agents are all gone, and that the file does not name, is null. */
static void add_emptied(struct json *root, const struct directory *directory)
{
    for (size_t i = 0; i < directory->agent_count; i++) {
        const char *region = directory->agents[i].region;

        if (i && strcmp(region, directory->agents[i - 1].region) == 0)
            continue;
        if (!directory->plan || !plan_region_find(directory->plan, region))
            json_add_null(root, region);
    }
}

struct json *api_targets_json(const struct directory *directory)
{
    struct json *root = json_object();
    const struct plan *plan = directory->plan;

    for (size_t i = 0; plan && i < plan->region_count; i++) {
        const struct plan_region *r = &plan->regions[i];
        struct json *entries = json_array();

        for (size_t k = 0; k < r->entry_count; k++)
            json_append(entries, entry_json(&r->entries[k]));
        json_add(root, r->name, entries);
    }
    add_emptied(root, directory);
    return root;
}

static void get_targets(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct directory *directory = directory_get(api->board);

    reply_json(x, api_targets_json(directory));
    directory_put(directory);
}

/* ---- the rest ---- */

static void get_metrics(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    enum metrics_format format = metrics_negotiate(web_header(x, "Accept"));
    struct aggregate_scrape *scrape = aggregate_scrape(api->aggregate, format, web_accepts_gzip(x));
    size_t len;
    const void *bytes = aggregate_scrape_bytes(scrape, &len);

    if (aggregate_scrape_is_gzip(scrape))
        web_reply_encoded(x, 200, metrics_content_type(format), "gzip", bytes, len);
    else
        web_reply(x, 200, metrics_content_type(format), bytes, len);
    aggregate_scrape_put(scrape);
}

static void get_healthy(struct web_exchange *x, void *context)
{
    (void)context;
    web_reply_text(x, 200, "ok\n");
}

static void get_ready(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    bool ready = atomic_load(&api->ready);

    web_reply_text(x, ready ? 200 : 503, ready ? "ready\n" : "not ready\n");
}

static void do_reload(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct problems *problems = NULL;
    struct strbuf text = STRBUF_INIT;

    if (problems_create(&problems)) {
        web_reply_text(x, 500, "out of memory\n");
        return;
    }
    if (reload_run(api->reload, problems) == PROBER_OK) {
        web_reply_text(x, 200, "ok");
    } else {
        strbuf_puts(&text, "one or more reloader reload failed\n");
        for (size_t i = 0; i < problems_count(problems) && i < PROBLEMS_MAX; i++)
            strbuf_printf(&text, "%s\n", problems_text(problems, i));
        web_reply_text(x, 500, strbuf_ok(&text) ? text.bytes : "out of memory\n");
    }
    strbuf_free(&text);
    problems_destroy(problems);
}

/* ---- audit ---- */

#define AUDIT_LIMIT_DEFAULT 100
#define AUDIT_LIMIT_MAX 1000

static void add_row(void *context, const struct store_audit_row *row)
{
    struct json *object = json_object();

    json_add_u64(object, "id", (uint64_t)row->id);
    json_add_double(object, "time", seconds((double)row->record.at_real_ns));
    json_add_string(object, "who", row->record.who);
    json_add_string(object, "client", row->record.client);
    json_add_string(object, "method", row->record.method);
    json_add_string(object, "target", row->record.target);
    json_add_string(object, "body", row->record.body);
    add_number(object, "status", (uint64_t)row->status);
    json_append(context, object);
}

/* A number of the query from 1 to `most`, or *out as it was when it is not there. */
static bool query_number(const struct web_exchange *x, const char *name, int64_t most, int64_t *out)
{
    char text[64];

    return !web_query(x, name, text, sizeof(text)) ||
           (number_parse_i64(text, out) == PROBER_OK && *out >= 1 && *out <= most);
}

static void get_audit(struct web_exchange *x, void *context)
{
    const struct api *api = context;
    struct json *root, *records;
    struct prober_failure why;
    int64_t before = INT64_MAX, limit = AUDIT_LIMIT_DEFAULT;

    if (!query_number(x, "before", INT64_MAX, &before) ||
        !query_number(x, "limit", AUDIT_LIMIT_MAX, &limit)) {
        web_reply_text(x, 400, "before is an id, limit from 1 to 1000\n");
        return;
    }
    if (!api->audit) {
        web_reply_text(x, 503, "the server runs without a store: the log has the changes\n");
        return;
    }
    root = json_object();
    records = json_array();
    if (store_audit_read(api->audit, before, (unsigned)limit, add_row, records, &why)) {
        json_free(records);
        json_free(root);
        web_reply_text(x, 503, why.text);
        return;
    }
    json_add(root, "records", records);
    reply_json(x, root);
}

#define METRICS_ROUTES                                                                             \
    {"/metrics", WEB_GET, ROLE_SCRAPE, get_metrics}, {"/-/healthy", WEB_GET, ROLE_NONE, get_healthy}, \
        {"/-/ready", WEB_GET, ROLE_NONE, get_ready}

/* The original took any method; GET of /-/reload is kept, guarded as every change is. */
const struct web_route api_routes[] = {
    METRICS_ROUTES,
    {"/-/targets", WEB_GET, ROLE_READ, get_targets},
    {"/-/reload", WEB_GET | WEB_POST, ROLE_OPERATE, do_reload},
    {"/api/v1/agents", WEB_GET, ROLE_READ, get_agents},
    {"/api/v1/mesh", WEB_GET, ROLE_READ, get_mesh},
    {"/api/v1/http", WEB_GET, ROLE_READ, get_http},
    {"/-/task", WEB_POST, ROLE_OPERATE, api_tasks_post},
    {"/api/v1/tasks", WEB_GET, ROLE_OPERATE, api_tasks_list},
    {"/api/v1/tasks/{id}", WEB_GET, ROLE_OPERATE, api_tasks_get},
    {"/api/v1/tasks/{id}", WEB_DELETE, ROLE_OPERATE, api_tasks_cancel},
    {"/api/v1/tasks/{id}/output/{agent}", WEB_GET, ROLE_OPERATE, api_tasks_output},
    {"/api/v1/tasks/{id}/events", WEB_GET, ROLE_OPERATE, api_tasks_follow},
    {"/api/v1/audit", WEB_GET, ROLE_ADMIN, get_audit},
};
const size_t api_routes_count = ARRAY_LEN(api_routes);

const struct web_route api_metrics_routes[] = {METRICS_ROUTES};
const size_t api_metrics_routes_count = ARRAY_LEN(api_metrics_routes);
