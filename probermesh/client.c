#include "probermesh/client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "common/file.h"
#include "common/strbuf.h"
#include "common/utf8.h"
#include "libprober/http_fetch.h"

#define CLIENT_NAME_MAX 63
#define CLIENT_CA_MAX (1u << 20)
#define CLIENT_ANSWER_MAX (256u << 20) /* a mesh of a thousand regions */

static char *make_url(const char *server, const char *path)
{
    struct strbuf url = STRBUF_INIT;
    size_t len = strlen(server);

    while (len > 0 && server[len - 1] == '/')
        len--;
    if (!strstr(server, "://"))
        strbuf_puts(&url, "http://");
    strbuf_put(&url, server, len);
    strbuf_puts(&url, path);
    return strbuf_take(&url, NULL);
}

/* Says what the server said, its first line alone, so that it cannot command a terminal. */
static enum prober_error fail_with_answer(struct prober_failure *why, const char *url, int status,
                                          const char *body)
{
    struct strbuf said = STRBUF_INIT;

    utf8_put_escaped(&said, body, strcspn(body, "\r\n"));
    prober_fail(why, PROBER_ERR_PROTOCOL, "%s: the server answered with status %d: %.200s", url,
                status, said.len ? said.bytes : "nothing");
    strbuf_free(&said);
    return PROBER_ERR_PROTOCOL;
}

static enum prober_error judge(const struct http_answer *answer, const char *url,
                               struct prober_failure *why)
{
    if (answer->err)
        return prober_fail(why, answer->err, "%s: %.200s; is the server running there? (-server names it)",
                           url, answer->why.text);
    if (answer->status != 200)
        return fail_with_answer(why, url, answer->status, answer->body ? answer->body : "");
    return PROBER_OK;
}

/* Whether nobody but the server can read what is sent to the URL. */
static bool is_private_way(const char *url)
{
    const char *at = strstr(url, "://") + strlen("://");
    char authority[PROBER_HOST_MAX + 8], host[PROBER_HOST_MAX];
    struct prober_addr addr;
    uint16_t port;
    size_t len = strcspn(at, "/?#");

    if (strncasecmp(url, "https://", strlen("https://")) == 0)
        return true;
    if (len >= sizeof(authority))
        return false;
    memcpy(authority, at, len);
    authority[len] = '\0';
    if (prober_hostport_split(authority, 80, host, &port, NULL))
        return false;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    return prober_addr_parse(host, &addr) == PROBER_OK &&
           prober_addr_classify(&addr) == PROBER_ADDR_LOOPBACK;
}

/* *header is the caller's to free, also after an error. */
static enum prober_error make_header(const struct client_target *target, const char *url,
                                     char **header, struct prober_failure *why)
{
    struct strbuf text = STRBUF_INIT;

    if (!target->token || target->token[0] == '\0')
        return PROBER_OK;
    if (strpbrk(target->token, " \t\r\n"))
        return prober_fail(why, PROBER_ERR_SYNTAX, "the token has a blank or a line break");
    if (!target->plain_token && !is_private_way(url))
        return prober_fail(why, PROBER_ERR_DENIED,
                           "%.300s: the token is not sent over plain HTTP to another host; give an "
                           "https:// address, or -plain-token",
                           url);
    strbuf_puts(&text, "Authorization: Bearer ");
    strbuf_puts(&text, target->token);
    *header = strbuf_take(&text, NULL);
    return *header ? PROBER_OK : prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
}

static enum prober_error read_ca(const struct client_target *target, char **ca,
                                 struct prober_failure *why)
{
    size_t len;

    if (!target->ca_file || target->ca_file[0] == '\0')
        return PROBER_OK;
    return file_read(target->ca_file, CLIENT_CA_MAX, ca, &len, why);
}

static enum prober_error parse(const char *url, struct http_answer *answer, struct json **out,
                               char **text, struct prober_failure *why)
{
    struct prober_failure detail;
    enum prober_error err = json_parse(out, answer->body, answer->body_len, &detail);

    if (err)
        return prober_fail(why, err, "%s: not the answer of a ProberMesh server: %.200s", url,
                           detail.text);
    if (text) {
        *text = answer->body;
        answer->body = NULL;
    }
    return PROBER_OK;
}

/* What all requests to a server share. */
struct way {
    char *header, *ca; /* NULL: none */
    const char *headers[2];
    struct http_fetch_tls tls;
};

static void way_free(struct way *way)
{
    free(way->header);
    free(way->ca);
}

/* Errors leave a way that may be freed. */
static enum prober_error way_open(struct way *way, const struct client_target *target,
                                  const char *url, struct prober_failure *why)
{
    enum prober_error err;

    *way = (struct way){.header = NULL};
    err = make_header(target, url, &way->header, why);
    if (!err)
        err = read_ca(target, &way->ca, why);
    way->headers[0] = way->header;
    way->tls.ca = way->ca;
    return err;
}

enum prober_error client_get(const struct client_target *target, const char *path,
                             struct json **out, char **text, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    char *url = make_url(target->server, path);
    struct http_answer answer = {0};
    struct http_request request = {.url = url, .answer_max = CLIENT_ANSWER_MAX};
    struct way way = {.header = NULL};

    if (!url) {
        prober_fail(why, err, "out of memory");
        goto out;
    }
    err = way_open(&way, target, url, why);
    if (err)
        goto out;
    request.headers = way.headers;
    request.tls = &way.tls;
    http_fetch(&request, &answer, 1, target->timeout_ns);
    err = judge(&answer, url, why);
    if (!err)
        err = parse(url, &answer, out, text, why);
out:
    http_answers_free(&answer, 1);
    way_free(&way);
    free(url);
    return err;
}

/* ---- several at once ---- */

/* Waits until all have ended, or stop_fd is readable. */
static enum prober_error wait_for_all(struct http_fetcher *f, size_t count, int stop_fd,
                                      struct prober_failure *why)
{
    struct pollfd stop = {.fd = stop_fd, .events = POLLIN};

    while (count > 0) {
        http_fetcher_wait(f, &stop, stop_fd >= 0, UINT64_MAX);
        while (http_fetcher_take(f))
            count--;
        if (stop.revents)
            return prober_fail(why, PROBER_ERR_CLOSED, "interrupted");
    }
    return PROBER_OK;
}

static enum prober_error fetch_all(const struct http_request *requests, struct http_answer *got,
                                   size_t count, uint64_t timeout_ns, int stop_fd,
                                   struct prober_failure *why)
{
    struct http_fetcher *f = NULL;
    enum prober_error err = http_fetcher_create(&f);

    for (size_t i = 0; i < count && !err; i++)
        err = http_fetcher_start(f, &requests[i], &got[i], timeout_ns);
    err = err ? prober_fail(why, err, "out of memory") : wait_for_all(f, count, stop_fd, why);
    http_fetcher_destroy(f);
    for (size_t i = 0; i < count && !err; i++)
        if (got[i].err)
            err = prober_fail(why, got[i].err,
                              "%.200s: %.200s; is the server running there? (-server names it)",
                              requests[i].url, got[i].why.text);
    return err;
}

static bool fill(struct http_request *out, const struct client_target *target,
                 const struct client_request *request)
{
    *out = (struct http_request){
        .url = make_url(target->server, request->path),
        .method = request->method,
        .body = request->body,
        .body_len = request->body ? strlen(request->body) : 0,
        .answer_max = CLIENT_ANSWER_MAX,
        .only_http1 = true,
    };
    return out->url != NULL;
}

enum prober_error client_ask(const struct client_target *target,
                             const struct client_request *requests, struct client_answer *answers,
                             size_t count, int stop_fd, struct prober_failure *why)
{
    struct http_request sent[CLIENT_AT_ONCE] = {0};
    struct http_answer got[CLIENT_AT_ONCE] = {0};
    struct way way = {.header = NULL};
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; i < count && !err; i++)
        if (!fill(&sent[i], target, &requests[i]))
            err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    if (!err)
        err = way_open(&way, target, sent[0].url, why);
    for (size_t i = 0; i < count; i++) {
        sent[i].headers = way.headers;
        sent[i].tls = &way.tls;
    }
    if (!err)
        err = fetch_all(sent, got, count, target->timeout_ns, stop_fd, why);
    for (size_t i = 0; i < count && !err; i++) {
        answers[i] = (struct client_answer){got[i].status, got[i].body, got[i].body_len};
        got[i].body = NULL;
    }
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)sent[i].url);
    http_answers_free(got, count);
    way_free(&way);
    return err;
}

void client_answers_free(struct client_answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(answers[i].bytes);
        answers[i] = (struct client_answer){0};
    }
}

bool client_is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len > 0 && len <= CLIENT_NAME_MAX && text[len] == '\0';
}

enum prober_error client_refused(const struct client_answer *answer, struct prober_failure *why)
{
    struct json *json = NULL;
    const char *text = answer->bytes;
    struct strbuf said = STRBUF_INIT;

    if (json_parse(&json, answer->bytes, answer->len, NULL) == PROBER_OK &&
        json_string(json_get(json, "data")))
        text = json_string(json_get(json, "data"));
    utf8_put_escaped(&said, text, strcspn(text, "\r\n"));
    prober_fail(why, PROBER_ERR_PROTOCOL, "the server answered with status %d: %.400s",
                answer->status, said.len ? said.bytes : "nothing");
    strbuf_free(&said);
    json_free(json);
    return PROBER_ERR_PROTOCOL;
}
