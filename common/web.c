#include "common/web.h"

#include <civetweb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/crowd.h"
#include "common/listen.h"
#include "common/strbuf.h"

#define DEFAULT_THREADS 64
#define DEFAULT_TIMEOUT_NS UINT64_C(5000000000)
#define DEFAULT_BODY_MAX (1u << 20)
/* An idle connection holds a thread for this long; clients open another one without notice. */
#define KEEP_ALIVE_MS "500"
#define HEADERS_MAX "16384"
#define THIN_US 100000
#define REPLY_CHUNK 65536
#define STREAM_CHUNK 16384
#define LINGER_SHARE 4 /* one connection of so many may take its time */
#define REPLY_TIMEOUTS 6 /* a reply may take that many times the timeout of a request */

struct web_server {
    struct mg_context *civetweb;
    const struct web_route *routes; /* borrowed */
    size_t route_count;
    void *context;
    web_gate gate; /* NULL: none */
    void *gate_context;
    unsigned threads, per_peer;
    bool (*spared)(void *gate_context, const struct prober_addr *peer);
    atomic_int connections; /* that are served */
    atomic_int lingering;   /* of them: that take their time */
    pthread_t thinner;
    bool thins; /* the thread runs */
    atomic_bool closing;
    uint64_t timeout_ns;
    size_t body_max;
    uint16_t port;
    atomic_uint_fast64_t by_class[6], refused[WEB_REFUSAL_COUNT];
    pthread_mutex_t lock;
    char last_error[256]; /* civetweb's last complaint; guarded by lock */
};

struct web_exchange {
    struct web_server *server;
    struct mg_connection *conn;
    const struct mg_request_info *info;
    enum web_method method;
    bool head; /* the body of the answer is left out */
    bool lingers;
    const struct web_route *route; /* that answers; NULL: none */
    unsigned allowed;              /* methods that the path has */
    const char *rest;
    bool received; /* the body is, or that failed */
    char *body;
    size_t body_len;
    int status; /* of the answer; 0 before it */
    void *caller;
    void (*hook)(void *context, int status);
    void *hook_context;
};

static const struct {
    const char *name;
    enum web_method method;
    bool head;
} methods[] = {{"GET", WEB_GET, false},
               {"HEAD", WEB_GET, true},
               {"POST", WEB_POST, false},
               {"PUT", WEB_PUT, false},
               {"DELETE", WEB_DELETE, false}};

static const char lingers_taken[] = "too many clients follow something already\n";

static void count_status(struct web_server *s, int status)
{
    if (status >= 100 && status < 600)
        atomic_fetch_add_explicit(&s->by_class[status / 100], 1, memory_order_relaxed);
}

/* ---- answering ---- */

static void write_body(struct web_exchange *x, const char *bytes, size_t len)
{
    uint64_t until_ns = clock_monotonic_ns() + REPLY_TIMEOUTS * x->server->timeout_ns;

    while (len > 0 && clock_monotonic_ns() < until_ns) {
        size_t chunk = len < REPLY_CHUNK ? len : REPLY_CHUNK;
        int written = mg_write(x->conn, bytes, chunk);

        if (written <= 0)
            return;
        bytes += written;
        len -= (size_t)written;
    }
}

/* Date is ours to give: civetweb's own uses gmtime(), which its threads share. */
static void add_date(struct mg_connection *conn)
{
    time_t now = (time_t)(clock_realtime_ns() / 1000000000);
    struct tm utc;
    char date[64];

    gmtime_r(&now, &utc);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    mg_response_header_add(conn, "Date", date, -1);
}

static void settle(struct web_exchange *x, int status)
{
    x->status = status;
    count_status(x->server, status);
    if (x->hook)
        x->hook(x->hook_context, status);
}

/* The headers that every answer has. */
static void start_head(struct web_exchange *x, int status, const char *type)
{
    settle(x, status);
    mg_response_header_start(x->conn, status);
    add_date(x->conn);
    mg_response_header_add(x->conn, "Content-Type", type, -1);
    mg_response_header_add(x->conn, "X-Content-Type-Options", "nosniff", -1);
}

static void reply(struct web_exchange *x, int status, const char *type, const char *name,
                  const char *value, const void *bytes, size_t len)
{
    char length[24];

    if (x->status)
        return;
    snprintf(length, sizeof(length), "%zu", len);
    start_head(x, status, type);
    mg_response_header_add(x->conn, "Content-Length", length, -1);
    if (name)
        mg_response_header_add(x->conn, name, value, -1);
    mg_response_header_send(x->conn);
    if (!x->head)
        write_body(x, bytes, len);
}

void web_reply(struct web_exchange *x, int status, const char *type, const void *bytes, size_t len)
{
    reply(x, status, type, NULL, NULL, bytes, len);
}

void web_reply_encoded(struct web_exchange *x, int status, const char *type, const char *encoding,
                       const void *bytes, size_t len)
{
    reply(x, status, type, "Content-Encoding", encoding, bytes, len);
}

void web_reply_text(struct web_exchange *x, int status, const char *text)
{
    web_reply(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

bool web_linger(struct web_exchange *x)
{
    struct web_server *s = x->server;
    int most = (int)((s->threads + LINGER_SHARE - 1) / LINGER_SHARE);

    if (x->lingers)
        return true;
    x->lingers = atomic_fetch_add(&s->lingering, 1) < most;
    if (!x->lingers)
        atomic_fetch_sub(&s->lingering, 1);
    return x->lingers;
}

bool web_stream(struct web_exchange *x, const char *type)
{
    if (x->status)
        return false;
    if (!web_linger(x)) {
        reply(x, 503, "text/plain; charset=utf-8", "Retry-After", "10", lingers_taken,
              sizeof(lingers_taken) - 1);
        return false;
    }
    mg_disable_connection_keep_alive(x->conn); /* its end is the answer's */
    start_head(x, 200, type);
    mg_response_header_add(x->conn, "Cache-Control", "no-store", -1);
    mg_response_header_add(x->conn, "X-Accel-Buffering", "no", -1); /* or nginx would keep it */
    mg_response_header_send(x->conn);
    return !x->head;
}

bool web_stream_put(struct web_exchange *x, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0 && !web_is_closing(x)) {
        size_t chunk = len < STREAM_CHUNK ? len : STREAM_CHUNK;

        if (mg_write(x->conn, at, chunk) != (int)chunk)
            return false;
        at += chunk;
        len -= chunk;
    }
    return len == 0;
}

bool web_is_closing(const struct web_exchange *x)
{
    return atomic_load(&x->server->closing);
}

void web_refuse(struct web_exchange *x, int status, const char *name, const char *value,
                const char *text)
{
    mg_disable_connection_keep_alive(x->conn); /* what else comes is not read */
    reply(x, status, "text/plain; charset=utf-8", name, value, text, strlen(text));
}

static void refuse(struct web_exchange *x, enum web_refusal reason, int status, const char *text)
{
    atomic_fetch_add_explicit(&x->server->refused[reason], 1, memory_order_relaxed);
    web_refuse(x, status, NULL, NULL, text);
}

/* ---- routing ---- */

/* Where the rest of a path that matches begins; NULL when it does not match. `name`, when not NULL,
 * asks for the part of that name: it is path[*part_len] from *part on. */
static const char *match_path(const char *pattern, const char *path, const char *name,
                              const char **part, size_t *part_len)
{
    while (*pattern) {
        if (strcmp(pattern, "*") == 0)
            return path;
        if (*pattern == '{') {
            size_t len = strcspn(path, "/"), name_len = strcspn(++pattern, "}");

            if (len == 0)
                return NULL;
            if (name && strlen(name) == name_len && strncmp(name, pattern, name_len) == 0) {
                *part = path;
                *part_len = len;
            }
            path += len;
            pattern += name_len + 1;
        } else if (*pattern++ != *path++) {
            return NULL;
        }
    }
    return *path ? NULL : path;
}

static void reply_not_allowed(struct web_exchange *x, unsigned allowed)
{
    static const char text[] = "method not allowed\n";
    char allow[64] = "";

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        size_t len = strlen(allow);

        if (allowed & methods[i].method)
            snprintf(allow + len, sizeof(allow) - len, "%s%s", len ? ", " : "", methods[i].name);
    }
    reply(x, 405, "text/plain; charset=utf-8", "Allow", allow, text, sizeof(text) - 1);
}

static void find_route(struct web_exchange *x)
{
    const struct web_server *s = x->server;

    for (size_t i = 0; i < s->route_count && !x->route; i++) {
        const struct web_route *route = &s->routes[i];
        const char *rest = match_path(route->path, web_path(x), NULL, NULL, NULL);

        if (!rest)
            continue;
        x->allowed |= route->methods;
        if (route->methods & x->method) {
            x->route = route;
            x->rest = rest;
        }
    }
}

/* ---- receiving ---- */

/* Of a body that is long in two ways, whoever forwards it may see another end than we (RFC 9112
 * section 6.3). */
static bool says_its_length_once(const struct web_exchange *x)
{
    int times = 0;

    for (int i = 0; i < x->info->num_headers; i++)
        times += strcasecmp(x->info->http_headers[i].name, "Content-Length") == 0;
    return times <= 1;
}

/* Reads the body, so that a handler never waits for the client. False after a refusal. */
static bool read_body(struct web_exchange *x)
{
    uint64_t until_ns = clock_monotonic_ns() + x->server->timeout_ns;
    size_t len;

    if (web_header(x, "Transfer-Encoding")) {
        refuse(x, WEB_REFUSED_BODY, 411, "the body needs a Content-Length\n");
        return false;
    }
    if (!says_its_length_once(x)) {
        refuse(x, WEB_REFUSED_BODY, 400, "Content-Length stands there more than once\n");
        return false;
    }
    if (web_header(x, "Expect")) {
        refuse(x, WEB_REFUSED_BODY, 417, "send the body at once\n"); /* civetweb cannot send an interim answer */
        return false;
    }
    if (x->info->content_length <= 0)
        return true;
    if ((unsigned long long)x->info->content_length > x->server->body_max) {
        refuse(x, WEB_REFUSED_BODY, 413, "the body is too large\n");
        return false;
    }
    len = (size_t)x->info->content_length;
    x->body = malloc(len + 1);
    if (!x->body) {
        web_refuse(x, 503, NULL, NULL, "out of memory\n");
        return false;
    }
    while (x->body_len < len) {
        int n = mg_read(x->conn, x->body + x->body_len, len - x->body_len);

        if (n <= 0 || clock_monotonic_ns() > until_ns) {
            refuse(x, WEB_REFUSED_TIME, 408, "the body did not come in time\n");
            return false;
        }
        x->body_len += (size_t)n;
    }
    x->body[len] = '\0';
    return true;
}

bool web_receive(struct web_exchange *x)
{
    if (!x->received) {
        x->received = true;
        read_body(x);
    }
    return x->status == 0;
}

void web_pass(struct web_exchange *x)
{
    if (!web_receive(x))
        return;
    if (x->route)
        x->route->handler(x, x->server->context);
    else if (x->allowed)
        reply_not_allowed(x, x->allowed);
    else
        web_reply_text(x, 404, "not found\n");
    if (!x->status)
        web_reply_text(x, 500, "no answer\n");
}

/* civetweb's hook for every request; what it returns above 0 says that the request was answered. */
static int on_request(struct mg_connection *conn)
{
    struct web_exchange x = {.server = mg_get_user_data(mg_get_context(conn)),
                             .conn = conn,
                             .info = mg_get_request_info(conn)};

    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (strcmp(x.info->request_method, methods[i].name) == 0) {
            x.method = methods[i].method;
            x.head = methods[i].head;
        }
    find_route(&x);
    if (x.server->gate)
        x.server->gate(&x, x.server->gate_context);
    else
        web_pass(&x);
    if (x.lingers)
        atomic_fetch_sub(&x.server->lingering, 1);
    free(x.body);
    return x.status;
}

/* civetweb answers by itself what is no request. */
static int on_error_reply(struct mg_connection *conn, int status, const char *text)
{
    struct web_server *s = mg_get_user_data(mg_get_context(conn));
    enum web_refusal reason = status == 408 ? WEB_REFUSED_TIME : WEB_REFUSED_REQUEST;
    (void)text;

    count_status(s, status);
    atomic_fetch_add_explicit(&s->refused[reason], 1, memory_order_relaxed);
    return 1; /* go on and send it */
}

static int on_log(const struct mg_connection *conn, const char *text)
{
    struct web_server *s = mg_get_user_data(mg_get_context(conn));

    if (s) {
        pthread_mutex_lock(&s->lock);
        snprintf(s->last_error, sizeof(s->last_error), "%s", text);
        pthread_mutex_unlock(&s->lock);
    }
    return 1; /* and write it nowhere */
}

/* ---- connections ---- */

static int on_open(const struct mg_connection *conn, void **data)
{
    struct web_server *s = mg_get_user_data(mg_get_context(conn));
    (void)data;

    atomic_fetch_add(&s->connections, 1);
    return 0;
}

static void on_close(const struct mg_connection *conn)
{
    struct web_server *s = mg_get_user_data(mg_get_context(conn));

    atomic_fetch_sub(&s->connections, 1);
}

static void *thin(void *context)
{
    struct web_server *s = context;

    while (!atomic_load(&s->closing)) {
        if (atomic_load(&s->connections) * 2 > (int)s->threads)
            atomic_fetch_add(&s->refused[WEB_REFUSED_CROWD],
                             crowd_thin(s->port, s->per_peer, s->spared, s->gate_context));
        usleep(THIN_US);
    }
    return NULL;
}

/* ---- opening and closing ---- */

/* Writes the addresses as civetweb wants them, each checked to be free. */
static enum prober_error find_ports(struct web_server *s, const char *listen, struct strbuf *ports,
                                    struct prober_failure *why)
{
    struct listen_set set;
    enum prober_error err = listen_set_parse(listen, &set, why);

    if (err)
        return err;
    s->port = set.port;
    for (size_t i = 0; i < set.count; i++) {
        const struct listen_address *a = &set.addresses[i];
        char text[PROBER_ADDR_TEXT_MAX];
        uint16_t port = s->port;

        if (a->addr.family == PROBER_FAMILY_IPV6 && !mg_check_feature(MG_FEATURES_IPV6)) {
            if (a->optional)
                continue;
            return prober_fail(why, PROBER_ERR_UNSUPPORTED,
                               "cannot serve HTTP on %s: the system's civetweb was built without "
                               "IPv6; give an IPv4 address",
                               listen);
        }
        err = listen_check(&a->addr, &port, why);
        if (a->optional && (err == PROBER_ERR_NOT_FOUND || (err == PROBER_ERR_IN_USE && !set.port)))
            continue;
        if (err)
            return err;
        s->port = port;
        prober_addr_format(&a->addr, text);
        strbuf_printf(ports, strchr(text, ':') ? "%s[%s]:%u" : "%s%s:%u", ports->len ? "," : "",
                      text, port);
    }
    return strbuf_ok(ports) ? PROBER_OK : prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
}

static enum prober_error start_thinner(struct web_server *s, struct prober_failure *why)
{
    if (s->per_peer == 0)
        return PROBER_OK;
    s->thins = pthread_create(&s->thinner, NULL, thin, s) == 0;
    return s->thins ? PROBER_OK : prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
}

static enum prober_error start_civetweb(struct web_server *s, const char *ports,
                                        struct prober_failure *why)
{
    const struct mg_callbacks callbacks = {
        .begin_request = on_request, .http_error = on_error_reply, .log_message = on_log,
        .init_connection = on_open, .connection_closed = on_close};
    char thread_count[16], timeout_ms[24];
    const char *options[] = {"listening_ports",
                             ports,
                             "num_threads",
                             thread_count,
                             "request_timeout_ms",
                             timeout_ms,
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             KEEP_ALIVE_MS,
                             "max_request_size",
                             HEADERS_MAX,
                             "tcp_nodelay",
                             "1",
                             "enable_directory_listing",
                             "no",
                             "enable_auth_domain_check",
                             "no",
                             NULL};

    snprintf(thread_count, sizeof(thread_count), "%u", s->threads);
    snprintf(timeout_ms, sizeof(timeout_ms), "%llu",
             (unsigned long long)(s->timeout_ns + 999999) / 1000000);
    s->civetweb = mg_start(&callbacks, s, options);
    if (!s->civetweb)
        return prober_fail(why, PROBER_ERR_IO, "cannot serve HTTP on %s: %s", ports, s->last_error);
    return PROBER_OK;
}

enum prober_error web_open(struct web_server **out, const struct web_config *config,
                           const struct web_route *routes, size_t count, struct prober_failure *why)
{
    struct web_server *s = calloc(1, sizeof(*s));
    struct strbuf ports = STRBUF_INIT;
    enum prober_error err;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    mg_init_library(0);
    pthread_mutex_init(&s->lock, NULL);
    s->routes = routes;
    s->route_count = count;
    s->context = config->context;
    s->gate = config->gate;
    s->gate_context = config->gate_context;
    s->threads = config->threads ? config->threads : DEFAULT_THREADS;
    s->per_peer = config->per_peer > s->threads / 2 ? s->threads / 2 : config->per_peer;
    s->spared = config->spared;
    s->timeout_ns = config->timeout_ns ? config->timeout_ns : DEFAULT_TIMEOUT_NS;
    s->body_max = config->body_max ? config->body_max : DEFAULT_BODY_MAX;
    err = find_ports(s, config->listen, &ports, why);
    if (!err)
        err = start_civetweb(s, ports.bytes, why);
    if (!err)
        err = start_thinner(s, why);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    strbuf_free(&ports);
    web_close(s);
    return err;
}

uint16_t web_port(const struct web_server *server)
{
    return server->port;
}

void web_close(struct web_server *server)
{
    if (!server)
        return;
    atomic_store(&server->closing, true);
    if (server->thins)
        pthread_join(server->thinner, NULL);
    if (server->civetweb)
        mg_stop(server->civetweb);
    mg_exit_library();
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void web_add_counts(const struct web_server *server, uint64_t by_class[6],
                    uint64_t refused[WEB_REFUSAL_COUNT])
{
    for (size_t i = 0; i < 6; i++)
        by_class[i] += atomic_load_explicit(&server->by_class[i], memory_order_relaxed);
    for (size_t i = 0; i < WEB_REFUSAL_COUNT; i++)
        refused[i] += atomic_load_explicit(&server->refused[i], memory_order_relaxed);
}

/* ---- what a handler asks ---- */

enum web_method web_method(const struct web_exchange *x)
{
    return x->method;
}

const char *web_path(const struct web_exchange *x)
{
    return x->info->local_uri ? x->info->local_uri : "";
}

const char *web_path_rest(const struct web_exchange *x)
{
    return x->rest;
}

bool web_path_part(const struct web_exchange *x, const char *name, char *out, size_t room)
{
    const char *part = NULL;
    size_t len = 0;

    if (!x->route || !match_path(x->route->path, web_path(x), name, &part, &len) || !part ||
        len >= room)
        return false;
    memcpy(out, part, len);
    out[len] = '\0';
    return true;
}

bool web_query(const struct web_exchange *x, const char *name, char *out, size_t room)
{
    const char *query = x->info->query_string;
    int len;

    if (!query)
        return false;
    len = mg_get_var(query, strlen(query), name, out, room);
    return len >= 0 && strlen(out) == (size_t)len; /* a NUL inside is no text */
}

const char *web_header(const struct web_exchange *x, const char *name)
{
    return mg_get_header(x->conn, name);
}

bool web_header_at(const struct web_exchange *x, size_t i, const char **name, const char **value)
{
    if (i >= (size_t)x->info->num_headers)
        return false;
    *name = x->info->http_headers[i].name;
    *value = x->info->http_headers[i].value;
    return true;
}

uint16_t web_peer_port(const struct web_exchange *x)
{
    return (uint16_t)x->info->remote_port;
}

uint16_t web_own_port(const struct web_exchange *x)
{
    return (uint16_t)x->info->server_port;
}

const char *web_raw_path(const struct web_exchange *x)
{
    return x->info->request_uri ? x->info->request_uri : "";
}

const char *web_raw_query(const struct web_exchange *x)
{
    return x->info->query_string;
}

const char *web_version(const struct web_exchange *x)
{
    return x->info->http_version ? x->info->http_version : "";
}

const char *web_method_text(const struct web_exchange *x)
{
    return x->info->request_method;
}

const struct web_route *web_matched(const struct web_exchange *x)
{
    return x->route;
}

void web_set_caller(struct web_exchange *x, void *caller)
{
    x->caller = caller;
}

void *web_caller(const struct web_exchange *x)
{
    return x->caller;
}

void web_before_reply(struct web_exchange *x, void (*hook)(void *context, int status),
                      void *context)
{
    x->hook = hook;
    x->hook_context = context;
}

struct prober_addr web_peer(const struct web_exchange *x)
{
    struct prober_addr peer = {.family = PROBER_FAMILY_NONE};

    prober_addr_parse(x->info->remote_addr, &peer);
    return prober_addr_unmap(&peer);
}

const char *web_body(const struct web_exchange *x, size_t *len)
{
    *len = x->body_len;
    return x->body ? x->body : "";
}

/* True when the parameters of a coding do not give it the weight 0. */
static bool has_weight(const char *parameters, size_t len)
{
    const char *q = memmem(parameters, len, "q=", 2);

    if (!q)
        return true;
    for (q += 2; q < parameters + len && strchr("0123456789.", *q); q++)
        if (*q >= '1' && *q <= '9')
            return true;
    return false;
}

bool web_accepts_gzip(const struct web_exchange *x)
{
    const char *at = web_header(x, "Accept-Encoding");
    bool any = false;

    while (at && *at) {
        size_t len, name_len;

        at += strspn(at, " \t,");
        len = strcspn(at, ",");
        name_len = strcspn(at, " \t;,");
        if ((name_len == 4 && strncasecmp(at, "gzip", 4) == 0) ||
            (name_len == 6 && strncasecmp(at, "x-gzip", 6) == 0))
            return has_weight(at + name_len, len - name_len);
        if (name_len == 1 && *at == '*')
            any = has_weight(at + name_len, len - name_len);
        at += len;
    }
    return any;
}
