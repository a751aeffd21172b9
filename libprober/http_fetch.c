#include "libprober/http_fetch.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/version.h"

#define ANSWER_MAX_DEFAULT (64 << 10)
#define HEADERS_MAX (64 << 10) /* libcurl itself takes any number of them */
#define FETCHER_FDS_MAX 8

/* One request, from its start until its answer is taken. */
struct fetch {
    struct fetch *next;
    CURL *easy;
    uint64_t deadline_ns; /* monotonic */
    struct curl_slist *headers;
    struct http_answer *answer;
    size_t room; /* of answer->body */
    size_t max;
    size_t header_bytes;
    bool too_large;
    bool ended;
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *f = context;
    struct http_answer *a = f->answer;
    size_t len = size * count, want = a->body_len + len + 1;

    f->too_large = len > f->max - a->body_len;
    if (f->too_large)
        return 0;
    if (want > f->room) {
        size_t room = want < f->max / 2 ? want * 2 : f->max + 1;
        char *body = realloc(a->body, room);

        if (!body)
            return 0;
        a->body = body;
        f->room = room;
    }
    memcpy(a->body + a->body_len, bytes, len);
    a->body_len += len;
    a->body[a->body_len] = 0;
    return len;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *f = context;
    size_t len = size * count;

    (void)bytes;
    f->header_bytes += len;
    return f->header_bytes <= HEADERS_MAX ? len : 0;
}

static bool add_headers(struct fetch *f, const char *const *headers)
{
    for (; headers && *headers; headers++) {
        struct curl_slist *more = curl_slist_append(f->headers, *headers);

        if (!more)
            return false;
        f->headers = more;
    }
    return true;
}

static void set_blob(CURL *e, CURLoption option, const char *pem)
{
    struct curl_blob blob = {(void *)(uintptr_t)pem, pem ? strlen(pem) : 0, CURL_BLOB_COPY};

    if (pem)
        curl_easy_setopt(e, option, &blob);
}

static void set_tls(CURL *e, const struct http_fetch_tls *tls)
{
    static const long least[] = {[HTTP_TLS_DEFAULT] = CURL_SSLVERSION_TLSv1_2,
                                 [HTTP_TLS_1_0] = CURL_SSLVERSION_TLSv1_0,
                                 [HTTP_TLS_1_1] = CURL_SSLVERSION_TLSv1_1,
                                 [HTTP_TLS_1_2] = CURL_SSLVERSION_TLSv1_2,
                                 [HTTP_TLS_1_3] = CURL_SSLVERSION_TLSv1_3};
    static const long most[] = {[HTTP_TLS_DEFAULT] = CURL_SSLVERSION_MAX_DEFAULT,
                                [HTTP_TLS_1_0] = CURL_SSLVERSION_MAX_TLSv1_0,
                                [HTTP_TLS_1_1] = CURL_SSLVERSION_MAX_TLSv1_1,
                                [HTTP_TLS_1_2] = CURL_SSLVERSION_MAX_TLSv1_2,
                                [HTTP_TLS_1_3] = CURL_SSLVERSION_MAX_TLSv1_3};

    curl_easy_setopt(e, CURLOPT_SSLVERSION, least[tls->min_version] | most[tls->max_version]);
    if (tls->ca) {
        curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
        set_blob(e, CURLOPT_CAINFO_BLOB, tls->ca);
    }
    set_blob(e, CURLOPT_SSLCERT_BLOB, tls->cert);
    set_blob(e, CURLOPT_SSLKEY_BLOB, tls->key);
    if (tls->insecure_skip_verify) {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_options(struct fetch *f, const struct http_request *request)
{
    CURL *e = f->easy;

    curl_easy_setopt(e, CURLOPT_URL, request->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, request->proxy ? request->proxy : "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT,
                     1L);                      /* else a stuck name look-up holds up the cleanup */
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* else the bundle is read for each connection */
    curl_easy_setopt(e, CURLOPT_USERAGENT, "probermesh/" PROBER_VERSION);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error);
    if (request->only_http1)
        curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (request->username)
        curl_easy_setopt(e, CURLOPT_USERNAME, request->username);
    if (request->password)
        curl_easy_setopt(e, CURLOPT_PASSWORD, request->password);
    if (request->tls)
        set_tls(e, request->tls);
    if (request->body || (request->method && strcmp(request->method, "GET") != 0)) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    if (request->method)
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, request->method);
}

static enum prober_error error_of_curl(CURLcode code)
{
    static const struct {
        CURLcode code;
        enum prober_error err;
    } table[] = {
        {CURLE_OK, PROBER_OK},
        {CURLE_URL_MALFORMAT, PROBER_ERR_SYNTAX},
        {CURLE_UNSUPPORTED_PROTOCOL, PROBER_ERR_UNSUPPORTED},
        {CURLE_COULDNT_RESOLVE_HOST, PROBER_ERR_NOT_FOUND},
        {CURLE_COULDNT_CONNECT, PROBER_ERR_UNREACHABLE},
        {CURLE_OPERATION_TIMEDOUT, PROBER_ERR_TIMEOUT},
        {CURLE_OUT_OF_MEMORY, PROBER_ERR_NOMEM},
        {CURLE_WEIRD_SERVER_REPLY, PROBER_ERR_PROTOCOL},
        {CURLE_GOT_NOTHING, PROBER_ERR_PROTOCOL},
        {CURLE_PARTIAL_FILE, PROBER_ERR_PROTOCOL},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].code == code)
            return table[i].err;
    return PROBER_ERR_IO;
}

static void end(struct fetch *f, CURLcode code)
{
    struct http_answer *a = f->answer;
    const char *type = NULL;
    long status = 0;

    f->ended = true;
    if (f->too_large)
        a->err =
            prober_fail(&a->why, PROBER_ERR_RANGE, "the answer is larger than %zu bytes", f->max);
    else if (code != CURLE_OK)
        a->err = prober_fail(&a->why, error_of_curl(code), "%s",
                             f->error[0] ? f->error : curl_easy_strerror(code));
    if (a->err)
        return;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    a->status = (int)status;
    curl_easy_getinfo(f->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(a->content_type, sizeof(a->content_type), "%s", type ? type : "");
}

static void collect(CURLM *multi)
{
    int left;
    CURLMsg *msg;

    while ((msg = curl_multi_info_read(multi, &left))) {
        struct fetch *f = NULL;

        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        if (!f->ended)
            end(f, msg->data.result);
    }
}

/* ---- a fetcher ---- */

struct http_fetcher {
    CURLM *multi;
    struct fetch *fetches; /* the newest first */
};

enum prober_error http_fetcher_create(struct http_fetcher **out)
{
    struct http_fetcher *f = NULL;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return PROBER_ERR_NOMEM;
    f = calloc(1, sizeof(*f));
    if (f)
        f->multi = curl_multi_init();
    if (f && f->multi) {
        *out = f;
        return PROBER_OK;
    }
    free(f);
    curl_global_cleanup();
    return PROBER_ERR_NOMEM;
}

static void fetch_free(struct http_fetcher *f, struct fetch *fetch)
{
    struct http_answer *a = fetch->answer;

    if (fetch->easy) {
        curl_multi_remove_handle(f->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->headers);
    if (a->err || !fetch->ended) {
        free(a->body);
        a->body = NULL;
        a->body_len = 0;
    }
    free(fetch);
}

enum prober_error http_fetcher_start(struct http_fetcher *f, const struct http_request *request,
                                     struct http_answer *answer, uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns();
    struct fetch *fetch = calloc(1, sizeof(*fetch));

    memset(answer, 0, sizeof(*answer));
    if (!fetch)
        return answer->err = prober_fail(&answer->why, PROBER_ERR_NOMEM, "out of memory");
    fetch->answer = answer;
    fetch->max = request->answer_max ? request->answer_max : ANSWER_MAX_DEFAULT;
    fetch->deadline_ns = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
    fetch->easy = curl_easy_init();
    answer->body = calloc(1, 1);
    fetch->room = 1;
    if (fetch->easy && answer->body && add_headers(fetch, request->headers)) {
        set_options(fetch, request);
        if (curl_multi_add_handle(f->multi, fetch->easy) == CURLM_OK) {
            fetch->next = f->fetches;
            f->fetches = fetch;
            return PROBER_OK;
        }
    }
    answer->err = prober_fail(&answer->why, PROBER_ERR_NOMEM, "out of memory");
    fetch_free(f, fetch);
    return answer->err;
}

/* Ends those whose time is up. Returns whether any has ended, and the next deadline. */
static bool expire(struct http_fetcher *f, uint64_t now, uint64_t *deadline_ns)
{
    bool ended = false;

    for (struct fetch *fetch = f->fetches; fetch; fetch = fetch->next) {
        if (!fetch->ended && now >= fetch->deadline_ns) {
            fetch->answer->err =
                prober_fail(&fetch->answer->why, PROBER_ERR_TIMEOUT, "no answer in time");
            fetch->ended = true;
        }
        ended = ended || fetch->ended;
        if (fetch->deadline_ns < *deadline_ns)
            *deadline_ns = fetch->deadline_ns;
    }
    return ended;
}

/* Sleeps until libcurl or one of fds[count] has work. True when one of the fds has. */
static bool sleep_until(struct http_fetcher *f, struct pollfd *fds, size_t count, uint64_t now,
                        uint64_t until_ns)
{
    uint64_t left_ms = until_ns > now ? (until_ns - now - 1) / CLOCK_NS_PER_MS + 1 : 0;
    struct curl_waitfd waits[FETCHER_FDS_MAX];
    bool ready = false;

    for (size_t i = 0; i < count; i++)
        waits[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
    curl_multi_poll(f->multi, waits, (unsigned)count, left_ms < INT_MAX ? (int)left_ms : INT_MAX,
                    NULL);
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = waits[i].revents ? POLLIN : 0;
        ready = ready || waits[i].revents;
    }
    return ready;
}

void http_fetcher_wait(struct http_fetcher *f, struct pollfd *fds, size_t count,
                       uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t until_ns = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;

    count = count < FETCHER_FDS_MAX ? count : FETCHER_FDS_MAX;
    for (;;) {
        uint64_t deadline_ns = until_ns;
        int running;

        curl_multi_perform(f->multi, &running);
        collect(f->multi);
        now = clock_monotonic_ns();
        if (expire(f, now, &deadline_ns))
            deadline_ns = now;
        if (sleep_until(f, fds, count, now, deadline_ns) || deadline_ns <= now)
            return;
    }
}

struct http_answer *http_fetcher_take(struct http_fetcher *f)
{
    for (struct fetch **at = &f->fetches; *at; at = &(*at)->next) {
        struct fetch *fetch = *at;
        struct http_answer *answer = fetch->answer;

        if (!fetch->ended)
            continue;
        *at = fetch->next;
        fetch_free(f, fetch);
        return answer;
    }
    return NULL;
}

void http_fetcher_destroy(struct http_fetcher *f)
{
    if (!f)
        return;
    while (f->fetches) {
        struct fetch *fetch = f->fetches;

        f->fetches = fetch->next;
        fetch_free(f, fetch);
    }
    curl_multi_cleanup(f->multi);
    curl_global_cleanup();
    free(f);
}

/* ---- all at once ---- */

void http_fetch(const struct http_request *requests, struct http_answer *answers, size_t count,
                uint64_t timeout_ns)
{
    struct http_fetcher *f = NULL;
    enum prober_error err = http_fetcher_create(&f);

    for (size_t i = 0; i < count && err; i++)
        answers[i] = (struct http_answer){.err = err};
    for (size_t i = 0; i < count && !err; i++)
        http_fetcher_start(f, &requests[i], &answers[i], timeout_ns);
    while (f && f->fetches) {
        http_fetcher_wait(f, NULL, 0, UINT64_MAX);
        while (http_fetcher_take(f))
            ;
    }
    http_fetcher_destroy(f);
}

void http_answers_free(struct http_answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(answers[i].body);
        answers[i].body = NULL;
        answers[i].body_len = 0;
    }
}
