#include "libprober/http_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Bytes of a text: at[len]. */
struct span {
    const char *at;
    size_t len;
};

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* Cuts what stands before the first of `delimiters` off *rest, which keeps the delimiter. */
static struct span take_until(struct span *rest, const char *delimiters)
{
    struct span head = {rest->at, 0};

    while (head.len < rest->len && !strchr(delimiters, head.at[head.len]))
        head.len++;
    rest->at += head.len;
    rest->len -= head.len;
    return head;
}

static bool starts_with(struct span s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && strncasecmp(s.at, prefix, len) == 0;
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    if (c >= '0' && c <= '9')
        return c - '0';
    return at && (c | 0x20) >= 'a' ? (int)(at - digits) : -1;
}

static int escape_value(struct span s, size_t i)
{
    int high = s.len - i > 2 ? hex_value(s.at[i + 1]) : -1;
    int low = high >= 0 ? hex_value(s.at[i + 2]) : -1;

    return low >= 0 ? high << 4 | low : -1;
}

static enum prober_error check_text(struct span s, struct prober_failure *why)
{
    if (s.len > HTTP_URL_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the URL is longer than %d bytes", HTTP_URL_MAX);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] < 0x20 || s.at[i] == 0x7f)
            return prober_fail(why, PROBER_ERR_SYNTAX, "the URL has a control character in it");
    return PROBER_OK;
}

static enum prober_error decode_user(struct span s, char out[HTTP_USER_MAX + 1],
                                     struct prober_failure *why)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.at[i];

        if (!strchr(LETTERS DIGITS "-._~!$&'()*+,;=:@%", c))
            return prober_fail(why, PROBER_ERR_SYNTAX, "the user information has a bad character");
        if (c == '%') {
            c = escape_value(s, i);
            i += 2;
        }
        if (c <= 0)
            return prober_fail(why, PROBER_ERR_SYNTAX, "the user information has a bad escape");
        if (len == HTTP_USER_MAX)
            return prober_fail(why, PROBER_ERR_RANGE, "the user information is too long");
        out[len++] = (char)c;
    }
    out[len] = 0;
    return PROBER_OK;
}

static enum prober_error read_user(struct span s, struct http_url *out, struct prober_failure *why)
{
    struct span user = take_until(&s, ":");
    enum prober_error err = decode_user(user, out->user, why);

    if (s.len > 0)
        s = (struct span){s.at + 1, s.len - 1};
    out->has_user = true;
    return err ? err : decode_user(s, out->password, why);
}

/* `port` is what follows the host: empty, ":" or ":" and digits. */
static enum prober_error read_port(struct span port, struct http_url *out,
                                   struct prober_failure *why)
{
    unsigned value = 0;

    out->port = out->tls ? 443 : 80;
    if (port.len == 0 || (port.len == 1 && port.at[0] == ':'))
        return PROBER_OK;
    if (port.at[0] != ':')
        return prober_fail(why, PROBER_ERR_SYNTAX, "nothing but a port may follow the host");
    for (size_t i = 1; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9')
            return prober_fail(why, PROBER_ERR_SYNTAX, "the port is not a number");
        value = value * 10 + (unsigned)(port.at[i] - '0');
        if (value > UINT16_MAX)
            break;
    }
    if (value == 0 || value > UINT16_MAX)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the port is not within 1..65535");
    out->port = (uint16_t)value;
    out->port_given = true;
    return PROBER_OK;
}

static enum prober_error read_literal(struct span host, struct http_url *out,
                                      struct prober_failure *why)
{
    struct prober_addr addr;
    size_t len = 0;

    for (size_t i = 0; i < host.len && len < sizeof(out->host) - 1; i++) {
        out->host[len++] = host.at[i];
        if (host.at[i] == '%' && escape_value(host, i) == '%') /* RFC 6874 writes a zone so */
            i += 2;
    }
    out->host[len] = 0;
    if (prober_addr_parse(out->host, &addr) || addr.family != PROBER_FAMILY_IPV6)
        return prober_fail(why, PROBER_ERR_SYNTAX, "no IPv6 address stands in the brackets");
    return PROBER_OK;
}

static enum prober_error read_name(struct span host, struct http_url *out,
                                   struct prober_failure *why)
{
    if (host.len == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the URL has no host");
    if (host.len >= sizeof(out->host))
        return prober_fail(why, PROBER_ERR_RANGE, "the host is too long");
    for (size_t i = 0; i < host.len; i++) {
        if ((unsigned char)host.at[i] >= 0x80)
            return prober_fail(why, PROBER_ERR_UNSUPPORTED,
                               "the host name is not ASCII; write it as xn--…");
        if (!strchr(LETTERS DIGITS "-._", host.at[i]))
            return prober_fail(why, PROBER_ERR_SYNTAX, "the host name has a bad character");
    }
    memcpy(out->host, host.at, host.len);
    out->host[host.len] = 0;
    return PROBER_OK;
}

static enum prober_error read_authority(struct span s, struct http_url *out,
                                        struct prober_failure *why)
{
    const char *at = memrchr(s.at, '@', s.len);
    enum prober_error err = PROBER_OK;
    struct span host;

    if (at) {
        struct span user = {s.at, (size_t)(at - s.at)};

        s = (struct span){at + 1, s.len - user.len - 1};
        err = read_user(user, out, why);
    }
    if (!err && starts_with(s, "[")) {
        s = (struct span){s.at + 1, s.len - 1};
        host = take_until(&s, "]");
        if (s.len == 0)
            return prober_fail(why, PROBER_ERR_SYNTAX, "a bracket is not closed");
        s = (struct span){s.at + 1, s.len - 1};
        err = read_literal(host, out, why);
    } else if (!err) {
        host = take_until(&s, ":");
        err = read_name(host, out, why);
    }
    return err ? err : read_port(s, out, why);
}

/* Bytes that would break the request line are %-encoded, as browsers and Go do; in a path also those
 * that no URI holds (RFC 3986, appendix A), which some servers refuse. */
static enum prober_error put_path(struct http_url *out, size_t *len, struct span s, bool is_query,
                                  struct prober_failure *why)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool safe = c > ' ' && c < 0x7f && (is_query || !strchr("\"<>\\^`{|}", c));

        if (c == '%' && !is_query && escape_value(s, i) < 0)
            return prober_fail(why, PROBER_ERR_SYNTAX, "the path has a bad escape");
        if (*len + 4 > sizeof(out->path))
            return prober_fail(why, PROBER_ERR_RANGE, "the path is too long");
        *len += (size_t)sprintf(out->path + *len, safe ? "%c" : "%%%02X", c);
    }
    return PROBER_OK;
}

static enum prober_error read_path(struct span path, struct span query, struct http_url *out,
                                   struct prober_failure *why)
{
    enum prober_error err;
    size_t len = 0;

    if (path.len == 0)
        path = span_of("/");
    err = put_path(out, &len, path, false, why);
    if (!err)
        err = put_path(out, &len, query, true, why);
    out->path[len] = 0;
    return err;
}

/* Reads what follows the scheme and "//". */
static enum prober_error read_hierarchy(struct span rest, struct http_url *out,
                                        struct prober_failure *why)
{
    struct span authority, path;
    enum prober_error err;

    rest = take_until(&rest, "#");
    authority = take_until(&rest, "/?");
    path = take_until(&rest, "?");
    err = read_authority(authority, out, why);
    return err ? err : read_path(path, rest, out, why);
}

/* The length of the scheme that the text begins with (RFC 3986, section 3.1); 0: it has none. */
static size_t scheme_length(struct span s)
{
    struct span head = take_until(&s, ":/?#");

    if (s.len == 0 || s.at[0] != ':' || head.len == 0 || !strchr(LETTERS, head.at[0]))
        return 0;
    for (size_t i = 1; i < head.len; i++)
        if (!strchr(LETTERS DIGITS "+-.", head.at[i]))
            return 0;
    return head.len;
}

static enum prober_error refuse_scheme(struct prober_failure *why)
{
    return prober_fail(why, PROBER_ERR_UNSUPPORTED, "the scheme is neither http nor https");
}

enum prober_error http_url_parse(const char *text, struct http_url *out, struct prober_failure *why)
{
    struct span rest = span_of(text);
    enum prober_error err = check_text(rest, why);
    size_t scheme, skip = 0;

    memset(out, 0, sizeof(*out));
    if (err)
        return err;
    scheme = scheme_length(rest);
    if (starts_with(rest, "https://"))
        skip = strlen("https://");
    else if (starts_with(rest, "http://"))
        skip = strlen("http://");
    else if (scheme > 0 && strncmp(text + scheme, "://", 3) == 0)
        return refuse_scheme(why);
    out->tls = skip == strlen("https://");
    return read_hierarchy((struct span){rest.at + skip, rest.len - skip}, out, why);
}

/* Removes the dot segments (RFC 3986, section 5.2.4) of the path[len] that begins with '/', in place.
 * Returns what is left of its length. */
static size_t remove_dots(char *path, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len;) {
        char *slash = memchr(path + i + 1, '/', len - i - 1);
        size_t next = slash ? (size_t)(slash - path) : len, size = next - i;
        bool one = size == 2 && path[i + 1] == '.';
        bool two = size == 3 && path[i + 1] == '.' && path[i + 2] == '.';

        if (two)
            while (out > 0 && path[--out] != '/')
                ;
        if (!one && !two) {
            memmove(path + out, path + i, size);
            out += size;
        } else if (next == len) {
            path[out++] = '/';
        }
        i = next;
    }
    return out;
}

/* Joins the reference's path to the base's, which ends before its query. */
static enum prober_error merge(const struct http_url *base, struct span path, struct span query,
                               struct http_url *out, struct prober_failure *why)
{
    char merged[2 * HTTP_URL_MAX];
    size_t keep = strcspn(base->path, "?");

    if (path.len > 0 && path.at[0] == '/')
        keep = 0;
    while (path.len > 0 && keep > 0 && base->path[keep - 1] != '/')
        keep--;
    if (path.len == 0 && query.len == 0)
        query = span_of(base->path + keep);
    memcpy(merged, base->path, keep);
    memcpy(merged + keep, path.at, path.len);
    return read_path((struct span){merged, remove_dots(merged, keep + path.len)}, query, out, why);
}

static enum prober_error resolve_absolute(struct span rest, bool tls, struct http_url *out,
                                          struct prober_failure *why)
{
    size_t len, query;
    enum prober_error err;

    out->tls = tls;
    err = read_hierarchy(rest, out, why);
    if (err)
        return err;
    query = strcspn(out->path, "?");
    len = remove_dots(out->path, query);
    memmove(out->path + len, out->path + query, strlen(out->path + query) + 1);
    return PROBER_OK;
}

enum prober_error http_url_resolve(const struct http_url *base, const char *location,
                                   struct http_url *out, struct prober_failure *why)
{
    struct span rest = span_of(location), path;
    enum prober_error err = check_text(rest, why);
    size_t scheme = err ? 0 : scheme_length(rest);
    bool tls = base->tls;

    memset(out, 0, sizeof(*out));
    if (err)
        return err;
    if (rest.len == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the location is empty");
    if (scheme > 0) {
        tls = starts_with(rest, "https:");
        if (!tls && !starts_with(rest, "http:"))
            return refuse_scheme(why);
        rest = (struct span){rest.at + scheme + 1, rest.len - scheme - 1};
    }
    if (starts_with(rest, "//"))
        return resolve_absolute((struct span){rest.at + 2, rest.len - 2}, tls, out, why);
    rest = take_until(&rest, "#");
    path = take_until(&rest, "?");
    if (scheme > 0 || memchr(path.at, ':', (size_t)(strcspn(path.at, "/?#"))))
        return prober_fail(why, PROBER_ERR_SYNTAX, "the location is no URL");
    *out = *base;
    return merge(base, path, rest, out, why);
}

char *http_url_authority(const struct http_url *url, char out[HTTP_AUTHORITY_MAX])
{
    bool literal = strchr(url->host, ':') != NULL;
    size_t len = (size_t)snprintf(out, HTTP_AUTHORITY_MAX, "%s%.*s%s", literal ? "[" : "",
                                  (int)strcspn(url->host, "%"), url->host, literal ? "]" : "");

    if (url->port_given)
        snprintf(out + len, HTTP_AUTHORITY_MAX - len, ":%u", url->port);
    return out;
}

void http_url_put(struct strbuf *out, const struct http_url *url)
{
    char authority[HTTP_AUTHORITY_MAX];

    strbuf_printf(out, "%s://%s%s", url->tls ? "https" : "http", http_url_authority(url, authority),
                  url->path);
}

bool http_url_host_is_within(const char *host, const char *origin)
{
    size_t len = strlen(host), parent = strlen(origin);
    struct prober_addr addr;

    if (strcasecmp(host, origin) == 0)
        return true;
    if (len <= parent || parent == 0 || prober_addr_parse(origin, &addr) == PROBER_OK)
        return false;
    return host[len - parent - 1] == '.' && strcasecmp(host + len - parent, origin) == 0;
}
