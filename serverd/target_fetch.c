#include "serverd/target_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/file.h"
#include "common/strbuf.h"

#define SECRET_FILE_MAX (1u << 20)
#define OWN_HEADERS 4 /* Accept, the refresh interval, Authorization, and the NULL at the end */

struct target_fetch {
    struct target_source *source; /* a reference */
    struct http_request request;
    struct http_answer answer;
    struct http_fetch_tls tls;
    char **headers; /* [header_count], owned, and a NULL */
    size_t header_count;
    char *texts[8]; /* [text_count], owned: read from files */
    size_t text_count;
};

/* What goes wrong on the way is told once, at the end. */
struct maker {
    struct target_fetch *fetch;
    enum prober_error err;
    struct prober_failure *why;
};

/* ---- the request ---- */

/* The content of a file, malloc'd; NULL, with the maker told. */
static char *read_file(struct maker *m, const char *name)
{
    char *path = target_source_path(m->fetch->source, name), *text = NULL;
    size_t len;

    if (!m->err && !path)
        m->err = PROBER_ERR_NOMEM;
    if (!m->err)
        m->err = file_read(path, SECRET_FILE_MAX, &text, &len, m->why);
    free(path);
    return text;
}

static void trim(char *text)
{
    size_t len = strlen(text), blanks = strspn(text, " \t\r\n");

    while (len > blanks && strchr(" \t\r\n", text[len - 1]))
        len--;
    memmove(text, text + blanks, len - blanks);
    text[len - blanks] = '\0';
}

/* A text as it is given, or what stands in a file; NULL: neither. */
static const char *text_or_file(struct maker *m, const char *text, const char *file)
{
    char *content;

    if (!file)
        return text;
    content = read_file(m, file);
    if (!content)
        return NULL;
    m->fetch->texts[m->fetch->text_count++] = content;
    return content;
}

static const char *secret(struct maker *m, const char *text, const char *file)
{
    const char *content = text_or_file(m, text, file);

    if (file && content)
        trim((char *)(uintptr_t)content);
    return content;
}

static void add_header(struct maker *m, const char *name, const char *value)
{
    char *line = NULL;

    /* libcurl takes a header without a value for one to be left out */
    if (m->err || asprintf(&line, *value ? "%s: %s" : "%s;%s", name, value) < 0) {
        m->err = m->err ? m->err : PROBER_ERR_NOMEM;
        return;
    }
    if (strpbrk(line, "\r\n")) {
        m->err = prober_fail(m->why, PROBER_ERR_SYNTAX,
                             "the value of the header %s has a line break", name);
        free(line);
        return;
    }
    m->fetch->headers[m->fetch->header_count++] = line;
}

static void add_headers(struct maker *m, const struct http_spec *client)
{
    for (size_t i = 0; i < client->http_headers.count; i++) {
        const struct http_header *h = &client->http_headers.items[i];
        char *content = h->source == HTTP_VALUE_FILE ? read_file(m, h->value) : NULL;

        if (content)
            trim(content);
        if (!m->err)
            add_header(m, h->name, content ? content : h->value);
        free(content);
    }
}

static void add_credentials(struct maker *m, const struct http_spec *client)
{
    const struct http_basic_auth *basic = client->basic_auth;
    const struct http_authorization *authorization = client->authorization;
    struct strbuf value = STRBUF_INIT;

    if (basic) {
        const char *user = secret(m, basic->username, basic->username_file);
        const char *password = secret(m, basic->password.text, basic->password.file);

        m->fetch->request.username = user ? user : "";
        m->fetch->request.password = password ? password : "";
    }
    if (authorization) {
        const char *text =
            secret(m, authorization->credentials.text, authorization->credentials.file);

        strbuf_printf(&value, "%s %s", authorization->type, text ? text : "");
        if (!strbuf_ok(&value))
            m->err = PROBER_ERR_NOMEM;
        else
            add_header(m, "Authorization", value.bytes);
    }
    strbuf_free(&value);
}

static void set_tls(struct maker *m, const struct http_tls *tls)
{
    m->fetch->tls = (struct http_fetch_tls){
        .ca = text_or_file(m, tls->ca, tls->ca_file),
        .cert = text_or_file(m, tls->cert, tls->cert_file),
        .key = text_or_file(m, tls->key.text, tls->key.file),
        .insecure_skip_verify = tls->insecure_skip_verify,
        .min_version = tls->min_version,
        .max_version = tls->max_version,
    };
    m->fetch->request.tls = &m->fetch->tls;
}

static void make_request(struct maker *m, uint64_t refresh_ns)
{
    struct target_fetch *fetch = m->fetch;
    const struct http_spec *client = fetch->source->client;
    struct strbuf seconds = STRBUF_INIT;

    fetch->request = (struct http_request){
        .url = fetch->source->url,
        .answer_max = TARGET_LIST_BYTES_MAX,
        .proxy = client->proxy.url,
        .only_http1 = !client->enable_http2,
    };
    strbuf_put_seconds(&seconds, refresh_ns);
    if (!strbuf_ok(&seconds))
        m->err = PROBER_ERR_NOMEM;
    add_header(m, "Accept", "application/json");
    if (!m->err)
        add_header(m, "X-Prometheus-Refresh-Interval-Seconds", seconds.bytes);
    add_headers(m, client);
    add_credentials(m, client);
    set_tls(m, &client->tls);
    fetch->request.headers = (const char *const *)fetch->headers;
    strbuf_free(&seconds);
}

enum prober_error target_fetch_start(struct target_fetch **out, struct http_fetcher *fetcher,
                                     const struct target_source *source, uint64_t refresh_ns,
                                     uint64_t timeout_ns, struct prober_failure *why)
{
    struct target_fetch *fetch = calloc(1, sizeof(*fetch));
    struct maker m = {.fetch = fetch, .why = why};

    prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    if (!fetch)
        return PROBER_ERR_NOMEM;
    fetch->source = target_source_get(source);
    fetch->headers =
        calloc(source->client->http_headers.count + OWN_HEADERS, sizeof(*fetch->headers));
    m.err = fetch->headers ? PROBER_OK : PROBER_ERR_NOMEM;
    if (!m.err)
        make_request(&m, refresh_ns);
    if (!m.err)
        m.err = http_fetcher_start(fetcher, &fetch->request, &fetch->answer, timeout_ns);
    if (m.err) {
        target_fetch_destroy(fetch);
        return m.err;
    }
    *out = fetch;
    return PROBER_OK;
}

const struct http_answer *target_fetch_answer(const struct target_fetch *fetch)
{
    return &fetch->answer;
}

/* ---- the answer ---- */

/* application/json, perhaps with charset=utf-8. */
static bool is_json(const char *type)
{
    static const char *const charsets[] = {"charset=utf-8", "charset=\"utf-8\""};

    if (strncasecmp(type, "application/json", 16) != 0)
        return false;
    type += 16 + strspn(type + 16, " \t");
    if (*type == '\0')
        return true;
    if (*type != ';')
        return false;
    type += 1 + strspn(type + 1, " \t");
    for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
        if (strcasecmp(type, charsets[i]) == 0)
            return true;
    return *type == '\0';
}

static enum prober_error read_body(const struct target_fetch *fetch, enum probe_kind kind,
                                   struct target_list **out, struct prober_failure *why)
{
    struct problems *problems;
    enum prober_error err = problems_create(&problems);

    if (err)
        return prober_fail(why, err, "out of memory");
    err = target_list_read(out, kind, TARGET_FORMAT_JSON, fetch->source->shown, fetch->answer.body,
                           fetch->answer.body_len, problems);
    if (err && !problems_failure(problems, why))
        prober_fail(why, err, "%s", prober_error_text(err));
    problems_destroy(problems);
    return err;
}

enum prober_error target_fetch_read(const struct target_fetch *fetch, enum probe_kind kind,
                                    struct target_list **out, struct prober_failure *why)
{
    const struct http_answer *a = &fetch->answer;

    if (a->err)
        return prober_fail(why, a->err, "%s",
                           a->why.text[0] ? a->why.text : prober_error_text(a->err));
    if (a->status != 200)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "the answer has status %d instead of 200",
                           a->status);
    if (!is_json(a->content_type))
        return prober_fail(why, PROBER_ERR_PROTOCOL,
                           "the answer is of type '%s' instead of application/json",
                           a->content_type);
    return read_body(fetch, kind, out, why);
}

void target_fetch_destroy(struct target_fetch *fetch)
{
    if (!fetch)
        return;
    for (size_t i = 0; i < fetch->header_count; i++)
        free(fetch->headers[i]);
    free(fetch->headers);
    for (size_t i = 0; i < fetch->text_count; i++)
        free(fetch->texts[i]);
    http_answers_free(&fetch->answer, 1);
    target_source_put(fetch->source);
    free(fetch);
}
