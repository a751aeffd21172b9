#include "libprober/http_proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/network.h"
#include "common/number.h"

/* One entry of no_proxy. */
struct rule {
    bool is_all, is_network, is_suffix_only;
    struct prober_network network;
    char domain[PROBER_HOST_MAX]; /* without a dot before it */
    uint16_t port;                /* 0: any */
};

struct http_proxies {
    struct http_proxy_server http, https; /* by the scheme of the target */
    bool has_http, has_https, is_cgi;
    bool has_rules; /* else every target is served */
    struct rule *rules;
    size_t count;
};

enum prober_error http_proxy_server_parse(const char *text, struct http_proxy_server *out,
                                          struct prober_failure *why)
{
    static const struct {
        const char *text;
        enum http_proxy_scheme scheme;
        uint16_t port;
    } schemes[] = {
        {"http://", HTTP_PROXY_HTTP, 80},
        {"https://", HTTP_PROXY_HTTPS, 443},
        {"socks5://", HTTP_PROXY_SOCKS5, 1080},
        {"socks5h://", HTTP_PROXY_SOCKS5, 1080},
    };
    char as_http[HTTP_URL_MAX + sizeof("http://")];
    struct http_url url;
    enum prober_error err;
    size_t i = 0;

    while (i < ARRAY_LEN(schemes) &&
           strncasecmp(text, schemes[i].text, strlen(schemes[i].text)) != 0)
        i++;
    if (i == ARRAY_LEN(schemes))
        return prober_fail(why, PROBER_ERR_UNSUPPORTED,
                           "is no URL of http, https, socks5 or socks5h");
    text += strlen(schemes[i].text);
    if (strlen(text) > HTTP_URL_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "is longer than %d bytes", HTTP_URL_MAX);
    snprintf(as_http, sizeof(as_http), "http://%s", text);
    err = http_url_parse(as_http, &url, why);
    if (err)
        return err;
    *out = (struct http_proxy_server){.scheme = schemes[i].scheme, .has_user = url.has_user};
    out->port = url.port_given ? url.port : schemes[i].port;
    memcpy(out->host, url.host, sizeof(out->host));
    memcpy(out->user, url.user, sizeof(out->user));
    memcpy(out->password, url.password, sizeof(out->password));
    return PROBER_OK;
}

/* ---- the targets that are not served ---- */

static bool read_port(const char *text, uint16_t *port)
{
    int64_t number;

    if (text[strspn(text, "0123456789")] || number_parse_i64(text, &number) || number < 1 ||
        number > 65535)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* Splits "host:port"; a text of no or several colons is a host alone. False for what is no port. */
static bool split(const char *entry, char host[PROBER_HOST_MAX], uint16_t *port)
{
    const char *colon = strrchr(entry, ':');
    bool bracketed = entry[0] == '[', has_port;
    size_t len;

    has_port = colon && (bracketed ? colon[-1] == ']' : strchr(entry, ':') == colon);
    *port = 0;
    if (has_port && colon[1] && !read_port(colon + 1, port))
        return false;
    len = has_port ? (size_t)(colon - entry) : strlen(entry);
    if (bracketed && len > 2 && entry[len - 1] == ']') {
        entry++;
        len -= 2;
    }
    if (len >= PROBER_HOST_MAX)
        return false;
    memcpy(host, entry, len);
    host[len] = 0;
    return true;
}

/* False for an entry that means nothing: it is ignored, as Go does. */
static bool read_rule(const char *entry, struct rule *out)
{
    char host[PROBER_HOST_MAX];
    const char *domain = host;

    *out = (struct rule){.is_all = strcmp(entry, "*") == 0};
    if (out->is_all)
        return true;
    out->is_network = strchr(entry, '/') && !prober_network_parse(entry, &out->network, NULL);
    if (out->is_network)
        return true;
    if (!split(entry, host, &out->port))
        return false;
    out->is_network = !strchr(host, '/') && !prober_network_parse(host, &out->network, NULL);
    if (out->is_network)
        return true;
    if (strncmp(domain, "*.", 2) == 0)
        domain++;
    out->is_suffix_only = *domain == '.';
    domain += out->is_suffix_only;
    snprintf(out->domain, sizeof(out->domain), "%.*s", PROBER_HOST_MAX - 1, domain);
    return *domain != 0;
}

static enum prober_error read_rules(struct http_proxies *p, const char *no_proxy)
{
    size_t room = 1;
    char *copy = strdup(no_proxy), *rest = copy, *entry;

    for (const char *c = no_proxy; *c; c++)
        room += *c == ',';
    p->rules = calloc(room, sizeof(*p->rules));
    p->has_rules = true;
    while (copy && p->rules && (entry = strsep(&rest, ","))) {
        size_t len;

        entry += strspn(entry, " \t\r\n");
        for (len = strlen(entry); len > 0 && strchr(" \t\r\n", entry[len - 1]); len--)
            entry[len - 1] = 0;
        p->count += read_rule(entry, &p->rules[p->count]);
    }
    free(copy);
    return copy && p->rules ? PROBER_OK : PROBER_ERR_NOMEM;
}

static bool domain_holds(const struct rule *r, const char *host)
{
    size_t host_len = strlen(host), len = strlen(r->domain);

    if (host_len < len || strcasecmp(host + host_len - len, r->domain) != 0)
        return false;
    return host_len == len ? !r->is_suffix_only : host[host_len - len - 1] == '.';
}

static bool rule_holds(const struct rule *r, const char *name, const struct prober_addr *address,
                       uint16_t port)
{
    if (r->is_all)
        return true;
    if (r->port && r->port != port)
        return false;
    if (r->is_network)
        return address && prober_network_holds(&r->network, address);
    return name && domain_holds(r, name);
}

static bool is_served(const struct http_proxies *p, const struct http_url *url,
                      const struct prober_addr *address)
{
    struct prober_addr literal;
    bool is_name = prober_addr_parse(url->host, &literal) != PROBER_OK;

    if (!is_name)
        address = &literal;
    if ((address && prober_addr_classify(address) == PROBER_ADDR_LOOPBACK) ||
        strcasecmp(url->host, "localhost") == 0)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (rule_holds(&p->rules[i], is_name ? url->host : NULL, address, url->port))
            return false;
    return true;
}

/* ---- where proxies come from ---- */

static const char *value_in(char *const *environment, const char *name)
{
    size_t len = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=' &&
            (*environment)[len + 1])
            return *environment + len + 1;
    return NULL;
}

static const char *either_in(char *const *environment, const char *upper, const char *lower)
{
    const char *value = value_in(environment, upper);

    return value ? value : value_in(environment, lower);
}

/* Without a scheme a proxy of the environment is one of http. */
static enum prober_error read_variable(const char *name, const char *value,
                                       struct http_proxy_server *out, bool *is_given,
                                       struct prober_failure *why)
{
    char with_scheme[HTTP_URL_MAX + sizeof("socks5h://")]; /* longer ones are refused */
    struct prober_failure own;
    enum prober_error err;

    if (!value)
        return PROBER_OK;
    snprintf(with_scheme, sizeof(with_scheme), "%s%s", strstr(value, "://") ? "" : "http://",
             value);
    err = http_proxy_server_parse(with_scheme, out, &own);
    *is_given = !err;
    return err ? prober_fail(why, err, "%s of the environment: %.400s", name, own.text) : err;
}

static enum prober_error read_environment(struct http_proxies *p, char *const *environment,
                                          struct prober_failure *why)
{
    const char *no_proxy = either_in(environment, "NO_PROXY", "no_proxy");
    enum prober_error err =
        read_variable("HTTP_PROXY", either_in(environment, "HTTP_PROXY", "http_proxy"), &p->http,
                      &p->has_http, why);

    if (!err)
        err = read_variable("HTTPS_PROXY", either_in(environment, "HTTPS_PROXY", "https_proxy"),
                            &p->https, &p->has_https, why);
    if (!err)
        err = read_rules(p, no_proxy ? no_proxy : "");
    p->is_cgi = value_in(environment, "REQUEST_METHOD") != NULL;
    return err;
}

static enum prober_error read_url(struct http_proxies *p, const struct http_proxy *proxy,
                                  struct prober_failure *why)
{
    struct prober_failure own;
    enum prober_error err = http_proxy_server_parse(proxy->url, &p->http, &own);

    if (err)
        return prober_fail(why, err, "proxy_url: %.400s", own.text);
    p->https = p->http;
    p->has_http = p->has_https = true;
    return proxy->no_proxy && *proxy->no_proxy ? read_rules(p, proxy->no_proxy) : PROBER_OK;
}

enum prober_error http_proxies_create(struct http_proxies **out, const struct http_proxy *proxy,
                                      char *const *environment, struct prober_failure *why)
{
    struct http_proxies *p;
    enum prober_error err;

    *out = NULL;
    if (!proxy->url && !proxy->from_environment)
        return PROBER_OK;
    p = calloc(1, sizeof(*p));
    if (!p)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    err = proxy->url ? read_url(p, proxy, why) : read_environment(p, environment, why);
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory");
    if (!err && (p->has_http || p->has_https)) {
        *out = p;
        p = NULL;
    }
    http_proxies_destroy(p);
    return err;
}

enum http_proxy_choice http_proxies_choose(const struct http_proxies *proxies,
                                           const struct http_url *url,
                                           const struct prober_addr *address,
                                           const struct http_proxy_server **out)
{
    if (!proxies || !(url->tls ? proxies->has_https : proxies->has_http))
        return HTTP_PROXY_NONE;
    if (proxies->is_cgi && !url->tls)
        return HTTP_PROXY_REFUSED;
    if (proxies->has_rules && !is_served(proxies, url, address))
        return HTTP_PROXY_NONE;
    *out = url->tls ? &proxies->https : &proxies->http;
    return HTTP_PROXY_USED;
}

void http_proxies_destroy(struct http_proxies *p)
{
    if (!p)
        return;
    free(p->rules);
    free(p);
}
