#include "probermesh/client.h"

#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/utf8.h"
#include "libprober/http_fetch.h"

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

enum prober_error client_get(const char *server, const char *path, uint64_t timeout_ns,
                             struct json **out, char **text, struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    char *url = make_url(server, path);
    struct http_request request = {.url = url, .answer_max = CLIENT_ANSWER_MAX};
    struct http_answer answer = {0};
    struct prober_failure detail;

    if (!url) {
        prober_fail(why, err, "out of memory");
        goto out;
    }
    http_fetch(&request, &answer, 1, timeout_ns);
    err = judge(&answer, url, why);
    if (err)
        goto out;
    err = json_parse(out, answer.body, answer.body_len, &detail);
    if (err) {
        prober_fail(why, err, "%s: not the answer of a ProberMesh server: %.200s", url, detail.text);
        goto out;
    }
    if (text) {
        *text = answer.body;
        answer.body = NULL;
    }
out:
    http_answers_free(&answer, 1);
    free(url);
    return err;
}
