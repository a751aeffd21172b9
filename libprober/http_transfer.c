#include "libprober/http_transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/version.h"
#include "libprober/http_body.h"
#include "libprober/http_head.h"
#include "libprober/http_way.h"

struct http_transfer {
    const struct http_spec *spec;
    CURL *easy;
    struct curl_slist *lines;
    struct http_way way;
    struct http_tls_session tls;
    struct http_head head;
    struct http_body *body;
    enum prober_error body_err;
    bool keeps_body;
    bool is_redirect; /* its body is not wanted */
    bool is_tls;
    int socket_errno; /* why there is no socket; 0: there is */
    bool sends_body;
    uint64_t started_ns, answered_ns; /* of a hop that sends a body; 0: there was no answer yet */
    struct http_trace *trace;         /* NULL: nobody wants to know */
    char error[CURL_ERROR_SIZE];
};

/* Where the answer redirects to. A body that was sent as a stream cannot be sent again, as 307 and 308
 * want it: these are then answers like others. */
static const char *location_of(const struct http_transfer *t)
{
    if (t->spec->body_file && (t->head.status == 307 || t->head.status == 308))
        return NULL;
    return http_head_location(&t->head);
}

/* True as long as what comes is not from the server, nor a proxy's answer in its place. */
static bool is_on_the_way(const struct http_transfer *t)
{
    return t->way.proxy && !http_way_is_open(&t->way, t->easy, &t->tls);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct http_transfer *t = context;
    struct curl_tlssessioninfo *info = NULL;
    bool was_whole = t->head.is_whole;

    http_trace_response(t->trace, bytes, size * count);
    if (is_on_the_way(t)) /* what the proxy says to CONNECT */
        return size * count;
    if (t->sends_body && t->answered_ns == 0)
        t->answered_ns = clock_monotonic_ns();
    if (!http_head_take(&t->head, bytes, size * count))
        return 0;
    if (t->head.is_whole && !was_whole) {
        if (t->is_tls && curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK &&
            info)
            http_tls_note_version(&t->tls, info->internals);
        t->is_redirect = location_of(t) != NULL;
    }
    return t->is_redirect ? 0 : size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct http_transfer *t = context;

    t->body_err = http_body_feed(t->body, bytes, size * count);
    return t->body_err ? 0 : size * count;
}

static CURLcode on_tls(CURL *easy, void *ssl_ctx, void *context)
{
    struct http_transfer *t = context;

    (void)easy;
    http_tls_attach(http_way_session(&t->way, &t->tls), ssl_ctx);
    return CURLE_OK;
}

/* A request goes out, to the proxy or the server, once the handshake is over. */
static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *context)
{
    struct http_transfer *t = context;
    struct curl_tlssessioninfo *info = NULL;

    if (type != CURLINFO_HEADER_OUT)
        return 0;
    http_trace_request(t->trace, bytes, len);
    if ((t->tls.started_ns > 0 || t->way.proxy_tls.started_ns > 0) &&
        curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info)
        http_tls_trace(&t->tls, info->internals);
    return 0;
}

/* libcurl does not tell why a socket could not be made. */
static curl_socket_t on_socket_wanted(void *context, curlsocktype purpose,
                                      struct curl_sockaddr *address)
{
    struct http_transfer *t = context;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    t->socket_errno = fd < 0 ? errno : 0;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* What stays the same for all hops. */
static void set_fixed_options(struct http_transfer *t)
{
    static const long minimum[] = {CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_0,
                                   CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_TLSv1_2,
                                   CURL_SSLVERSION_TLSv1_3};
    static const long maximum[] = {CURL_SSLVERSION_MAX_DEFAULT, CURL_SSLVERSION_MAX_TLSv1_0,
                                   CURL_SSLVERSION_MAX_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_2,
                                   CURL_SSLVERSION_MAX_TLSv1_3};
    const struct http_tls *tls = &t->spec->tls;
    CURL *e = t->easy;

    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* the environment's neither */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a resumed session shows no chain */
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);      /* http_tls does both */
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, minimum[tls->min_version] | maximum[tls->max_version]);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket_wanted);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     t->spec->enable_http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_COOKIEFILE, ""); /* a jar in memory */
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    if (tls->cert) {
        struct curl_blob cert = {(void *)tls->cert, strlen(tls->cert), CURL_BLOB_COPY};
        struct curl_blob key = {(void *)tls->key.text, strlen(tls->key.text), CURL_BLOB_COPY};

        curl_easy_setopt(e, CURLOPT_SSLCERT_BLOB, &cert);
        curl_easy_setopt(e, CURLOPT_SSLKEY_BLOB, &key);
    }
}

enum prober_error http_transfer_create(struct http_transfer **out, const struct http_spec *spec,
                                       const struct http_tls_trust *trust, bool keeps_body)
{
    struct http_transfer *t = calloc(1, sizeof(*t));

    if (!t)
        return PROBER_ERR_NOMEM;
    t->spec = spec;
    t->keeps_body = keeps_body;
    t->tls.trust = trust;
    t->easy = curl_easy_init();
    if (!t->easy) {
        free(t);
        return PROBER_ERR_NOMEM;
    }
    set_fixed_options(t);
    *out = t;
    return PROBER_OK;
}

static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);

    if (more)
        *list = more;
    return more != NULL;
}

/* libcurl's own way to say it: "Name: value", "Name;" for an empty value, "Name:" for no such line. */
static bool add_field(struct curl_slist **list, const char *name, const char *value)
{
    struct strbuf line = STRBUF_INIT;
    bool ok;

    strbuf_puts(&line, name);
    if (value && !*value)
        strbuf_putc(&line, ';');
    else
        strbuf_printf(&line, ": %s", value ? value : "");
    if (!value)
        line.len--, line.bytes[line.len] = 0;
    ok = strbuf_ok(&line) && add(list, line.bytes);
    strbuf_free(&line);
    return ok;
}

/* An empty stream is no body where the method needs none, as Go has it. */
static bool has_body(const struct http_transfer *t, const struct http_hop *hop)
{
    static const char *const usually_without[] = {"GET",     "HEAD",     "DELETE",
                                                  "OPTIONS", "PROPFIND", "SEARCH"};

    if (!hop->has_body || !t->spec->body_file || t->spec->body_len > 0)
        return hop->has_body;
    for (size_t i = 0; i < ARRAY_LEN(usually_without); i++)
        if (strcmp(hop->method, usually_without[i]) == 0)
            return false;
    return true;
}

static bool set_lines(struct http_transfer *t, const struct http_hop *hop)
{
    static const struct {
        const char *name, *value;
    } defaults[] = {
        {"User-Agent", "probermesh/" PROBER_VERSION},
        {"Connection", "close"},
        {"Accept", NULL},
        {"Content-Type", NULL},
        {"Expect", NULL},
    };
    const char *at = hop->fields->text.bytes;
    bool ok = add_field(&t->lines, "Host", hop->host);

    for (size_t i = 0; i < ARRAY_LEN(defaults) && ok; i++)
        if (!http_fields_next(hop->fields, defaults[i].name, NULL))
            ok = add_field(&t->lines, defaults[i].name, defaults[i].value);
    for (size_t left = hop->fields->text.len; left > 0 && ok;) {
        const char *value = at + strlen(at) + 1, *next = value + strlen(value) + 1;

        ok = add_field(&t->lines, at, value);
        left -= (size_t)(next - at);
        at = next;
    }
    if (ok && t->spec->body_file && has_body(t, hop))
        ok = add_field(&t->lines, "Transfer-Encoding", "chunked");
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->lines);
    return ok;
}

static void set_method(struct http_transfer *t, const struct http_hop *hop)
{
    static const char *const have_length[] = {"POST", "PUT", "PATCH"};
    bool has = has_body(t, hop), posts = has;

    for (size_t i = 0; i < ARRAY_LEN(have_length); i++)
        posts = posts || strcmp(hop->method, have_length[i]) == 0;
    curl_easy_setopt(t->easy, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    if (strcmp(hop->method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (posts) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(has ? t->spec->body_len : 0));
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, has ? t->spec->body : "");
    }
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, hop->method);
}

static void forget_hop(struct http_transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(t->lines);
    t->lines = NULL;
    http_way_clear(&t->way, t->easy);
    http_head_clear(&t->head);
    http_body_destroy(t->body);
    t->body = NULL;
    t->body_err = PROBER_OK;
    t->is_redirect = false;
    t->error[0] = 0;
}

enum prober_error http_transfer_prepare(struct http_transfer *t, const struct http_hop *hop,
                                        void *context, uint64_t now_ns)
{
    static const enum compress_coding codings[] = {
        COMPRESS_IDENTITY, COMPRESS_IDENTITY, COMPRESS_GZIP, COMPRESS_DEFLATE, COMPRESS_BROTLI};
    const struct http_body_config body = {.coding = codings[t->spec->compression],
                                          .limit = t->spec->body_size_limit,
                                          .kept = t->keeps_body,
                                          .begin = hop->trace ? HTTP_TRACE_BODY_SEEN : 0};
    enum http_tls_version least = t->spec->tls.min_version;

    forget_hop(t);
    t->trace = hop->trace;
    if (t->trace) {
        curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L);
        curl_easy_setopt(t->easy, CURLOPT_DEBUGFUNCTION, on_debug);
        curl_easy_setopt(t->easy, CURLOPT_DEBUGDATA, t);
    }
    t->started_ns = now_ns;
    t->answered_ns = 0;
    t->sends_body = hop->has_body;
    t->is_tls = hop->url->tls;
    t->head.is_plain = !hop->url->tls;
    t->tls =
        (struct http_tls_session){.trust = t->tls.trust,
                                  .trace = hop->trace,
                                  .name = hop->tls_name,
                                  .is_unverified = t->spec->tls.insecure_skip_verify,
                                  .allows_old = least == HTTP_TLS_1_0 || least == HTTP_TLS_1_1};
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, context);
    set_method(t, hop);
    if (!set_lines(t, hop) || !http_way_set(&t->way, t->easy, hop, t->spec, &t->tls))
        return PROBER_ERR_NOMEM;
    return http_body_create(&t->body, &body);
}

void *http_transfer_handle(const struct http_transfer *t)
{
    return t->easy;
}

void *http_transfer_context(void *handle)
{
    char *context = NULL;

    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &context);
    return context;
}

static uint64_t time_of(const struct http_transfer *t, CURLINFO which)
{
    curl_off_t us = 0;

    curl_easy_getinfo(t->easy, which, &us);
    return us > 0 ? (uint64_t)us * CLOCK_NS_PER_US : 0;
}

static uint64_t between(uint64_t from, uint64_t to)
{
    return from > 0 && to > from ? to - from : 0;
}

/* libcurl forgets when the connection was there once TLS failed: we noted it ourselves. Through a proxy
 * it is there when the way is open. */
static void take_times(const struct http_transfer *t, uint64_t total_ns,
                       struct http_hop_result *out)
{
    uint64_t connected = time_of(t, CURLINFO_CONNECT_TIME_T);
    uint64_t secured = time_of(t, CURLINFO_APPCONNECT_TIME_T);
    uint64_t first = time_of(t, CURLINFO_STARTTRANSFER_TIME_T);

    if (t->way.proxy && !t->is_tls)
        connected = time_of(t, CURLINFO_PRETRANSFER_TIME_T);
    else if (t->way.proxy || (connected == 0 && t->tls.started_ns > 0))
        connected = between(t->started_ns, t->tls.started_ns);
    out->connect_ns = connected;
    out->tls_ns = t->is_tls ? between(connected, secured) : 0;
    if (t->head.bytes == 0)
        return;
    if (t->sends_body) /* libcurl takes the first byte of a long body for that of the answer */
        first = between(t->started_ns, t->answered_ns);
    out->processing_ns = between(t->is_tls ? secured : connected, first);
    if (t->head.is_whole)
        out->transfer_ns = between(first, total_ns);
}

static void take_reply(const struct http_transfer *t, struct http_hop_result *out)
{
    const struct http_head *head = &t->head;

    out->has_head = head->is_whole && !head->fault;
    out->location = out->has_head ? location_of(t) : NULL;
    out->content_length = head->content_length;
    out->body_received = http_body_received(t->body);
    out->body_decoded = http_body_decoded(t->body);
    out->tls = &t->tls;
    out->reply = (struct http_reply){
        .status = head->status,
        .version = head->version,
        .tls = t->is_tls,
        .fields = &head->fields,
        .body_fault = out->fault,
        .is_unread_redirect = out->location && head->content_length != 0,
    };
    out->reply.body = http_body_text(t->body, &out->reply.body_len);
}

static enum http_reason reason_of_body(enum prober_error err)
{
    if (err == PROBER_ERR_RANGE)
        return HTTP_FAILED_BODY_TOO_LARGE;
    return err == PROBER_ERR_SYNTAX ? HTTP_FAILED_BODY_ENCODING : HTTP_FAILED_LOCAL;
}

static enum http_reason reason_of_connect(const struct http_transfer *t)
{
    static const struct {
        int number;
        enum http_reason reason;
    } table[] = {
        {ECONNREFUSED, HTTP_FAILED_CONNECT_REFUSED},
        {ETIMEDOUT, HTTP_FAILED_CONNECT_TIMEOUT},
        {EMFILE, HTTP_FAILED_LOCAL},
        {ENFILE, HTTP_FAILED_LOCAL},
        {ENOBUFS, HTTP_FAILED_LOCAL},
        {ENOMEM, HTTP_FAILED_LOCAL},
        {EADDRNOTAVAIL, HTTP_FAILED_LOCAL},
    };
    enum http_reason reason = HTTP_FAILED_CONNECT_UNREACHABLE;
    long number = t->socket_errno;

    if (number == 0)
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
    if (number == ECONNRESET && !t->way.proxy) /* it was there, and reset before we looked */
        return t->is_tls ? HTTP_FAILED_TLS_HANDSHAKE : HTTP_FAILED_NO_RESPONSE;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].number == number)
            reason = table[i].reason;
    return t->way.proxy && reason != HTTP_FAILED_LOCAL ? HTTP_FAILED_PROXY : reason;
}

static bool has_failed_in_tls(const struct http_transfer *t, CURLcode code)
{
    bool secured = time_of(t, CURLINFO_APPCONNECT_TIME_T) > 0;

    /* in TLS 1.3 a server refuses our certificate after the handshake, with an alert */
    return t->tls.started_ns > 0 &&
           (!secured || (code == CURLE_RECV_ERROR && strstr(t->error, "alert")));
}

/* libcurl says so too of a line of the head that is longer than it takes. */
static bool is_out_of_memory(const struct http_transfer *t, CURLcode code)
{
    return code == CURLE_OUT_OF_MEMORY &&
           (t->head.is_whole || time_of(t, CURLINFO_PRETRANSFER_TIME_T) == 0);
}

/* Before there was an answer: the connection, or the stream of HTTP/2. */
static bool has_ended(CURLcode code)
{
    static const CURLcode codes[] = {CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_SEND_ERROR,
                                     CURLE_PARTIAL_FILE, CURLE_HTTP2_STREAM};

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == code)
            return true;
    return false;
}

static enum http_reason reason_of_code(const struct http_transfer *t, CURLcode code)
{
    if (is_out_of_memory(t, code) || code == CURLE_FAILED_INIT || code == CURLE_SSL_CERTPROBLEM)
        return HTTP_FAILED_LOCAL;
    if (code == CURLE_COULDNT_CONNECT || is_on_the_way(t))
        return reason_of_connect(t);
    if (t->head.is_whole)
        return HTTP_FAILED_TRUNCATED;
    if (t->is_tls && has_failed_in_tls(t, code))
        return HTTP_FAILED_TLS_HANDSHAKE;
    if (code == CURLE_SSL_CONNECT_ERROR)
        return HTTP_FAILED_TLS_HANDSHAKE;
    return has_ended(code) ? HTTP_FAILED_NO_RESPONSE : HTTP_FAILED_BAD_RESPONSE;
}

static enum http_reason reason_of(const struct http_transfer *t, CURLcode code)
{
    enum prober_error err;

    if (t->tls.failure)
        return t->tls.failure;
    if (t->head.fault)
        return t->head.fault;
    if (t->is_redirect)
        return HTTP_SUCCEEDED;
    if (t->body_err)
        return reason_of_body(t->body_err);
    if (code != CURLE_OK)
        return reason_of_code(t, code);
    err = http_body_end(t->body);
    return err ? reason_of_body(err) : HTTP_SUCCEEDED;
}

static void tell(const struct http_transfer *t, const struct http_hop_result *hop,
                 const char *error)
{
    struct http_trace_outcome outcome = {.connect_ns = hop->connect_ns,
                                         .tls_ns = hop->tls_ns,
                                         .processing_ns = hop->processing_ns,
                                         .transfer_ns = hop->transfer_ns,
                                         .body_received = hop->body_received,
                                         .body_decoded = hop->body_decoded};
    char local[PROBER_ADDR_TEXT_MAX + 8], *ip = NULL;
    long port = 0;

    curl_easy_getinfo(t->easy, CURLINFO_LOCAL_IP, &ip);
    curl_easy_getinfo(t->easy, CURLINFO_LOCAL_PORT, &port);
    if (ip && *ip && port > 0) {
        snprintf(local, sizeof(local), strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
        outcome.local = local;
    }
    outcome.body = http_body_text(t->body, &outcome.body_len);
    http_trace_outcome(t->trace, &outcome);
    if (hop->fault)
        http_trace_fail(t->trace, hop->fault, error);
}

static const char *error_of(const struct http_transfer *t, CURLcode code)
{
    long number = 0;

    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
    if (number)
        return strerror((int)number);
    return t->error[0] ? t->error : curl_easy_strerror(code);
}

void http_transfer_end(struct http_transfer *t, int code, struct http_hop_result *out)
{
    *out = (struct http_hop_result){.fault = reason_of(t, (CURLcode)code)};
    if (out->fault == HTTP_FAILED_PROXY || code == CURLE_SSL_CERTPROBLEM)
        out->trouble = t->error;
    take_times(t, time_of(t, CURLINFO_TOTAL_TIME_T), out);
    take_reply(t, out);
    if (t->trace)
        tell(t, out, error_of(t, (CURLcode)code));
}

void http_transfer_expire(struct http_transfer *t, uint64_t now_ns, struct http_hop_result *out)
{
    bool connected = time_of(t, CURLINFO_CONNECT_TIME_T) > 0 || t->tls.started_ns > 0;

    *out = (struct http_hop_result){
        .fault = connected ? HTTP_FAILED_TIMEOUT : HTTP_FAILED_CONNECT_TIMEOUT,
    };
    if (is_on_the_way(t)) {
        out->fault = HTTP_FAILED_PROXY;
        out->trouble = "there was no way through the proxy in time";
    }
    take_times(t, between(t->started_ns, now_ns), out);
    take_reply(t, out);
    if (t->trace)
        tell(t, out, NULL);
}

void http_transfer_destroy(struct http_transfer *t)
{
    if (!t)
        return;
    forget_hop(t);
    http_way_free(&t->way, t->easy);
    curl_easy_cleanup(t->easy);
    free(t);
}
