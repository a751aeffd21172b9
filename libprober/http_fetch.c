#include "libprober/http_fetch.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/version.h"

#define ANSWER_MAX_DEFAULT (64 << 10)
#define HEADERS_MAX (64 << 10) /* libcurl itself takes any number of them */

/* One request while it runs. */
struct fetch {
    CURL *easy;
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

static void set_options(struct fetch *f, const struct http_request *request)
{
    CURL *e = f->easy;

    curl_easy_setopt(e, CURLOPT_URL, request->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
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
    if (request->body || (request->method && strcmp(request->method, "GET") != 0)) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    if (request->method)
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, request->method);
}

/* Puts the request into the set. On error the answer says why, and the fetch has ended. */
static void start(struct fetch *f, CURLM *multi, const struct http_request *request,
                  struct http_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    f->answer = answer;
    f->max = request->answer_max ? request->answer_max : ANSWER_MAX_DEFAULT;
    f->easy = multi ? curl_easy_init() : NULL;
    answer->body = calloc(1, 1);
    f->room = 1;
    if (f->easy && answer->body && add_headers(f, request->headers)) {
        set_options(f, request);
        if (curl_multi_add_handle(multi, f->easy) == CURLM_OK)
            return;
    }
    f->ended = true;
    answer->err = prober_fail(&answer->why, PROBER_ERR_NOMEM, "out of memory");
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
        end(f, msg->data.result);
    }
}

static void run(CURLM *multi, uint64_t deadline_ns)
{
    int running = 0;

    for (;;) {
        uint64_t now, left_ms;

        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return;
        collect(multi);
        now = clock_monotonic_ns();
        if (running == 0 || now >= deadline_ns)
            return;
        left_ms = (deadline_ns - now) / CLOCK_NS_PER_MS + 1;
        if (curl_multi_poll(multi, NULL, 0, left_ms < INT_MAX ? (int)left_ms : INT_MAX, NULL))
            return;
    }
}

static void finish(struct fetch *f, CURLM *multi)
{
    struct http_answer *a = f->answer;

    if (!f->ended)
        a->err = prober_fail(&a->why, PROBER_ERR_TIMEOUT, "no answer in time");
    if (f->easy) {
        curl_multi_remove_handle(multi, f->easy);
        curl_easy_cleanup(f->easy);
    }
    curl_slist_free_all(f->headers);
    if (a->err) {
        free(a->body);
        a->body = NULL;
        a->body_len = 0;
    }
}

void http_fetch(const struct http_request *requests, struct http_answer *answers, size_t count,
                uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t deadline_ns = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
    struct fetch *fetches = calloc(count ? count : 1, sizeof(*fetches));
    bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    CURLM *multi = ready && fetches ? curl_multi_init() : NULL;

    for (size_t i = 0; fetches && i < count; i++)
        start(&fetches[i], multi, &requests[i], &answers[i]);
    if (multi)
        run(multi, deadline_ns);
    for (size_t i = 0; fetches && i < count; i++)
        finish(&fetches[i], multi);
    for (size_t i = 0; !fetches && i < count; i++)
        answers[i] = (struct http_answer){.err = PROBER_ERR_NOMEM};
    curl_multi_cleanup(multi);
    if (ready)
        curl_global_cleanup();
    free(fetches);
}

void http_answers_free(struct http_answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(answers[i].body);
        answers[i].body = NULL;
        answers[i].body_len = 0;
    }
}
