#include "libprober/http_engine.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "libprober/http_course.h"
#include "libprober/http_tls_reuse.h"
#include "libprober/http_transfer.h"

#define EVENTS_MAX 64

struct probe {
    struct http_engine *engine;
    const struct http_kit *kit;
    struct http_course course;
    struct http_transfer *transfer;
    struct http_result result;
    struct http_trace *trace;              /* NULL: nobody wants to know */
    const struct http_proxy_server *proxy; /* of this hop; NULL: none */
    struct prober_addr proxy_address;
    uint64_t started_ns, deadline_ns, lookup_ns;
    uint64_t proxy_lookup_ns; /* how long the lookup of the proxy's name took */
    size_t place;             /* in the engine's heap */
    bool is_looking_up, is_proxy_sought, is_in_set;
    bool is_waiting;     /* for the token */
    bool is_inner;       /* see http_engine_start_inner */
    char *authorization; /* of the token; NULL: none */
    http_done done;      /* NULL once it was called */
    void *context;
};

struct http_engine {
    struct resolver *resolver;
    CURLM *multi;
    struct http_tls_reuse *reuse;
    int epoll;
    bool (*permits)(void *context, const struct prober_addr *address); /* NULL: all */
    void *permits_context;
    uint64_t curl_ns;      /* when libcurl wants to be called; UINT64_MAX: not */
    struct probe **probes; /* [running]: a heap, the earliest deadline first */
    size_t running, room;
    bool is_busy;
    bool is_closing;
};

static const char *const phase_texts[] = {"resolve", "connect", "tls", "processing", "transfer"};

const char *http_phase_text(enum http_phase phase)
{
    return phase_texts[phase];
}

/* ---- the heap of deadlines ---- */

static void put_at(struct http_engine *e, size_t place, struct probe *p)
{
    e->probes[place] = p;
    p->place = place;
}

static void sift(struct http_engine *e, size_t place, struct probe *p)
{
    while (place > 0 && e->probes[(place - 1) / 2]->deadline_ns > p->deadline_ns) {
        put_at(e, place, e->probes[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (size_t child; (child = 2 * place + 1) < e->running; place = child) {
        if (child + 1 < e->running &&
            e->probes[child + 1]->deadline_ns < e->probes[child]->deadline_ns)
            child++;
        if (e->probes[child]->deadline_ns >= p->deadline_ns)
            break;
        put_at(e, place, e->probes[child]);
    }
    put_at(e, place, p);
}

static bool add_probe(struct http_engine *e, struct probe *p)
{
    if (e->running == e->room) {
        size_t room = e->room ? 2 * e->room : 64;
        struct probe **more = realloc(e->probes, room * sizeof(struct probe *));

        if (!more)
            return false;
        e->probes = more;
        e->room = room;
    }
    e->running++;
    sift(e, e->running - 1, p);
    return true;
}

static void remove_probe(struct http_engine *e, struct probe *p)
{
    struct probe *last = e->probes[--e->running];

    if (last != p)
        sift(e, p->place, last);
}

/* ---- a probe's way ---- */

static void free_probe(struct probe *p)
{
    if (p->is_in_set)
        curl_multi_remove_handle(p->engine->multi, http_transfer_handle(p->transfer));
    http_transfer_destroy(p->transfer);
    http_kit_release(p->kit);
    free(p->authorization);
    free(p);
}

/* Ends the probe. While a lookup or its token is awaited it stays in memory, as it will be called back. */
static void finish(struct probe *p, enum http_reason reason)
{
    http_done done = p->done;

    if (reason)
        http_trace_fail(p->trace, reason, p->result.trouble);
    p->result.reason = reason;
    p->result.duration_ns = clock_monotonic_ns() - p->started_ns;
    p->done = NULL;
    remove_probe(p->engine, p);
    done(p->context, &p->result);
    if (!p->is_looking_up && !p->is_waiting)
        free_probe(p);
}

static void ask(struct probe *p)
{
    struct http_fields fields = {STRBUF_INIT};
    const struct http_hop hop = {
        .url = &p->course.url,
        .address = p->result.address,
        .proxy = p->proxy,
        .proxy_address = p->proxy_address,
        .method = p->course.method,
        .has_body = p->course.has_body,
        .host = p->course.host,
        .tls_name = p->course.tls_name,
        .fields = &fields,
        .trace = p->trace,
    };
    enum prober_error err = PROBER_OK;

    http_course_put_fields(&p->course, &fields);
    if (!p->transfer)
        err = http_transfer_create(&p->transfer, p->kit->spec, p->kit->trust, p->kit->keeps_body);
    if (!err && strbuf_ok(&fields.text))
        err = http_transfer_prepare(p->transfer, &hop, p, clock_monotonic_ns());
    else
        err = PROBER_ERR_NOMEM;
    strbuf_free(&fields.text);
    p->is_in_set = !err && curl_multi_add_handle(p->engine->multi,
                                                 http_transfer_handle(p->transfer)) == CURLM_OK;
    if (!p->is_in_set)
        finish(p, HTTP_FAILED_LOCAL);
}

static bool is_permitted(struct probe *p, const struct prober_addr *address)
{
    struct http_engine *e = p->engine;

    if (!e->permits || e->permits(e->permits_context, address))
        return true;
    p->result.is_forbidden = true;
    p->result.trouble = "the address is not permitted";
    finish(p, HTTP_FAILED_LOCAL);
    return false;
}

/* Ends a lookup; false when nobody waits for it any more. */
static bool has_looked_up(struct probe *p)
{
    p->is_looking_up = false;
    if (p->done)
        return true;
    free_probe(p);
    return false;
}

static void on_address_of_proxy(void *context, const struct resolver_answer *answer)
{
    struct probe *p = context;

    if (!has_looked_up(p))
        return;
    p->proxy_lookup_ns = answer->elapsed_ns;
    p->proxy_address = answer->address;
    http_trace_proxy(p->trace, p->proxy->host, p->proxy->port, &answer->address);
    if (answer->status != RESOLVER_OK) {
        p->result.trouble = "the proxy's name has no address";
        finish(p, answer->status == RESOLVER_CANCELLED ? HTTP_FAILED_LOCAL : HTTP_FAILED_PROXY);
    } else if (is_permitted(p, &p->proxy_address)) {
        ask(p);
    }
}

static void look_up(struct probe *p, const char *name, bool strict, resolver_done done)
{
    p->is_looking_up = true;
    p->lookup_ns = clock_monotonic_ns();
    resolver_lookup(p->engine->resolver, name, p->kit->spec->preferred_family, strict, p->lookup_ns,
                    done, p);
}

/* Goes on with all that is known about the target. */
static void approach(struct probe *p)
{
    p->is_proxy_sought = p->proxy != NULL;
    if (p->proxy)
        look_up(p, p->proxy->host, false, on_address_of_proxy);
    else
        ask(p);
}

static enum http_proxy_choice choose_proxy(struct probe *p, const struct prober_addr *address)
{
    p->proxy = NULL;
    return http_proxies_choose(p->kit->proxies, &p->course.url, address, &p->proxy);
}

static void on_address(void *context, const struct resolver_answer *answer)
{
    static const enum http_reason reasons[RESOLVER_STATUS_COUNT] = {
        [RESOLVER_NXDOMAIN] = HTTP_FAILED_DNS_NXDOMAIN,
        [RESOLVER_NODATA] = HTTP_FAILED_DNS_NO_ADDRESS,
        [RESOLVER_TIMEOUT] = HTTP_FAILED_DNS_TIMEOUT,
        [RESOLVER_SERVFAIL] = HTTP_FAILED_DNS_ERROR,
        [RESOLVER_REFUSED] = HTTP_FAILED_DNS_ERROR,
        [RESOLVER_BAD_NAME] = HTTP_FAILED_BAD_URL,
        [RESOLVER_CANCELLED] = HTTP_FAILED_LOCAL,
    };
    struct probe *p = context;

    if (!has_looked_up(p))
        return;
    http_trace_lookup(p->trace, answer);
    p->result.phases_ns[HTTP_PHASE_RESOLVE] += answer->elapsed_ns;
    if (answer->status != RESOLVER_OK) {
        finish(p, reasons[answer->status]);
        return;
    }
    p->result.address = answer->address;
    if (p->result.redirects == 0)
        p->result.dns_answers = answer->count;
    choose_proxy(p, &answer->address);
    if (is_permitted(p, &answer->address))
        approach(p);
}

/* What is told of the last hop alone: until it has answered, nothing. */
static void forget_hop(struct http_result *r)
{
    r->status = 0;
    r->version[0] = 0;
    r->tls_version = NULL;
    r->content_length = -1;
    r->body_received = r->body_decoded = 0;
    r->earliest_cert_expiry = r->last_chain_expiry = 0;
}

/* Begins a hop. Through a proxy, the name is looked up here for the first hop alone, and not even then
 * if the spec says so: the proxy does it. */
static void begin_hop(struct probe *p)
{
    const struct http_spec *spec = p->kit->spec;
    bool is_first = p->result.redirects == 0;

    forget_hop(&p->result);
    memset(&p->result.address, 0, sizeof(p->result.address));
    http_trace_begin_hop(p->trace, &p->course.url, clock_monotonic_ns());
    p->proxy_lookup_ns = 0;
    p->is_proxy_sought = false;
    if (choose_proxy(p, NULL) == HTTP_PROXY_REFUSED) {
        p->result.trouble = "HTTP_PROXY is not taken from an environment with REQUEST_METHOD";
        finish(p, HTTP_FAILED_PROXY);
    } else if (p->proxy && (!is_first || spec->skip_resolve_phase_with_proxy)) {
        p->result.is_resolve_skipped = p->result.is_resolve_skipped || is_first;
        approach(p);
    } else {
        look_up(p, p->course.url.host, !spec->ip_protocol_fallback, on_address);
    }
}

static void on_token(void *context, const struct http_oauth2_answer *answer)
{
    struct probe *p = context;

    p->is_waiting = false;
    if (!p->done) {
        free_probe(p);
        return;
    }
    if (p->engine->is_closing) /* which drops it next */
        return;
    p->authorization = answer->authorization ? strdup(answer->authorization) : NULL;
    p->course.authorization = p->authorization;
    if (p->authorization) {
        begin_hop(p);
        return;
    }
    p->result.trouble = answer->authorization ? "out of memory" : answer->trouble;
    p->result.is_forbidden = answer->is_forbidden;
    finish(p, answer->authorization ? HTTP_FAILED_LOCAL : answer->reason);
}

static void begin(struct probe *p)
{
    if (!p->kit->oauth2) {
        begin_hop(p);
        return;
    }
    p->is_waiting = true;
    http_oauth2_want(p->kit->oauth2, p->engine, p->started_ns, on_token, p);
}

/* Takes over what the hop measured. */
static void take_hop(struct probe *p, const struct http_hop_result *hop)
{
    struct http_result *r = &p->result;

    if (hop->connect_ns > 0) /* the way to the proxy begins with its name */
        r->phases_ns[HTTP_PHASE_CONNECT] += hop->connect_ns + p->proxy_lookup_ns;
    r->phases_ns[HTTP_PHASE_TLS] += hop->tls_ns;
    r->phases_ns[HTTP_PHASE_PROCESSING] += hop->processing_ns;
    r->phases_ns[HTTP_PHASE_TRANSFER] = hop->transfer_ns;
    r->status = hop->has_head ? hop->reply.status : 0;
    snprintf(r->version, sizeof(r->version), "%s", hop->has_head ? hop->reply.version : "");
    r->tls_version = hop->tls->version;
    r->content_length = hop->has_head ? hop->content_length : -1;
    r->body_received = hop->body_received;
    r->body_decoded = hop->body_decoded;
    r->earliest_cert_expiry = hop->tls->earliest_expiry;
    r->last_chain_expiry = hop->tls->last_chain_expiry;
    r->trouble = hop->trouble;
    if (hop->location)
        r->redirects++;
}

static void follow(struct probe *p, const struct http_hop_result *hop)
{
    struct prober_failure why = {.text = ""};
    struct http_url unused;

    if (http_course_redirect(&p->course, hop->reply.status, hop->location)) {
        if (p->trace && http_url_resolve(&p->course.url, hop->location, &unused, &why))
            http_trace_fail(p->trace, HTTP_FAILED_BAD_REDIRECT, why.text);
        forget_hop(&p->result); /* as blackbox_exporter has it: there is no final answer */
        finish(p, HTTP_FAILED_BAD_REDIRECT);
        return;
    }
    begin_hop(p);
}

static void judge(struct probe *p, struct http_hop_result *hop)
{
    if (!hop->has_head) {
        finish(p, hop->fault ? hop->fault : HTTP_FAILED_NO_RESPONSE); /* it ended in its head */
        return;
    }
    p->result.reply = &hop->reply;
    if (p->authorization && hop->reply.status == 401)
        http_oauth2_drop(p->kit->oauth2, p->authorization);
    hop->reply.is_beyond_redirects =
        p->kit->spec->follow_redirects && p->result.redirects > HTTP_REDIRECTS_MAX;
    finish(p, http_judge_reply(p->kit->judge, &hop->reply, p->trace ? &p->trace->check : NULL));
}

static void end_hop(struct probe *p, CURLcode code)
{
    struct http_hop_result hop;

    http_transfer_end(p->transfer, code, &hop);
    curl_multi_remove_handle(p->engine->multi, http_transfer_handle(p->transfer));
    p->is_in_set = false;
    take_hop(p, &hop);
    if (hop.location && p->kit->spec->follow_redirects && p->result.redirects <= HTTP_REDIRECTS_MAX)
        follow(p, &hop);
    else
        judge(p, &hop);
}

static void expire(struct probe *p, uint64_t now_ns)
{
    struct http_hop_result hop;

    if (p->is_in_set) {
        http_transfer_expire(p->transfer, now_ns, &hop);
        take_hop(p, &hop);
        judge(p, &hop);
        return;
    }
    if (p->is_waiting) {
        p->result.trouble = "there was no token in time";
        finish(p, HTTP_FAILED_OAUTH2);
        return;
    }
    if (p->is_proxy_sought) {
        p->result.trouble = "the proxy's name was not resolved in time";
        finish(p, HTTP_FAILED_PROXY);
        return;
    }
    if (now_ns > p->lookup_ns) /* it may have begun since */
        p->result.phases_ns[HTTP_PHASE_RESOLVE] += now_ns - p->lookup_ns;
    finish(p, HTTP_FAILED_DNS_TIMEOUT);
}

/* ---- driving libcurl ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct http_engine *e = context;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(e->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event))
        return -1;
    curl_multi_assign(e->multi, fd, e);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *context)
{
    struct http_engine *e = context;

    (void)multi;
    e->curl_ns = ms < 0 ? UINT64_MAX : clock_monotonic_ns() + (uint64_t)ms * CLOCK_NS_PER_MS;
    return 0;
}

enum prober_error http_engine_create(struct http_engine **out, struct resolver *resolver)
{
    struct http_engine *e = calloc(1, sizeof(*e));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = resolver_fd(resolver)};
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(e);
        return err;
    }
    e->resolver = resolver;
    e->curl_ns = UINT64_MAX;
    e->multi = curl_multi_init();
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!e->multi || http_tls_reuse_create(&e->reuse))
        goto out;
    err = PROBER_ERR_IO;
    if (e->epoll < 0 || epoll_ctl(e->epoll, EPOLL_CTL_ADD, event.data.fd, &event))
        goto out;
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    *out = e;
    e = NULL;
    err = PROBER_OK;
out:
    http_engine_destroy(e);
    return err;
}

void http_engine_set_guard(struct http_engine *e,
                           bool (*permits)(void *context, const struct prober_addr *address),
                           void *context)
{
    e->permits = permits;
    e->permits_context = context;
}

/* Fails a probe that is not in the heap yet. */
static void refuse(struct probe *p, enum http_reason reason)
{
    p->result.reason = reason;
    p->done(p->context, &p->result);
    free_probe(p);
}

/* Says why the target is no URL. */
static void trace_target(struct http_trace *trace, enum http_reason reason, const char *target)
{
    struct prober_failure why;
    struct http_url unused;

    if (trace && http_url_parse(target, &unused, &why))
        http_trace_fail(trace, reason, why.text);
}

/* Who is told of a probe. */
struct order {
    http_done done;
    void *context;
    struct http_trace *trace;
    bool is_inner;
};

static void start(struct http_engine *e, struct http_kind *kind, const char *target,
                  uint64_t timeout_ns, uint64_t now_ns, struct order order)
{
    static const struct http_result no_memory = {.reason = HTTP_FAILED_LOCAL, .content_length = -1};
    struct probe *p = calloc(1, sizeof(*p));
    enum prober_error err = PROBER_OK;
    enum http_reason reason;

    if (!p) {
        order.done(order.context, &no_memory);
        return;
    }
    p->engine = e;
    p->done = order.done;
    p->context = order.context;
    p->trace = order.trace;
    p->is_inner = order.is_inner;
    p->started_ns = now_ns;
    p->deadline_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
    p->result.content_length = -1;
    p->kit = http_kind_hold(kind, now_ns, &p->result.trouble);
    if (p->kit)
        err = http_course_begin(&p->course, p->kit->spec, target);
    reason = err == PROBER_ERR_UNSUPPORTED ? HTTP_FAILED_UNSUPPORTED_SCHEME : HTTP_FAILED_BAD_URL;
    if (err)
        trace_target(p->trace, reason, target);
    if (err)
        refuse(p, reason);
    else if (!p->kit || !add_probe(e, p))
        refuse(p, HTTP_FAILED_LOCAL);
    else
        begin(p);
}

void http_engine_start(struct http_engine *e, struct http_kind *kind, const char *target,
                       uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context)
{
    start(e, kind, target, timeout_ns, now_ns, (struct order){done, context, NULL, false});
}

void http_engine_start_traced(struct http_engine *e, struct http_kind *kind, const char *target,
                              uint64_t timeout_ns, uint64_t now_ns, struct http_trace *trace,
                              http_done done, void *context)
{
    start(e, kind, target, timeout_ns, now_ns, (struct order){done, context, trace, false});
}

void http_engine_start_inner(struct http_engine *e, struct http_kind *kind, const char *target,
                             uint64_t timeout_ns, uint64_t now_ns, http_done done, void *context)
{
    start(e, kind, target, timeout_ns, now_ns, (struct order){done, context, NULL, true});
}

size_t http_engine_running(const struct http_engine *e)
{
    return e->running;
}

int http_engine_fd(const struct http_engine *e)
{
    return e->epoll;
}

static void collect(struct http_engine *e)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(e->multi, &left)))
        if (msg->msg == CURLMSG_DONE)
            end_hop(http_transfer_context(msg->easy_handle), msg->data.result);
}

/* Returns how many were served: EVENTS_MAX when there may be more. */
static int serve_sockets(struct http_engine *e)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(e->epoll, events, EVENTS_MAX, 0), running;

    for (int i = 0; i < count; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        if (events[i].data.fd != resolver_fd(e->resolver))
            curl_multi_socket_action(e->multi, events[i].data.fd, what, &running);
    }
    if (clock_monotonic_ns() >= e->curl_ns) {
        e->curl_ns = UINT64_MAX; /* it sets a new one as needed */
        curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    return count;
}

static bool is_overdue(const struct http_engine *e, uint64_t now_ns)
{
    return e->running > 0 && e->probes[0]->deadline_ns <= now_ns;
}

/* An answer that is there counts, however late we come to read it: before probes are ended for want of
 * one, every socket was served. */
static void serve(struct http_engine *e, uint64_t now_ns)
{
    size_t rounds = e->running / EVENTS_MAX + 1;
    int count;

    do {
        count = serve_sockets(e);
        collect(e);
    } while (count == EVENTS_MAX && is_overdue(e, now_ns) && --rounds > 0);
}

bool http_engine_is_busy(const struct http_engine *e)
{
    return e->is_busy;
}

uint64_t http_engine_step(struct http_engine *e, uint64_t now_ns)
{
    uint64_t began_ns = clock_monotonic_ns(), next = resolver_step(e->resolver, now_ns);

    http_tls_reuse_use(e->reuse);
    serve(e, now_ns);
    while (is_overdue(e, now_ns))
        expire(e->probes[0], now_ns);
    http_tls_reuse_use(NULL);
    e->is_busy = clock_monotonic_ns() - began_ns > HTTP_ENGINE_BUSY_NS;
    if (e->curl_ns < next)
        next = e->curl_ns;
    return e->running > 0 && e->probes[0]->deadline_ns < next ? e->probes[0]->deadline_ns : next;
}

static void drop(struct probe *p)
{
    static const struct http_result dropped = {
        .reason = HTTP_FAILED_LOCAL, .content_length = -1, .trouble = "the engine has ended"};
    http_done done = p->done;

    p->done = NULL;
    remove_probe(p->engine, p);
    if (p->is_inner)
        done(p->context, &dropped);
    if (!p->is_waiting)
        free_probe(p);
}

void http_engine_destroy(struct http_engine *e)
{
    if (!e)
        return;
    e->is_closing = true;
    while (e->running > 0)
        drop(e->probes[0]);
    curl_multi_cleanup(e->multi);
    http_tls_reuse_destroy(e->reuse);
    if (e->epoll >= 0)
        close(e->epoll);
    free(e->probes);
    free(e);
    curl_global_cleanup();
}
