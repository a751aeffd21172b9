#include "libprober/http_filled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/secret_files.h"

/* What a content must be. */
enum form {
    FORM_TEXT, /* cut; no NUL */
    FORM_LINE, /* cut; the value of a header */
    FORM_PEM,  /* no NUL */
    FORM_BODY  /* anything */
};

/* One member of a spec that names a file. */
struct place {
    const char *key; /* as in the probe file */
    enum form form;
    const char **file, **text;
};

struct http_filled {
    struct http_spec spec;
    struct http_basic_auth basic_auth;
    struct http_authorization authorization;
    struct http_oauth2 oauth2;
    struct http_header *header_items[2]; /* of headers and http_headers */
    struct strbuf content;               /* of all files, in order, a NUL after each */
};

#define PLACES_MAX 16

static size_t tls_places(struct place *out, struct http_tls *tls, const char *const keys[3])
{
    out[0] = (struct place){keys[0], FORM_PEM, &tls->ca_file, &tls->ca};
    out[1] = (struct place){keys[1], FORM_PEM, &tls->cert_file, &tls->cert};
    out[2] = (struct place){keys[2], FORM_PEM, &tls->key.file, &tls->key.text};
    return 3;
}

/* The places of the spec that are not in lists of headers, and that do name a file. */
static size_t list_places(struct http_spec *s, struct place out[PLACES_MAX])
{
    static const char *const keys[] = {"tls_config.ca_file", "tls_config.cert_file",
                                       "tls_config.key_file"};
    static const char *const oauth2_keys[] = {
        "oauth2.tls_config.ca_file", "oauth2.tls_config.cert_file", "oauth2.tls_config.key_file"};
    struct http_basic_auth *basic = s->basic_auth;
    size_t count = tls_places(out, &s->tls, keys), given = 0;

    if (basic) {
        out[count++] = (struct place){"basic_auth.username_file", FORM_TEXT, &basic->username_file,
                                      &basic->username};
        out[count++] = (struct place){"basic_auth.password_file", FORM_TEXT, &basic->password.file,
                                      &basic->password.text};
    }
    if (s->authorization)
        out[count++] = (struct place){"credentials_file or bearer_token_file", FORM_LINE,
                                      &s->authorization->credentials.file,
                                      &s->authorization->credentials.text};
    if (s->oauth2) {
        count += tls_places(out + count, &s->oauth2->tls, oauth2_keys);
        out[count++] =
            (struct place){"oauth2.client_secret_file", FORM_TEXT, &s->oauth2->client_secret.file,
                           &s->oauth2->client_secret.text};
    }
    out[count++] = (struct place){"body_file", FORM_BODY, &s->body_file, &s->body};
    for (size_t i = 0; i < count; i++)
        if (*out[i].file)
            out[given++] = out[i];
    return given;
}

typedef enum prober_error (*take_place)(void *context, const struct place *place);

static enum prober_error for_each_header(struct http_headers *headers, const char *key,
                                         take_place take, void *context)
{
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; i < headers->count && !err; i++) {
        struct http_header *h = &headers->items[i];
        const struct place place = {key, FORM_LINE, &h->value, &h->value};

        if (h->source == HTTP_VALUE_FILE)
            err = take(context, &place);
    }
    return err;
}

/* Calls `take` for every file that the spec names, always in the same order. */
static enum prober_error for_each_place(struct http_spec *s, take_place take, void *context)
{
    struct place places[PLACES_MAX];
    size_t count = list_places(s, places);
    enum prober_error err = for_each_header(&s->headers, "headers", take, context);

    if (!err)
        err = for_each_header(&s->http_headers, "http_headers.files", take, context);
    for (size_t i = 0; i < count && !err; i++)
        err = take(context, &places[i]);
    return err;
}

static enum prober_error refuse(void *context, const struct place *place)
{
    (void)context;
    (void)place;
    return PROBER_ERR_EXISTS;
}

bool http_filled_is_needed(const struct http_spec *spec)
{
    struct http_spec same = *spec;

    return for_each_place(&same, refuse, NULL) != PROBER_OK;
}

/* What a look at the files needs. */
struct look {
    struct http_filled *filled;
    const char *dir;
    struct prober_failure *why;
    size_t at; /* of the next content */
};

static enum prober_error check_place(void *context, const struct place *place)
{
    const struct look *l = context;

    if (!l->dir || !*l->dir)
        return prober_fail(l->why, PROBER_ERR_UNSUPPORTED,
                           "%s: no file is read without -agent.secrets.dir", place->key);
    if (!secret_file_beneath(l->dir, *place->file))
        return prober_fail(l->why, PROBER_ERR_DENIED, "%s: '%.200s' is not beneath %.200s",
                           place->key, *place->file, l->dir);
    return PROBER_OK;
}

enum prober_error http_filled_check(const struct http_spec *spec, const char *dir,
                                    struct prober_failure *why)
{
    struct http_spec same = *spec;
    struct look look = {.dir = dir, .why = why};

    return for_each_place(&same, check_place, &look);
}

static bool is_blank(char c)
{
    return c && strchr(" \t\n\v\f\r", c);
}

static void cut(struct strbuf *b, size_t from)
{
    size_t blanks = 0;

    while (b->len > from && is_blank(b->bytes[b->len - 1]))
        b->len--;
    while (from + blanks < b->len && is_blank(b->bytes[from + blanks]))
        blanks++;
    b->len -= blanks;
    memmove(b->bytes + from, b->bytes + from + blanks, b->len - from);
}

static const char *fault_in(const struct strbuf *b, size_t from, enum form form)
{
    size_t len = b->len - from;

    if (form != FORM_BODY && memchr(b->bytes + from, 0, len))
        return "holds a NUL";
    if (form == FORM_LINE &&
        (memchr(b->bytes + from, '\n', len) || memchr(b->bytes + from, '\r', len)))
        return "holds a line break, which a header cannot";
    return NULL;
}

static enum prober_error read_place(void *context, const struct place *place)
{
    const struct look *l = context;
    struct strbuf *b = &l->filled->content;
    bool is_text = place->form == FORM_TEXT || place->form == FORM_LINE;
    size_t from = b->len;
    struct prober_failure own;
    const char *fault;
    enum prober_error err = secret_file_read(l->dir, *place->file,
                                             is_text ? HTTP_FILE_TEXT_MAX : HTTP_FILE_MAX, b, &own);

    if (err)
        return prober_fail(l->why, err, "%s: %.400s", place->key, own.text);
    if (is_text)
        cut(b, from);
    fault = fault_in(b, from, place->form);
    if (fault)
        return prober_fail(l->why, PROBER_ERR_SYNTAX, "%s: '%.300s' %s", place->key, *place->file,
                           fault);
    if (place->form == FORM_BODY)
        l->filled->spec.body_len = b->len - from;
    strbuf_putc(b, 0);
    return strbuf_ok(b) ? PROBER_OK : prober_fail(l->why, PROBER_ERR_NOMEM, "out of memory");
}

static enum prober_error set_place(void *context, const struct place *place)
{
    struct look *l = context;
    const char *content = l->filled->content.bytes + l->at;

    l->at += (place->form == FORM_BODY ? l->filled->spec.body_len : strlen(content)) + 1;
    if (place->form != FORM_BODY)
        *place->file = NULL;
    *place->text = content;
    return PROBER_OK;
}

static void mark_as_secret(struct http_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->items[i].source == HTTP_VALUE_FILE)
            headers->items[i].source = HTTP_VALUE_SECRET;
}

static bool own_headers(struct http_headers *headers, struct http_header **items)
{
    *items = malloc(headers->count * sizeof(**items) + 1);
    if (!*items)
        return false;
    if (headers->count)
        memcpy(*items, headers->items, headers->count * sizeof(**items));
    headers->items = *items;
    return true;
}

/* Makes the parts that will be changed our own. */
static bool own_parts(struct http_filled *f)
{
    struct http_spec *s = &f->spec;

    if (s->basic_auth) {
        f->basic_auth = *s->basic_auth;
        s->basic_auth = &f->basic_auth;
    }
    if (s->authorization) {
        f->authorization = *s->authorization;
        s->authorization = &f->authorization;
    }
    if (s->oauth2) {
        f->oauth2 = *s->oauth2;
        s->oauth2 = &f->oauth2;
    }
    s->memory = NULL;
    return own_headers(&s->headers, &f->header_items[0]) &&
           own_headers(&s->http_headers, &f->header_items[1]);
}

enum prober_error http_filled_create(struct http_filled **out, const struct http_spec *spec,
                                     const char *dir, struct prober_failure *why)
{
    struct http_filled *f = calloc(1, sizeof(*f));
    struct look look = {f, dir, why, 0};
    enum prober_error err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");

    if (!f)
        return err;
    f->spec = *spec;
    if (!own_parts(f))
        goto out;
    err = for_each_place(&f->spec, read_place, &look);
    if (err)
        goto out;
    for_each_place(&f->spec, set_place, &look);
    mark_as_secret(&f->spec.headers);
    mark_as_secret(&f->spec.http_headers);
    *out = f;
    f = NULL;
out:
    http_filled_destroy(f);
    return err;
}

const struct http_spec *http_filled_spec(const struct http_filled *f)
{
    return &f->spec;
}

bool http_filled_equal(const struct http_filled *a, const struct http_filled *b)
{
    return a->content.len == b->content.len &&
           memcmp(a->content.bytes, b->content.bytes, a->content.len) == 0;
}

void http_filled_destroy(struct http_filled *f)
{
    if (!f)
        return;
    free(f->header_items[0]);
    free(f->header_items[1]);
    strbuf_free(&f->content);
    free(f);
}
