#include "libprober/http_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"

/* The three digits after the version, which a blank or the end follows; 0 when there are none. */
static int status_of(const char *text)
{
    int status = 0;

    text += strspn(text, " ");
    for (int i = 0; i < 3; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        status = status * 10 + (text[i] - '0');
    }
    return status >= 100 && (!text[3] || strchr(" \r\n", text[3])) ? status : 0;
}

static bool is_known(const struct http_head *h, const char *version)
{
    return strcmp(version, "HTTP/1.1") == 0 || strcmp(version, "HTTP/1.0") == 0 ||
           (strcmp(version, "HTTP/2") == 0 && !h->is_plain);
}

/* A head begins, or a further one after an interim answer. HTTP/2 is told without a minor version. */
static void begin(struct http_head *h, const char *line, size_t len)
{
    char start[64];
    size_t version;

    snprintf(start, sizeof(start), "%.*s", (int)(len < sizeof(start) ? len : sizeof(start)), line);
    version = strcspn(start, " \r\n");
    strbuf_clear(&h->fields.text);
    h->is_begun = true;
    h->content_length = -1;
    h->status = status_of(start + version);
    start[version] = 0;
    snprintf(h->version, sizeof(h->version), "%.12s%s", start, strchr(start, '.') ? "" : ".0");
    if (!is_known(h, start) || h->status == 0)
        h->fault = HTTP_FAILED_BAD_RESPONSE;
}

static bool take_length(struct http_head *h, const char *value, size_t len)
{
    int64_t length = 0;

    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || length > (INT64_MAX - 9) / 10)
            return false;
        length = length * 10 + (value[i] - '0');
    }
    if (len == 0 || (h->content_length >= 0 && h->content_length != length))
        return false; /* of two lengths nobody knows which holds */
    h->content_length = length;
    return true;
}

static bool is_named(const char *name, size_t len, const char *wanted)
{
    return len == strlen(wanted) && strncasecmp(name, wanted, len) == 0;
}

static const char *trim(const char *text, size_t len, size_t *trimmed)
{
    for (; len > 0 && strchr(" \t", *text); len--)
        text++;
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    *trimmed = len;
    return text;
}

/* The obsolete folding (RFC 9112, 5.2). Where the answer ends must not depend on who reads it how. */
static bool fold(struct http_head *h, const char *line, size_t len)
{
    const char *more = trim(line, len, &len);

    if (h->fields.text.len == 0 || h->is_of_length)
        return false;
    http_fields_extend(&h->fields, more, len);
    return true;
}

static bool is_first(const struct http_head *h, const char *name)
{
    return !http_fields_next(&h->fields, name, http_fields_next(&h->fields, name, NULL));
}

static bool is_end(const char *line, size_t len)
{
    return line[0] == '\n' || (len == 2 && memcmp(line, "\r\n", 2) == 0);
}

static bool take_field(struct http_head *h, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len), *value;
    size_t name_len;

    if (line[0] == '\r' || memchr(line, 0, len))
        return false;
    if (line[0] == ' ' || line[0] == '\t')
        return fold(h, line, len);
    if (!colon || colon == line)
        return false;
    name_len = (size_t)(colon - line);
    value = trim(colon + 1, len - name_len - 1, &len);
    http_fields_add(&h->fields, line, name_len, value, len);
    h->is_of_length = true;
    if (is_named(line, name_len, "Content-Length"))
        return take_length(h, value, len);
    if (is_named(line, name_len, "Transfer-Encoding"))
        return is_named(value, len, "chunked") && is_first(h, "Transfer-Encoding");
    h->is_of_length = false;
    return true;
}

bool http_head_take(struct http_head *h, const char *line, size_t len)
{
    if (h->fault || len == 0)
        return !h->fault;
    h->bytes += len;
    if (h->is_whole)
        return h->bytes <= HTTP_HEAD_MAX;
    if (h->bytes > HTTP_HEAD_MAX) {
        h->fault = HTTP_FAILED_BAD_RESPONSE;
    } else if (!h->is_begun) {
        begin(h, line, len);
    } else if (is_end(line, len)) {
        h->is_begun = h->status >= 200 || h->status == 101;
        h->is_whole = h->is_begun;
    } else if (!take_field(h, line, len)) {
        h->fault = HTTP_FAILED_BAD_RESPONSE;
    }
    if (!strbuf_ok(&h->fields.text))
        h->fault = HTTP_FAILED_LOCAL;
    return !h->fault;
}

const char *http_head_location(const struct http_head *h)
{
    static const int redirects[] = {301, 302, 303, 307, 308};
    const char *location = http_fields_next(&h->fields, "Location", NULL);

    for (size_t i = 0; location && *location && i < ARRAY_LEN(redirects); i++)
        if (h->status == redirects[i])
            return location;
    return NULL;
}

void http_head_clear(struct http_head *h)
{
    strbuf_free(&h->fields.text);
    *h = (struct http_head)HTTP_HEAD_INIT;
}
