#include "libprober/http_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/arena.h"
#include "common/strbuf.h"
#include "libprober/http_mask.h"

#define FIRST_BLOCK (8u << 10)

struct http_trace_store {
    struct arena *arena;
    struct http_mask *mask;
    struct strbuf scratch;
    uint64_t began_ns; /* of the first hop */
};

enum prober_error http_trace_create(struct http_trace **out, const struct http_spec *spec)
{
    struct http_trace *t = calloc(1, sizeof(*t));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!t)
        goto out;
    t->store = calloc(1, sizeof(*t->store));
    if (!t->store)
        goto out;
    t->store->arena = arena_create(FIRST_BLOCK, HTTP_TRACE_MAX);
    if (!t->store->arena)
        goto out;
    err = http_mask_create(&t->store->mask, spec);
    if (err)
        goto out;
    *out = t;
    t = NULL;
out:
    http_trace_destroy(t);
    return err;
}

/* `size` cleared bytes; NULL, and the trace is cut, when there are none. */
static void *take(struct http_trace *t, size_t size)
{
    void *piece = arena_alloc(t->store->arena, size);

    if (piece)
        memset(piece, 0, size);
    else
        t->is_cut = true;
    return piece;
}

static const char *copy(struct http_trace *t, const char *text, size_t len)
{
    char *piece = text ? take(t, len + 1) : NULL;

    if (piece)
        memcpy(piece, text, len);
    return piece;
}

/* What the scratch holds. */
static const char *copy_scratch(struct http_trace *t, size_t *len)
{
    struct strbuf *b = &t->store->scratch;

    t->is_cut = t->is_cut || !strbuf_ok(b);
    *len = b->len;
    return strbuf_ok(b) ? copy(t, b->len ? b->bytes : "", b->len) : NULL;
}

static void append(struct http_trace *t, struct http_trace_texts *list, const char *text)
{
    struct http_trace_text *kept = text ? take(t, sizeof(*kept)) : NULL;

    if (!kept)
        return;
    kept->text = text;
    if (list->last)
        list->last->next = kept;
    else
        list->first = kept;
    list->last = kept;
}

static const char *copy_masked(struct http_trace *t, const char *text, size_t *len)
{
    strbuf_clear(&t->store->scratch);
    if (!text)
        return NULL;
    http_mask_put_text(t->store->mask, &t->store->scratch, text, *len);
    return copy_scratch(t, len);
}

static const char *copy_string(struct http_trace *t, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    return copy_masked(t, text, &len);
}

/* The hop that runs; NULL: none, or there is no trace. */
static struct http_trace_hop *hop_of(struct http_trace *t)
{
    return t ? t->last : NULL;
}

static struct http_trace_tls *tls_of(struct http_trace *t)
{
    return t && t->last ? t->last->handshake : NULL;
}

void http_trace_begin_hop(struct http_trace *t, const struct http_url *url, uint64_t now_ns)
{
    struct http_trace_hop *hop = t ? take(t, sizeof(*hop)) : NULL;
    struct strbuf text = STRBUF_INIT;

    if (!hop)
        return;
    http_url_put(&text, url);
    hop->url = strbuf_ok(&text) ? copy_string(t, text.bytes) : NULL;
    strbuf_free(&text);
    if (!t->first)
        t->store->began_ns = now_ns;
    hop->began_ns = now_ns - t->store->began_ns;
    if (t->last)
        t->last->next = hop;
    else
        t->first = hop;
    t->last = hop;
}

void http_trace_lookup(struct http_trace *t, const struct resolver_answer *answer)
{
    if (!hop_of(t))
        return;
    t->last->is_looked_up = true;
    t->last->answer = *answer;
}

void http_trace_proxy(struct http_trace *t, const char *host, uint16_t port,
                      const struct prober_addr *address)
{
    struct http_trace_hop *hop = hop_of(t);
    char text[PROBER_HOST_MAX + 16];

    if (!hop)
        return;
    snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    hop->proxy = copy_string(t, text);
    hop->proxy_address = *address;
}

void http_trace_begin_tls(struct http_trace *t, const char *server_name, bool is_proxy)
{
    struct http_trace_hop *hop = hop_of(t);

    if (!hop)
        return;
    hop->handshake = take(t, sizeof(*hop->handshake));
    *(is_proxy ? &hop->proxy_tls : &hop->tls) = hop->handshake;
    if (hop->handshake)
        hop->handshake->server_name = copy_string(t, server_name);
}

void http_trace_certificate(struct http_trace *t, const struct http_trace_certificate *c)
{
    struct http_trace_tls *tls = tls_of(t);
    struct http_trace_certificate *kept = tls ? take(t, sizeof(*kept)) : NULL;

    if (!kept)
        return;
    *kept = (struct http_trace_certificate){
        .subject = copy_string(t, c->subject),
        .issuer = copy_string(t, c->issuer),
        .serial = copy_string(t, c->serial),
        .sha256 = copy_string(t, c->sha256),
        .key = copy_string(t, c->key),
        .signature = copy_string(t, c->signature),
        .not_before = c->not_before,
        .not_after = c->not_after,
    };
    if (tls->last)
        tls->last->next = kept;
    else
        tls->first = kept;
    tls->last = kept;
}

void http_trace_name(struct http_trace *t, const char *name, size_t len)
{
    struct http_trace_tls *tls = tls_of(t);

    if (tls && tls->last)
        append(t, &tls->last->names, copy_masked(t, name, &len));
}

void http_trace_verdict(struct http_trace *t, const char *error, int depth)
{
    struct http_trace_tls *tls = tls_of(t);

    if (!tls)
        return;
    tls->verdict = error ? HTTP_TRACE_REFUSED : HTTP_TRACE_TRUSTED;
    tls->verify_error = copy_string(t, error);
    tls->verify_depth = depth;
}

void http_trace_tls(struct http_trace *t, const char *version, const char *cipher, const char *alpn)
{
    struct http_trace_tls *tls = tls_of(t);

    if (!tls)
        return;
    tls->version = copy_string(t, version);
    tls->cipher = copy_string(t, cipher);
    tls->alpn = copy_string(t, alpn);
}

/* ---- heads ---- */

static struct http_trace_head *add_head(struct http_trace *t, struct http_trace_heads *heads)
{
    struct http_trace_head *head = take(t, sizeof(*head));

    if (!head)
        return NULL;
    if (heads->last)
        heads->last->next = head;
    else
        heads->first = head;
    heads->last = head;
    return head;
}

static void add_line(struct http_trace *t, struct http_trace_head *head, const char *line,
                     size_t len)
{
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    if (len == 0)
        return;
    strbuf_clear(&t->store->scratch);
    http_mask_put_line(t->store->mask, &t->store->scratch, line, len);
    append(t, &head->lines, copy_scratch(t, &len));
}

/* libcurl tells of lines about the connection that HTTP/2 has not, and does not send them. */
static bool is_sent(const char *line, size_t len, bool is_http2)
{
    static const char name[] = "Connection:";

    return !is_http2 || len < strlen(name) || strncasecmp(line, name, strlen(name)) != 0;
}

void http_trace_request(struct http_trace *t, const char *head, size_t len)
{
    struct http_trace_hop *hop = hop_of(t);
    struct http_trace_head *kept = hop ? add_head(t, &hop->requests) : NULL;
    const char *start_end = memchr(head, '\r', len);
    bool is_http2 = start_end && start_end - head > 7 && memcmp(start_end - 7, " HTTP/2", 7) == 0;

    while (kept && len > 0) {
        const char *end = memchr(head, '\n', len);
        size_t line = end ? (size_t)(end - head) + 1 : len;

        if (is_sent(head, line, is_http2))
            add_line(t, kept, head, line);
        head += line;
        len -= line;
    }
}

void http_trace_response(struct http_trace *t, const char *line, size_t len)
{
    struct http_trace_hop *hop = hop_of(t);
    bool begins = len >= 5 && memcmp(line, "HTTP/", 5) == 0;

    if (!hop)
        return;
    if (begins || !hop->responses.last)
        add_head(t, &hop->responses);
    if (hop->responses.last)
        add_line(t, hop->responses.last, line, len);
}

/* ---- ends ---- */

/* Masked as a whole, and cut then: half a secret would not be known as one. */
static const char *copy_beginning(struct http_trace *t, const char *body, size_t *len)
{
    const char *kept;

    if (*len > HTTP_TRACE_BODY_SEEN)
        *len = HTTP_TRACE_BODY_SEEN;
    kept = copy_masked(t, body, len);
    if (!kept)
        *len = 0;
    else if (*len > HTTP_TRACE_BODY_MAX)
        *len = HTTP_TRACE_BODY_MAX;
    return kept;
}

void http_trace_outcome(struct http_trace *t, const struct http_trace_outcome *outcome)
{
    struct http_trace_hop *hop = hop_of(t);

    if (!hop)
        return;
    hop->outcome = *outcome;
    hop->outcome.body = copy_beginning(t, outcome->body, &hop->outcome.body_len);
    hop->outcome.local = copy_string(t, outcome->local);
}

void http_trace_fail(struct http_trace *t, enum http_reason reason, const char *error)
{
    if (!t)
        return;
    if (t->last)
        t->last->failure = reason;
    if (error)
        *(t->last ? &t->last->error : &t->error) = copy_string(t, error);
}

void http_trace_destroy(struct http_trace *t)
{
    if (!t)
        return;
    if (t->store) {
        arena_destroy(t->store->arena);
        http_mask_destroy(t->store->mask);
        strbuf_free(&t->store->scratch);
    }
    free(t->store);
    free(t);
}
