#include "libprober/http_mask.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"

struct text {
    const char *bytes;
    size_t len;
};

struct http_mask {
    const struct http_spec *spec;
    struct text secrets[HTTP_MASK_SECRETS_MAX]; /* [count], owned */
    size_t count;
    bool is_full; /* some secret is not remembered */
};

enum prober_error http_mask_create(struct http_mask **out, const struct http_spec *spec)
{
    struct http_mask *m = calloc(1, sizeof(*m));

    if (!m)
        return PROBER_ERR_NOMEM;
    m->spec = spec;
    *out = m;
    return PROBER_OK;
}

static void put(struct strbuf *out, struct text t)
{
    strbuf_put(out, t.bytes, t.len);
}

static struct text from(struct text t, size_t at)
{
    return (struct text){t.bytes + at, t.len - at};
}

static struct text cut(struct text t, size_t len)
{
    return (struct text){t.bytes, len};
}

/* How many bytes there are before the first of `stops`. */
static size_t before(struct text t, const char *stops)
{
    size_t len = 0;

    while (len < t.len && (!t.bytes[len] || !strchr(stops, t.bytes[len])))
        len++;
    return len;
}

static struct text trimmed(struct text t)
{
    while (t.len > 0 && strchr(" \t", t.bytes[0]))
        t = from(t, 1);
    while (t.len > 0 && strchr(" \t\r\n", t.bytes[t.len - 1]))
        t.len--;
    return t;
}

static bool equals(struct text t, const char *name)
{
    return t.len == strlen(name) && strncasecmp(t.bytes, name, t.len) == 0;
}

/* ---- remembering ---- */

static bool is_known(const struct http_mask *m, struct text secret)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->secrets[i].len == secret.len &&
            memcmp(m->secrets[i].bytes, secret.bytes, secret.len) == 0)
            return true;
    return false;
}

static void remember(struct http_mask *m, struct text secret, size_t min)
{
    char *copy;

    if (secret.len < min || is_known(m, secret))
        return;
    copy = m->count < HTTP_MASK_SECRETS_MAX ? malloc(secret.len) : NULL;
    if (!copy) {
        m->is_full = true;
        return;
    }
    memcpy(copy, secret.bytes, secret.len);
    m->secrets[m->count++] = (struct text){copy, secret.len};
}

static int digit_of_base64(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The user and password that hide in `code`, up to what is no base64. */
static void remember_basic(struct http_mask *m, struct text code)
{
    char *pair = malloc(code.len + 1);
    struct text password = {pair, 0};
    uint32_t bits = 0, bit_count = 0;

    if (!pair) {
        m->is_full = true;
        return;
    }
    for (size_t i = 0; i < code.len && digit_of_base64(code.bytes[i]) >= 0; i++) {
        bits = bits << 6 | (uint32_t)digit_of_base64(code.bytes[i]);
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        pair[password.len++] = (char)(bits >> bit_count & 255);
    }
    remember(m, password, HTTP_MASK_SECRET_MIN);
    if (before(password, ":") < password.len)
        remember(m, from(password, before(password, ":") + 1), HTTP_MASK_SECRET_MIN);
    free(pair);
}

/* ---- showing values that are secret ---- */

static void put_whole(struct http_mask *m, struct strbuf *out, struct text value)
{
    remember(m, value, HTTP_MASK_SECRET_MIN);
    strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
}

static void put_credentials(struct http_mask *m, struct strbuf *out, struct text value)
{
    static const char *const schemes[] = {"Basic", "Bearer", "Digest", "Negotiate"};
    struct text scheme = cut(value, before(value, " "));

    for (size_t i = 0; i < ARRAY_LEN(schemes) && scheme.len < value.len; i++) {
        if (!equals(scheme, schemes[i]))
            continue;
        put(out, cut(value, scheme.len + 1));
        value = trimmed(from(value, scheme.len + 1));
        if (i == 0)
            remember_basic(m, value);
        break;
    }
    put_whole(m, out, value);
}

/* "a=b; c=d" of a request. */
static void put_cookies(struct http_mask *m, struct strbuf *out, struct text value)
{
    strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
    while (value.len > 0) {
        size_t len = before(value, ";");
        struct text cookie = cut(value, len);
        size_t name = before(cookie, "=");

        remember(m, trimmed(from(cookie, name < len ? name + 1 : 0)), HTTP_MASK_COOKIE_MIN);
        value = from(value, len < value.len ? len + 1 : len);
    }
}

/* "a=b; Path=/" of an answer. */
static void put_set_cookie(struct http_mask *m, struct strbuf *out, struct text value)
{
    struct text cookie = cut(value, before(value, ";"));
    size_t name = before(cookie, "=");

    name = name < cookie.len ? name + 1 : 0;
    http_mask_put_text(m, out, cookie.bytes, name);
    remember(m, trimmed(from(cookie, name)), HTTP_MASK_COOKIE_MIN);
    strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
    value = from(value, cookie.len);
    http_mask_put_text(m, out, value.bytes, value.len);
}

typedef void (*put_value)(struct http_mask *m, struct strbuf *out, struct text value);

static bool is_secret_of(const struct http_headers *headers, struct text name)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->items[i].source != HTTP_VALUE_TEXT && equals(name, headers->items[i].name))
            return true;
    return false;
}

/* How the value of a header is shown; NULL: like any text. */
static put_value way_of(const struct http_spec *spec, struct text name)
{
    static const struct {
        const char *name;
        put_value way;
    } table[] = {
        {"Authorization", put_credentials},
        {"Proxy-Authorization", put_credentials},
        {"Cookie", put_cookies},
        {"Cookie2", put_cookies},
        {"Set-Cookie", put_set_cookie},
        {"Set-Cookie2", put_set_cookie},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (equals(name, table[i].name))
            return table[i].way;
    return is_secret_of(&spec->headers, name) || is_secret_of(&spec->http_headers, name) ||
                   is_secret_of(&spec->proxy.connect_headers, name)
               ? put_whole
               : NULL;
}

void http_mask_put_line(struct http_mask *m, struct strbuf *out, const char *line, size_t len)
{
    struct text text = {line, len};
    size_t colon = before(text, ":");
    put_value way = way_of(m->spec, cut(text, colon));

    if (len > 0 && strchr(" \t", line[0])) {
        strbuf_puts(out, HTTP_SPEC_SECRET_MASK); /* the rest of a value that may be secret */
    } else if (colon < len && way) {
        put(out, cut(text, colon + 1));
        strbuf_putc(out, ' ');
        way(m, out, trimmed(from(text, colon + 1)));
    } else {
        http_mask_put_text(m, out, line, len);
    }
}

/* ---- texts ---- */

/* The longest secret that `text` begins with. */
static size_t secret_at(const struct http_mask *m, struct text text)
{
    size_t longest = 0;

    for (size_t i = 0; i < m->count; i++) {
        const struct text *s = &m->secrets[i];

        if (s->len > longest && s->len <= text.len && memcmp(s->bytes, text.bytes, s->len) == 0)
            longest = s->len;
    }
    return longest;
}

/* Of "//user:password@host" what is before the '@'; 0 when there is no user information. */
static size_t user_at(struct text text)
{
    size_t user = 0;

    if (text.len < 2 || memcmp(text.bytes, "//", 2) != 0)
        return 0;
    text = cut(text, 2 + before(from(text, 2), "/?#\"'<>\\ \t\r\n"));
    for (size_t i = 2; i < text.len; i++)
        if (text.bytes[i] == '@')
            user = i;
    return user;
}

void http_mask_put_text(const struct http_mask *m, struct strbuf *out, const char *text, size_t len)
{
    struct text rest = {text, len};

    if (m->is_full && len > 0) {
        strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
        return;
    }
    while (rest.len > 0) {
        size_t user = user_at(rest), secret = secret_at(m, rest);

        if (user) {
            strbuf_puts(out, "//");
            secret = user;
        }
        if (secret)
            strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
        else
            strbuf_putc(out, rest.bytes[0]);
        rest = from(rest, secret ? secret : 1);
    }
}

void http_mask_destroy(struct http_mask *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        free((char *)m->secrets[i].bytes);
    free(m);
}
