#include "libprober/http_course.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"

static const char *host_header(const struct http_spec *spec)
{
    for (size_t i = 0; i < spec->headers.count; i++)
        if (strcasecmp(spec->headers.items[i].name, "Host") == 0)
            return spec->headers.items[i].value;
    return NULL;
}

/* The host of "host", "host:port", "[v6]:port". */
static void copy_host(char out[PROBER_HOST_MAX], const char *authority)
{
    uint16_t port;

    if (prober_hostport_split(authority, 1, out, &port, NULL))
        snprintf(out, PROBER_HOST_MAX, "%.*s", PROBER_HOST_MAX - 1, authority);
}

static void set_names(struct http_course *c)
{
    const char *host = c->keeps_host ? host_header(c->spec) : NULL;
    bool is_origin = strcasecmp(c->url.host, c->origin_host) == 0 && c->url.port == c->origin_port;
    char authority[HTTP_AUTHORITY_MAX];

    snprintf(c->host, sizeof(c->host), "%.*s", HTTP_URL_MAX,
             host ? host : http_url_authority(&c->url, authority));
    if (is_origin && c->spec->tls.server_name)
        snprintf(c->tls_name, sizeof(c->tls_name), "%.*s", PROBER_HOST_MAX - 1,
                 c->spec->tls.server_name);
    else if (is_origin && host)
        copy_host(c->tls_name, host);
    else
        snprintf(c->tls_name, sizeof(c->tls_name), "%s", c->url.host);
    c->tls_name[strcspn(c->tls_name, "%")] = 0; /* the zone is no part of the name */
}

enum prober_error http_course_begin(struct http_course *c, const struct http_spec *spec,
                                    const char *target)
{
    enum prober_error err = http_url_parse(target, &c->url, NULL);

    if (err)
        return err;
    c->spec = spec;
    c->authorization = NULL;
    c->method = spec->method;
    c->has_body = spec->body != NULL;
    c->keeps_host = true;
    c->has_left = false;
    memcpy(c->origin_host, c->url.host, sizeof(c->origin_host));
    c->origin_port = c->url.port;
    set_names(c);
    return PROBER_OK;
}

static bool names_an_authority(const char *location)
{
    return strncmp(location, "//", 2) == 0 || strncasecmp(location, "http:", 5) == 0 ||
           strncasecmp(location, "https:", 6) == 0;
}

enum prober_error http_course_redirect(struct http_course *c, int status, const char *location)
{
    struct http_url next;
    enum prober_error err = http_url_resolve(&c->url, location, &next, NULL);

    if (err)
        return err;
    c->url = next;
    if (status != 307 && status != 308) {
        c->has_body = false;
        if (strcmp(c->method, "HEAD") != 0)
            c->method = "GET";
    }
    c->keeps_host = c->keeps_host && !names_an_authority(location);
    c->has_left = c->has_left || !http_url_host_is_within(c->url.host, c->origin_host);
    set_names(c);
    return PROBER_OK;
}

static bool is_withheld(const struct http_course *c, const struct http_header *h)
{
    static const char *const sensitive[] = {
        "Authorization", "Www-Authenticate",    "Cookie",
        "Cookie2",       "Proxy-Authorization", "Proxy-Authenticate"};

    if (!c->has_left)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(sensitive); i++)
        if (strcasecmp(h->name, sensitive[i]) == 0)
            return true;
    return h->source != HTTP_VALUE_TEXT;
}

static bool is_replaced(const struct http_course *c, const struct http_header *h)
{
    return c->authorization && strcasecmp(h->name, "Authorization") == 0;
}

static void put_headers(const struct http_course *c, const struct http_headers *headers,
                        struct http_fields *out)
{
    for (size_t i = 0; i < headers->count; i++) {
        const struct http_header *h = &headers->items[i];

        if (strcasecmp(h->name, "Host") != 0 && !is_withheld(c, h) && !is_replaced(c, h))
            http_fields_add(out, h->name, strlen(h->name), h->value, strlen(h->value));
    }
}

static void put_base64(struct strbuf *out, const char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)(uint8_t)bytes[i] << 16;

        group |= i + 1 < len ? (uint32_t)(uint8_t)bytes[i + 1] << 8 : 0;
        group |= i + 2 < len ? (uint8_t)bytes[i + 2] : 0;
        strbuf_putc(out, digits[group >> 18]);
        strbuf_putc(out, digits[group >> 12 & 63]);
        strbuf_putc(out, i + 1 < len ? digits[group >> 6 & 63] : '=');
        strbuf_putc(out, i + 2 < len ? digits[group & 63] : '=');
    }
}

static void put_basic(struct strbuf *value, const char *user, const char *password)
{
    struct strbuf pair = STRBUF_INIT;

    strbuf_printf(&pair, "%s:%s", user, password);
    strbuf_puts(value, "Basic ");
    if (strbuf_ok(&pair))
        put_base64(value, pair.bytes, pair.len);
    else
        value->failed = true;
    strbuf_free(&pair);
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

void http_course_put_fields(const struct http_course *c, struct http_fields *out)
{
    const struct http_spec *s = c->spec;
    struct strbuf value = STRBUF_INIT;

    put_headers(c, &s->headers, out);
    put_headers(c, &s->http_headers, out);
    if (http_fields_next(out, "Authorization", NULL))
        return;
    if (c->authorization && !c->has_left)
        strbuf_puts(&value, c->authorization);
    else if (c->url.has_user)
        put_basic(&value, c->url.user, c->url.password);
    else if (s->basic_auth && !c->has_left)
        put_basic(&value, text_of(s->basic_auth->username), text_of(s->basic_auth->password.text));
    else if (s->authorization && !c->has_left)
        strbuf_printf(&value, "%s %s", s->authorization->type,
                      text_of(s->authorization->credentials.text));
    if (!strbuf_ok(&value))
        out->text.failed = true;
    else if (value.len > 0)
        http_fields_add(out, "Authorization", strlen("Authorization"), value.bytes, value.len);
    strbuf_free(&value);
}
