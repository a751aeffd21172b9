#include "serverd/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/utf8.h"

#define HEADERS_MAX 128 /* civetweb keeps 64 */
#define CLIENTS_MAX 2048 /* that are answered at a time, over all web servers */
#define LOG_EVERY_NS CLOCK_NS_PER_S
#define BODY_KEPT 4096 /* of a change's body, in its record */

struct gate {
    pthread_mutex_t lock;
    struct access_rules *rules;              /* guarded by lock */
    struct prober_addr clients[CLIENTS_MAX]; /* one entry a request; guarded by lock */
    size_t client_count;                     /* guarded by lock */
    uint64_t logged_ns, unlogged;            /* of refusals; guarded by lock */
    struct store_audit *audit;               /* NULL: none */
    size_t per_client;
    atomic_uint_fast64_t refused[ACCESS_REFUSAL_COUNT], crowded, unrecorded, changes, failed_changes;
};

/* A change that is on record as begun. */
struct change {
    struct gate *gate;
    const struct access_caller *caller;
    const struct store_audit_record *record;
    int64_t id;
};

enum prober_error gate_create(struct gate **out, struct access_rules *rules,
                              struct store_audit *audit, size_t per_client)
{
    struct gate *gate = calloc(1, sizeof(*gate));

    if (!gate)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&gate->lock, NULL);
    gate->rules = rules;
    gate->audit = audit;
    gate->per_client = per_client;
    *out = gate;
    return PROBER_OK;
}

void gate_set_rules(struct gate *gate, struct access_rules *rules)
{
    struct access_rules *before;

    pthread_mutex_lock(&gate->lock);
    before = gate->rules;
    gate->rules = rules;
    pthread_mutex_unlock(&gate->lock);
    access_rules_put(before);
}

static struct access_rules *rules_in_force(struct gate *gate)
{
    struct access_rules *rules;

    pthread_mutex_lock(&gate->lock);
    rules = access_rules_get(gate->rules);
    pthread_mutex_unlock(&gate->lock);
    return rules;
}

bool gate_spares(void *context, const struct prober_addr *peer)
{
    struct access_rules *rules = rules_in_force(context);
    bool spares = access_rules_trust(rules, peer);

    access_rules_put(rules);
    return spares;
}

/* ---- refusing ---- */

/* At most a line a second, so that nobody can fill the log. */
static bool may_log(struct gate *gate, uint64_t *unlogged)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool may;

    pthread_mutex_lock(&gate->lock);
    may = gate->logged_ns == 0 || now_ns - gate->logged_ns >= LOG_EVERY_NS;
    *unlogged = gate->unlogged;
    gate->unlogged = may ? 0 : gate->unlogged + 1;
    if (may)
        gate->logged_ns = now_ns;
    pthread_mutex_unlock(&gate->lock);
    return may;
}

static void refuse(struct gate *gate, struct web_exchange *x, enum access_refusal refusal,
                   const struct access_caller *caller)
{
    char client[PROBER_ADDR_TEXT_MAX];
    int status = access_status(refusal);
    uint64_t unlogged;

    atomic_fetch_add(&gate->refused[refusal], 1);
    if (may_log(gate, &unlogged))
        log_warn("refused a request of the admin API", LOG_S("reason", access_reason(refusal)),
                 LOG_S("method", web_method_text(x)), LOG_S("path", web_raw_path(x)),
                 LOG_S("client", prober_addr_format(&caller->client, client)),
                 LOG_S("who", caller->who), LOG_U("not_logged_before", unlogged));
    web_refuse(x, status, status == 401 ? "WWW-Authenticate" : NULL,
               refusal == ACCESS_MISSING ? "Bearer realm=\"probermesh\""
                                         : "Bearer realm=\"probermesh\", error=\"invalid_token\"",
               access_text(refusal));
}

/* ---- clients ---- */

static bool enter(struct gate *gate, const struct prober_addr *client)
{
    size_t held = 0;
    bool entered;

    pthread_mutex_lock(&gate->lock);
    for (size_t i = 0; i < gate->client_count; i++)
        held += prober_addr_equal(&gate->clients[i], client);
    entered = held < gate->per_client && gate->client_count < CLIENTS_MAX;
    if (entered)
        gate->clients[gate->client_count++] = *client;
    pthread_mutex_unlock(&gate->lock);
    return entered;
}

static void leave(struct gate *gate, const struct prober_addr *client)
{
    size_t i = 0;

    pthread_mutex_lock(&gate->lock);
    while (!prober_addr_equal(&gate->clients[i], client))
        i++;
    gate->clients[i] = gate->clients[--gate->client_count];
    pthread_mutex_unlock(&gate->lock);
}

/* ---- changes ---- */

static void tell(const struct change *change, int status)
{
    log_warn(status < 300 ? "a change was made" : "a change was not made",
             LOG_S("who", change->record->who), LOG_S("client", change->record->client),
             LOG_S("method", change->record->method), LOG_S("target", change->record->target),
             LOG_I("status", status), LOG_I("audit", change->id));
}

/* Before the answer is sent. */
static void finish_change(void *context, int status)
{
    struct change *change = context;
    struct gate *gate = change->gate;
    struct prober_failure why;

    atomic_fetch_add(status < 300 ? &gate->changes : &gate->failed_changes, 1);
    if (gate->audit && store_audit_end(gate->audit, change->id, status, &why)) {
        atomic_fetch_add(&gate->unrecorded, 1);
        log_error("the outcome of a change is not in its record", LOG_S("error", why.text),
                  LOG_I("audit", change->id), LOG_I("status", status));
    }
    tell(change, status);
}

static void put_escaped_cut(struct strbuf *out, const char *bytes, size_t len)
{
    if (len > BODY_KEPT) {
        for (len = BODY_KEPT; len > BODY_KEPT - 4 && ((unsigned char)bytes[len] & 0xc0) == 0x80;)
            len--; /* not within a character */
        utf8_put_escaped(out, bytes, len);
        strbuf_puts(out, "…");
        return;
    }
    utf8_put_escaped(out, bytes, len);
}

static bool fill_record(struct web_exchange *x, struct strbuf *target, struct strbuf *body)
{
    const char *path = web_raw_path(x), *query = web_raw_query(x), *bytes;
    size_t len;

    put_escaped_cut(target, path, strlen(path));
    if (query) {
        strbuf_putc(target, '?');
        put_escaped_cut(target, query, strlen(query));
    }
    bytes = web_body(x, &len);
    put_escaped_cut(body, bytes, len);
    strbuf_puts(body, "");
    return strbuf_ok(target) && strbuf_ok(body);
}

static void begin_change(struct change *change, struct web_exchange *x)
{
    struct gate *gate = change->gate;
    struct prober_failure why;

    if (gate->audit && store_audit_begin(gate->audit, change->record, &change->id, &why)) {
        atomic_fetch_add(&gate->unrecorded, 1);
        log_error("refused a change that cannot be recorded", LOG_S("error", why.text),
                  LOG_S("who", change->record->who), LOG_S("target", change->record->target));
        web_reply_text(x, 503, "this cannot be recorded, so nothing was changed: the log says why\n");
        return;
    }
    web_before_reply(x, finish_change, change);
    web_pass(x);
}

static void serve_change(struct gate *gate, struct web_exchange *x,
                         const struct access_caller *caller)
{
    struct strbuf target = STRBUF_INIT, body = STRBUF_INIT;
    char client[PROBER_ADDR_TEXT_MAX];

    if (!web_receive(x))
        return;
    if (fill_record(x, &target, &body)) {
        const struct store_audit_record record = {
            .at_real_ns = clock_realtime_ns(),
            .who = caller->who,
            .client = prober_addr_format(&caller->client, client),
            .method = web_method_text(x),
            .target = target.bytes,
            .body = body.bytes ? body.bytes : "",
        };
        struct change change = {gate, caller, &record, 0};

        begin_change(&change, x);
    } else {
        web_reply_text(x, 503, "out of memory\n");
    }
    strbuf_free(&target);
    strbuf_free(&body);
}

/* ---- every request ---- */

static enum access_refusal judge(struct gate *gate, struct web_exchange *x,
                                 struct access_caller *caller)
{
    const struct web_route *route = web_matched(x);
    struct access_rules *rules = rules_in_force(gate);
    struct access_header headers[HEADERS_MAX];
    struct access_request request = {
        .peer = web_peer(x),
        .peer_port = web_peer_port(x),
        .own_port = web_own_port(x),
        .version = web_version(x),
        .path = web_raw_path(x),
        .headers = headers,
        .needed = route ? (enum role)route->role : ROLE_NONE,
    };
    enum access_refusal refusal;

    while (request.header_count < HEADERS_MAX &&
           web_header_at(x, request.header_count, &headers[request.header_count].name,
                         &headers[request.header_count].value))
        request.header_count++;
    refusal = access_judge(rules, &request, clock_realtime_ns(), caller);
    access_rules_put(rules);
    return refusal;
}

void gate_serve(struct web_exchange *x, void *context)
{
    struct gate *gate = context;
    const struct web_route *route = web_matched(x);
    struct access_caller caller;
    enum access_refusal refusal = judge(gate, x, &caller);

    if (refusal != ACCESS_GRANTED) {
        refuse(gate, x, refusal, &caller);
        return;
    }
    if (!enter(gate, &caller.client)) {
        atomic_fetch_add(&gate->crowded, 1);
        web_refuse(x, 429, "Retry-After", "1", "too many requests at a time from one client\n");
        return;
    }
    web_set_caller(x, &caller);
    if (route && (route->methods & ~(unsigned)WEB_GET))
        serve_change(gate, x, &caller);
    else
        web_pass(x);
    leave(gate, &caller.client);
}

/* ---- metrics ---- */

void gate_write_metrics(struct gate *gate, struct metrics_writer *w)
{
    static const struct metric_family refused = {
        "prober_server_http_denied_total", METRIC_COUNTER, NULL,
        "HTTP requests that were not let in, by reason."};
    static const struct metric_family changes = {
        "prober_server_changes_total", METRIC_COUNTER, NULL,
        "Changes that were asked for by those who may, by outcome."};
    static const struct metric_family tokens = {"prober_server_tokens", METRIC_GAUGE, NULL,
                                                "Tokens of the admin API that are configured."};
    const struct {
        const char *outcome;
        uint64_t count;
    } rows[] = {{"made", atomic_load(&gate->changes)},
                {"failed", atomic_load(&gate->failed_changes)},
                {"unrecorded", atomic_load(&gate->unrecorded)}};
    struct access_rules *rules = rules_in_force(gate);

    metrics_family(w, &refused);
    for (int i = ACCESS_GRANTED + 1; i < ACCESS_REFUSAL_COUNT; i++) {
        const struct metric_label label = {"reason", access_reason((enum access_refusal)i)};

        metrics_sample_u64(w, &label, 1, atomic_load(&gate->refused[i]));
    }
    metrics_sample_u64(w, &(struct metric_label){"reason", "crowd"}, 1,
                       atomic_load(&gate->crowded));
    metrics_family(w, &changes);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        metrics_sample_u64(w, &(struct metric_label){"outcome", rows[i].outcome}, 1, rows[i].count);
    metrics_family(w, &tokens);
    metrics_sample_u64(w, NULL, 0, access_rules_tokens(rules));
    access_rules_put(rules);
}

void gate_destroy(struct gate *gate)
{
    if (!gate)
        return;
    access_rules_put(gate->rules);
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}
