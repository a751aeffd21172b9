#include "libprober/http_oauth2.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_engine.h"
#include "libprober/http_token.h"

/* How the client is named: in a header, or in the form. */
enum style { STYLE_HEADER, STYLE_FORM, STYLE_COUNT };

struct waiter {
    http_oauth2_ready ready;
    void *context;
};

struct http_oauth2_source {
    struct http_spec *specs[STYLE_COUNT];
    struct http_kind *kinds[STYLE_COUNT];
    char *url;
    struct http_engine *engine; /* of the request that runs; NULL: none does */
    enum style style;
    bool is_style_known;
    char *authorization; /* the token; NULL: there is none */
    uint64_t next_ns;    /* from then on the next one is asked for */
    uint64_t end_ns;     /* from then on the token is not used */
    bool has_failed;
    uint64_t failed_ns;
    struct http_oauth2_answer failure;
    char trouble[PROBER_FAILURE_MAX]; /* of the failure */
    struct waiter *waiters;           /* [count] */
    size_t count, room;
    size_t holders; /* who made it, and a request that runs */
};

/* ---- making ---- */

/* Makes a copy of `spec` that owns its texts. */
static enum prober_error copy_spec(struct http_spec **out, const struct http_spec *spec)
{
    struct problems *problems = NULL;
    struct strbuf text = STRBUF_INIT;
    enum prober_error err = PROBER_ERR_NOMEM;

    http_spec_put(&text, spec, true);
    if (strbuf_ok(&text) && problems_create(&problems) == PROBER_OK)
        err = http_spec_read_text(out, "oauth2", text.bytes, text.len, problems);
    problems_destroy(problems);
    strbuf_free(&text);
    return err;
}

/* What is asked of the token server. */
static enum prober_error make_kind(struct http_oauth2_source *s, enum style style,
                                   const struct http_spec *spec, char *const *environment,
                                   struct prober_failure *why)
{
    const struct http_oauth2 *o = spec->oauth2;
    const struct http_means means = {.environment = environment};
    struct strbuf form = STRBUF_INIT, id = STRBUF_INIT, secret = STRBUF_INIT;
    struct http_header type = {"Content-Type", "application/x-www-form-urlencoded",
                               HTTP_VALUE_TEXT};
    struct http_basic_auth client = {0};
    struct http_spec asked = {
        .method = "POST",
        .headers = {&type, 1},
        .preferred_family = spec->preferred_family,
        .ip_protocol_fallback = true,
        .enable_http2 = true,
        .tls = o->tls,
        .proxy = o->proxy,
        .body_size_limit = HTTP_TOKEN_ANSWER_MAX,
        .basic_auth = style == STYLE_HEADER ? &client : NULL,
    };
    enum prober_error err = PROBER_ERR_NOMEM;

    http_token_put_form(&form, o, style == STYLE_FORM);
    http_token_put_escaped(&id, o->client_id);
    http_token_put_escaped(&secret, o->client_secret.text ? o->client_secret.text : "");
    asked.body = form.bytes;
    asked.body_len = form.len;
    client.username = id.bytes;
    client.password.text = secret.bytes;
    if (strbuf_ok(&form) && strbuf_ok(&id) && strbuf_ok(&secret))
        err = copy_spec(&s->specs[style], &asked);
    strbuf_free(&form);
    strbuf_free(&id);
    strbuf_free(&secret);
    if (err)
        return prober_fail(why, err, "oauth2: %s", prober_error_text(err));
    return http_kind_create(&s->kinds[style], s->specs[style], &means, why);
}

static void destroy(struct http_oauth2_source *s)
{
    for (int i = 0; i < STYLE_COUNT; i++) {
        http_kind_destroy(s->kinds[i]);
        http_spec_destroy(s->specs[i]);
    }
    free(s->url);
    free(s->authorization);
    free(s->waiters);
    free(s);
}

enum prober_error http_oauth2_create(struct http_oauth2_source **out, const struct http_spec *spec,
                                     char *const *environment, struct prober_failure *why)
{
    struct http_oauth2_source *s = calloc(1, sizeof(*s));
    struct prober_failure own;
    enum prober_error err = PROBER_OK;

    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    s->holders = 1;
    s->url = strdup(spec->oauth2->token_url);
    if (!s->url)
        err = prober_fail(&own, PROBER_ERR_NOMEM, "out of memory");
    for (int i = 0; i < STYLE_COUNT && !err; i++)
        err = make_kind(s, i, spec, environment, &own);
    for (int i = 0; i < STYLE_COUNT && !err; i++)
        http_kind_keep_bodies(s->kinds[i]);
    if (err) {
        destroy(s);
        return prober_fail(why, err, "oauth2: %.480s", own.text);
    }
    *out = s;
    return PROBER_OK;
}

void http_oauth2_release(struct http_oauth2_source *s)
{
    if (s && --s->holders == 0)
        destroy(s);
}

/* ---- asking ---- */

/* Tells all who wait; they may wish again, and are then told at once. */
static void tell(struct http_oauth2_source *s)
{
    const struct http_oauth2_answer answer =
        s->has_failed ? s->failure : (struct http_oauth2_answer){.authorization = s->authorization};
    struct waiter *waiters = s->waiters;
    size_t count = s->count;

    s->waiters = NULL;
    s->count = s->room = 0;
    for (size_t i = 0; i < count; i++)
        waiters[i].ready(waiters[i].context, &answer);
    free(waiters);
}

static void take_token(struct http_oauth2_source *s, const struct http_token *token,
                       uint64_t now_ns)
{
    uint64_t half = token->life_ns / 2;
    uint64_t use = token->life_ns - (half < HTTP_OAUTH2_SPARE_NS ? half : HTTP_OAUTH2_SPARE_NS);

    free(s->authorization);
    s->authorization = token->authorization;
    s->end_ns = use < UINT64_MAX - now_ns ? now_ns + use : UINT64_MAX;
    s->next_ns = s->end_ns - (s->end_ns == UINT64_MAX ? 0 : use / 4);
    s->is_style_known = true;
    s->has_failed = false;
}

static void take_failure(struct http_oauth2_source *s, enum http_reason reason, const char *trouble,
                         uint64_t now_ns)
{
    s->has_failed = true;
    s->failed_ns = now_ns;
    snprintf(s->trouble, sizeof(s->trouble), "oauth2: %.480s", trouble);
    s->failure = (struct http_oauth2_answer){
        .reason = reason == HTTP_FAILED_LOCAL ? HTTP_FAILED_LOCAL : HTTP_FAILED_OAUTH2,
        .trouble = s->trouble,
    };
}

/* Why there is no answer. */
static const char *describe(const struct http_result *result, struct prober_failure *why)
{
    prober_fail(why, PROBER_ERR_IO, "no answer of the token server: %s%s%.400s",
                http_reason_text(result->reason), result->trouble ? ": " : "",
                result->trouble ? result->trouble : "");
    return why->text;
}

static void on_answer(void *context, const struct http_result *result)
{
    struct http_oauth2_source *s = context;
    uint64_t now_ns = clock_monotonic_ns();
    struct http_token token;
    struct prober_failure why;
    enum prober_error err = PROBER_OK;

    if (result->reply)
        err = http_token_read(result->reply, &token, &why);
    if (!result->reply)
        take_failure(s, result->reason, describe(result, &why), now_ns);
    else if (err)
        take_failure(s, err == PROBER_ERR_NOMEM ? HTTP_FAILED_LOCAL : HTTP_FAILED_OAUTH2, why.text,
                     now_ns);
    else
        take_token(s, &token, now_ns);
    s->failure.is_forbidden = result->is_forbidden;
    if (err && !s->is_style_known && s->style == STYLE_HEADER) {
        s->style = STYLE_FORM;
        http_engine_start_inner(s->engine, s->kinds[s->style], s->url, HTTP_OAUTH2_TIMEOUT_NS,
                                now_ns, on_answer, s);
        return;
    }
    if (!s->is_style_known)
        s->style = STYLE_HEADER;
    s->engine = NULL;
    tell(s);
    http_oauth2_release(s);
}

static void begin(struct http_oauth2_source *s, struct http_engine *engine, uint64_t now_ns)
{
    s->engine = engine;
    s->holders++;
    http_engine_start_inner(engine, s->kinds[s->style], s->url, HTTP_OAUTH2_TIMEOUT_NS, now_ns,
                            on_answer, s);
}

static bool add_waiter(struct http_oauth2_source *s, http_oauth2_ready ready, void *context)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 8;
        struct waiter *more = realloc(s->waiters, room * sizeof(*more));

        if (!more)
            return false;
        s->waiters = more;
        s->room = room;
    }
    s->waiters[s->count++] = (struct waiter){ready, context};
    return true;
}

void http_oauth2_want(struct http_oauth2_source *s, struct http_engine *engine, uint64_t now_ns,
                      http_oauth2_ready ready, void *context)
{
    bool may_ask = !s->engine && !(s->has_failed && now_ns < s->failed_ns + HTTP_OAUTH2_PAUSE_NS);
    struct http_oauth2_answer answer = {.authorization = NULL};

    if (s->authorization && now_ns < s->end_ns) {
        if (may_ask && now_ns >= s->next_ns)
            begin(s, engine, now_ns);
        answer.authorization = s->authorization;
        ready(context, &answer);
    } else if (!may_ask && !s->engine) {
        answer = s->failure;
        ready(context, &answer);
    } else if (!add_waiter(s, ready, context)) {
        answer.reason = HTTP_FAILED_LOCAL;
        answer.trouble = "out of memory";
        ready(context, &answer);
    } else if (may_ask) {
        begin(s, engine, now_ns);
    }
}

void http_oauth2_drop(struct http_oauth2_source *s, const char *authorization)
{
    if (s->authorization && strcmp(s->authorization, authorization) == 0)
        s->end_ns = 0;
}
