#include "probermesh/client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "common/file.h"
#include "common/strbuf.h"
#include "common/utf8.h"
#include "libprober/http_fetch.h"

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

enum prober_error client_get(const struct client_target *target, const char *path,
                             struct json **out, char **text, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    char *url = make_url(target->server, path), *header = NULL, *ca = NULL;
    struct http_answer answer = {0};
    const char *headers[2] = {NULL, NULL};
    struct http_fetch_tls tls = {.ca = NULL};
    struct http_request request = {
        .url = url, .headers = headers, .tls = &tls, .answer_max = CLIENT_ANSWER_MAX};

    if (!url) {
        prober_fail(why, err, "out of memory");
        goto out;
    }
    err = make_header(target, url, &header, why);
    if (!err)
        err = read_ca(target, &ca, why);
    if (err)
        goto out;
    headers[0] = header;
    tls.ca = ca;
    http_fetch(&request, &answer, 1, target->timeout_ns);
    err = judge(&answer, url, why);
    if (!err)
        err = parse(url, &answer, out, text, why);
out:
    http_answers_free(&answer, 1);
    free(ca);
    free(header);
    free(url);
    return err;
}
