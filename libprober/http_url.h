/*
 * http_url - where an HTTP probe goes: its target, and what a Location makes of it.
 *
 * Purpose    Reads what people and servers write as blackbox_exporter does: http:// when there is no
 *            scheme, user information, IPv6 literals, and a path and query that are sent as they
 *            stand. What cannot be probed is refused with a sentence that quotes no secret.
 * Threads    Pure functions; any thread.
 * Ownership  None: a URL is a value.
 */
#ifndef LIBPROBER_HTTP_URL_H
#define LIBPROBER_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/strbuf.h"

#define HTTP_URL_MAX 4096 /* bytes of a target or a Location, and of the path as sent */
#define HTTP_USER_MAX 255 /* bytes of a user name, and of a password */

struct http_url {
    bool tls;                         /* https */
    bool has_user;                    /* there is user information, perhaps an empty one */
    bool port_given;                  /* else `port` is the scheme's: 80 or 443 */
    uint16_t port;                    /* 1..65535 */
    char host[PROBER_HOST_MAX];       /* a name or a literal address as written, no brackets */
    char user[HTTP_USER_MAX + 1];     /* decoded */
    char password[HTTP_USER_MAX + 1]; /* decoded */
    char path[HTTP_URL_MAX + 1];      /* "/" and on, with the query: what the request line says */
};

/* Reads a target: "http://…" and "https://…" in any case, or neither: "host", "host:port/path".
 * The fragment is dropped, dot segments and %-escapes stay; a blank or a byte that is not ASCII in
 * path or query is %-encoded, and in the path what no URI holds ("<>\^`{|}). Errors: PROBER_ERR_UNSUPPORTED (another scheme; a host name that is
 * not ASCII), _RANGE (too long), _SYNTAX; *out is then undefined. */
enum prober_error http_url_parse(const char *text, struct http_url *out,
                                 struct prober_failure *why);
/* Reads the reference `location` (RFC 3986, section 5.2), which `base` redirects to; dot segments are
 * removed, user information stays on the same authority alone. *out is not *base. Errors: as above;
 * an empty reference is PROBER_ERR_SYNTAX. */
enum prober_error http_url_resolve(const struct http_url *base, const char *location,
                                   struct http_url *out, struct prober_failure *why);
/* What the Host header says: "host", "host:port" when the port was given, "[v6]:port"; no zone. */
#define HTTP_AUTHORITY_MAX (PROBER_HOST_MAX + 8)
char *http_url_authority(const struct http_url *url, char out[HTTP_AUTHORITY_MAX]);
/* Appends the URL without user information: fit for people. */
void http_url_put(struct strbuf *out, const struct http_url *url);
/* True when `host` is `origin` or a subdomain of it, in any case: credentials may go there. */
bool http_url_host_is_within(const char *host, const char *origin);

#endif
