/*
 * http_proxy - which proxy a request goes through.
 *
 * Purpose    proxy_url serves every target; with no_proxy, or from the environment, Go's rules say
 *            which targets it does not: localhost and loopback addresses never; "*"; networks
 *            (10.0.0.0/8); addresses; names, with what is below them ("a.test"), or only that
 *            (".a.test", "*.a.test"); addresses and names with a port ("a.test:8080"). HTTP_PROXY,
 *            HTTPS_PROXY and NO_PROXY go before their lower-case forms; HTTP_PROXY is refused where
 *            REQUEST_METHOD is set, as a client of a CGI script could have set it.
 * Threads    Made by one thread, then read by many.
 * Ownership  Owns all; the spec and the environment are copied.
 */
#ifndef LIBPROBER_HTTP_PROXY_H
#define LIBPROBER_HTTP_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "libprober/http_spec.h"
#include "libprober/http_url.h"

enum http_proxy_scheme { HTTP_PROXY_HTTP, HTTP_PROXY_HTTPS, HTTP_PROXY_SOCKS5 };

struct http_proxy_server {
    enum http_proxy_scheme scheme;
    uint16_t port;
    char host[PROBER_HOST_MAX]; /* a name or a literal address, no brackets */
    bool has_user;
    char user[HTTP_USER_MAX + 1], password[HTTP_USER_MAX + 1];
};

/* Reads "http://", "https://", "socks5://" or "socks5h://", which are the same, with user
 * information and port (80, 443, 1080). Messages quote no secret. Errors: as http_url_parse. */
enum prober_error http_proxy_server_parse(const char *text, struct http_proxy_server *out,
                                          struct prober_failure *why);

struct http_proxies;

/* environment: "NAME=value", NULL at the end, or NULL. Without a proxy *out is NULL.
 * Errors: PROBER_ERR_SYNTAX, _UNSUPPORTED, _RANGE for what is no proxy; PROBER_ERR_NOMEM. */
enum prober_error http_proxies_create(struct http_proxies **out, const struct http_proxy *proxy,
                                      char *const *environment, struct prober_failure *why);

enum http_proxy_choice {
    HTTP_PROXY_NONE,
    HTTP_PROXY_USED,
    HTTP_PROXY_REFUSED /* one of a CGI environment */
};

/* Chooses for `url`, whose host has `address` (NULL: not known): a name is judged as such, and by
 * its address. proxies: NULL is fine. *out is set with HTTP_PROXY_USED alone; it lives as long as
 * `proxies`. */
enum http_proxy_choice http_proxies_choose(const struct http_proxies *proxies,
                                           const struct http_url *url,
                                           const struct prober_addr *address,
                                           const struct http_proxy_server **out);
/* NULL is fine. */
void http_proxies_destroy(struct http_proxies *proxies);

#endif
