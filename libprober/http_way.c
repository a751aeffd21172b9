#include "libprober/http_way.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/strbuf.h"
#include "common/version.h"
#include "libprober/http_transfer.h"

#define AUTHORITY_MAX (PROBER_HOST_MAX + 16)

static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);

    if (more)
        *list = more;
    return more != NULL;
}

/* "host:port", with brackets where they are needed. */
static void put_authority(char out[AUTHORITY_MAX], const char *host, uint16_t port)
{
    bool is_literal = strchr(host, ':') != NULL;

    snprintf(out, AUTHORITY_MAX, "%s%s%s:%u", is_literal ? "[" : "", host, is_literal ? "]" : "",
             port);
}

/* The URL names whom TLS expects, and has the path, which cookies go by; where to connect, and what to
 * say, is told apart from it. */
static bool set_url(CURL *easy, const struct http_hop *hop)
{
    struct strbuf url = STRBUF_INIT;
    char authority[AUTHORITY_MAX];
    bool ok;

    put_authority(authority, hop->tls_name, hop->url->port);
    strbuf_printf(&url, "%s://%s%s", hop->url->tls ? "https" : "http", authority, hop->url->path);
    ok = strbuf_ok(&url) && curl_easy_setopt(easy, CURLOPT_URL, url.bytes) == CURLE_OK;
    strbuf_free(&url);
    return ok && curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, hop->url->path) == CURLE_OK;
}

static bool set_server(struct http_way *w, CURL *easy, const struct http_hop *hop)
{
    char authority[AUTHORITY_MAX], to[AUTHORITY_MAX + 4], address[PROBER_ADDR_TEXT_MAX];

    if (!set_url(easy, hop))
        return false;
    put_authority(authority,
                  hop->address.family == PROBER_FAMILY_NONE
                      ? hop->url->host
                      : prober_addr_format(&hop->address, address),
                  hop->url->port);
    snprintf(to, sizeof(to), "::%s", authority);
    if (!add(&w->connect_to, to))
        return false;
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, w->connect_to);
    return true;
}

/* A proxy of HTTP is asked for the whole URL, which names the Host as it stands in the header. */
static bool set_whole_url(CURL *easy, const struct http_hop *hop)
{
    struct strbuf target = STRBUF_INIT;
    bool ok;

    strbuf_printf(&target, "http://%s%s", hop->host, hop->url->path);
    ok = strbuf_ok(&target) &&
         curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, target.bytes) == CURLE_OK;
    strbuf_free(&target);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL); /* it would make a tunnel of it */
    return ok;
}

/* A proxy of HTTPS goes by its name, for SNI: its address is told in a cache that no other transfer
 * sees. */
static bool set_name_of_proxy(struct http_way *w, CURL *easy, const char *authority,
                              const char *address)
{
    char entry[AUTHORITY_MAX + PROBER_ADDR_TEXT_MAX];

    snprintf(entry, sizeof(entry), "%s:%s", authority, address);
    if (!w->share)
        w->share = curl_share_init();
    if (!w->share || !add(&w->addresses, entry))
        return false;
    curl_share_setopt((CURLSH *)w->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_easy_setopt(easy, CURLOPT_SHARE, (CURLSH *)w->share);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, w->addresses);
    return true;
}

static bool add_connect_lines(struct http_way *w, const struct http_headers *headers)
{
    bool has_agent = false, ok = true;

    for (size_t i = 0; i < headers->count && ok; i++) {
        const struct http_header *h = &headers->items[i];
        struct strbuf line = STRBUF_INIT;

        has_agent = has_agent || strcasecmp(h->name, "User-Agent") == 0;
        strbuf_puts(&line, h->name);
        strbuf_puts(&line, *h->value ? ": " : ";"); /* libcurl's way to say that it is empty */
        strbuf_puts(&line, h->value);
        ok = strbuf_ok(&line) && add(&w->lines, line.bytes);
        strbuf_free(&line);
    }
    return ok && (has_agent || add(&w->lines, "User-Agent: probermesh/" PROBER_VERSION));
}

static bool set_proxy(struct http_way *w, CURL *easy, const struct http_hop *hop,
                      const struct http_spec *spec)
{
    static const long types[] = {CURLPROXY_HTTP, CURLPROXY_HTTPS, CURLPROXY_SOCKS5_HOSTNAME};
    const struct http_proxy_server *p = hop->proxy;
    char authority[AUTHORITY_MAX], address[PROBER_ADDR_TEXT_MAX];
    bool is_https = p->scheme == HTTP_PROXY_HTTPS;

    curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); /* the environment's neither */
    curl_easy_setopt(easy, CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L); /* http_tls does both */
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
    prober_addr_format(&hop->proxy_address, address);
    put_authority(authority, is_https ? p->host : address, p->port);
    if (is_https && !set_name_of_proxy(w, easy, authority, address))
        return false;
    curl_easy_setopt(easy, CURLOPT_PROXY, authority);
    curl_easy_setopt(easy, CURLOPT_PROXYTYPE, types[p->scheme]);
    if (p->has_user) {
        curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, p->user);
        curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, p->password);
    }
    if (p->scheme == HTTP_PROXY_SOCKS5)
        return true;
    if (!add(&w->lines, "Proxy-Connection:")) /* none of libcurl's own */
        return false;
    if (hop->url->tls ? !add_connect_lines(w, &spec->proxy.connect_headers)
                      : !set_whole_url(easy, hop))
        return false;
    curl_easy_setopt(easy, CURLOPT_PROXYHEADER, w->lines);
    return true;
}

bool http_way_set(struct http_way *w, void *easy, const struct http_hop *hop,
                  const struct http_spec *spec, const struct http_tls_session *like)
{
    w->proxy = hop->proxy;
    w->is_tls = hop->url->tls;
    if (!set_server(w, easy, hop))
        return false;
    if (!hop->proxy)
        return true;
    w->proxy_tls = (struct http_tls_session){.trust = like->trust,
                                             .trace = like->trace,
                                             .is_proxy = true,
                                             .name = hop->proxy->host,
                                             .is_unverified = like->is_unverified,
                                             .allows_old = like->allows_old};
    return set_proxy(w, easy, hop, spec);
}

void http_way_clear(struct http_way *w, void *easy)
{
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(w->connect_to);
    w->connect_to = NULL;
    if (!w->proxy)
        return;
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXYHEADER, NULL);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, NULL);
    curl_easy_setopt(easy, CURLOPT_SHARE, NULL);
    curl_slist_free_all(w->addresses);
    curl_slist_free_all(w->lines);
    w->addresses = w->lines = NULL;
    w->proxy = NULL;
}

struct http_tls_session *http_way_session(struct http_way *w, struct http_tls_session *server)
{
    return w->proxy && w->proxy->scheme == HTTP_PROXY_HTTPS && w->proxy_tls.started_ns == 0
               ? &w->proxy_tls
               : server;
}

bool http_way_is_open(const struct http_way *w, void *easy, const struct http_tls_session *server)
{
    curl_off_t us = 0;

    if (w->is_tls)
        return server->started_ns > 0;
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &us);
    return us > 0;
}

void http_way_free(struct http_way *w, void *easy)
{
    http_way_clear(w, easy);
    curl_share_cleanup(w->share);
    w->share = NULL;
}
