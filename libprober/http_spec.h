/*
 * http_spec - how a URL is probed and what its answer must be: the `http` block of the probe file.
 *
 * Purpose    Keys, types, defaults and meanings are those of blackbox_exporter's http module. The
 *            client's keys stand directly in the block, or all of them under http_client_config.
 *            What could never make a probe succeed (a regexp that does not compile, two kinds of
 *            credentials, a method with a blank) is a fault at load. Keys of CEL and of HTTP/3 are
 *            refused as not supported.
 * Threads    Made by one thread, then read by many; nothing changes after it was made.
 * Ownership  A spec owns all its texts, lists and parts: they are valid until http_spec_destroy.
 *
 * Secrets    Texts in a struct http_secret, values of an http_header whose source is
 *            HTTP_VALUE_SECRET, and userinfo in proxy_url are never to be logged or shown: only
 *            http_spec_put writes them, and only when told to. Messages about faults never quote
 *            them.
 *
 * Texts hold no NUL. A text that is not given is NULL where this header says so, else never NULL.
 * Paths are as written; whoever probes opens them, at the time of the probe, beneath the directory
 * that it allows.
 */
#ifndef LIBPROBER_HTTP_SPEC_H
#define LIBPROBER_HTTP_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/problems.h"
#include "common/strbuf.h"
#include "common/yaml.h"

#define HTTP_SPEC_SECRET_MASK "<secret>" /* what http_spec_put writes in place of a secret */

struct http_texts {
    const char **items; /* [count] */
    size_t count;
};

struct http_codes {
    int32_t *items; /* [count], any numbers */
    size_t count;
};

enum http_value_source {
    HTTP_VALUE_TEXT,
    HTTP_VALUE_SECRET, /* a text, not to be shown */
    HTTP_VALUE_FILE    /* the path of a file that holds the value; blanks at both ends are cut */
};

/* One header line. `name` is a token (RFC 9110, 5.6.2), as written; `value` has no CR, LF or NUL
 * and may be "". The texts of those called Authorization, Proxy-Authorization or Cookie are
 * HTTP_VALUE_SECRET. */
struct http_header {
    const char *name;
    const char *value;
    enum http_value_source source;
};

struct http_headers {
    struct http_header *items; /* [count] */
    size_t count;
};

/* A secret given as a text, or as a file whose content, cut at both ends, is the secret. At most
 * one is not NULL; when both are NULL, the secret is "". */
struct http_secret {
    const char *text;
    const char *file;
};

/* A header of the answer: with fail_if_header_matches the probe fails if any value of `header`
 * matches `regexp`, with fail_if_header_not_matches if none does; with either, if there is no such
 * header, unless allow_missing. Names are compared without regard to case. */
struct http_header_match {
    const char *header; /* not "" */
    const char *regexp; /* not "", compiles */
    bool allow_missing;
};

struct http_header_matches {
    struct http_header_match *items; /* [count] */
    size_t count;
};

enum http_compression {
    HTTP_COMPRESSION_NONE, /* not given: the body is taken as it comes */
    HTTP_COMPRESSION_IDENTITY,
    HTTP_COMPRESSION_GZIP,
    HTTP_COMPRESSION_DEFLATE, /* raw (RFC 1951), no zlib header */
    HTTP_COMPRESSION_BR
};

enum http_tls_version {
    HTTP_TLS_DEFAULT, /* not given: 1.2 as the least, 1.3 as the highest */
    HTTP_TLS_1_0,
    HTTP_TLS_1_1,
    HTTP_TLS_1_2,
    HTTP_TLS_1_3
};

/* tls_config. The system's roots hold when no ca is given. A certificate and its key are both
 * given or both not. */
struct http_tls {
    const char *ca, *ca_file;     /* PEM or path; at most one is not NULL */
    const char *cert, *cert_file; /* as above */
    struct http_secret key;
    const char *server_name; /* SNI and name check for the first host and port; NULL: none */
    bool insecure_skip_verify;
    enum http_tls_version min_version, max_version; /* min <= max where both are given */
};

/* How to reach a server through a proxy. */
struct http_proxy {
    const char *url; /* http, https, socks5 or socks5h, with a host; userinfo is a secret;
                              NULL: no proxy */
    bool
        from_environment; /* only without url: HTTP_PROXY, HTTPS_PROXY, NO_PROXY as Go reads them */
    const char *no_proxy; /* only with url; NULL: the proxy serves every target, loopback too */
    struct http_headers
        connect_headers; /* of CONNECT alone; HTTP_VALUE_SECRET; only with a proxy */
};

struct http_basic_auth {
    const char *username, *username_file; /* at most one is not NULL; both NULL: "" */
    struct http_secret password;
};

/* The header "Authorization: type credentials"; bearer_token and bearer_token_file end here too. */
struct http_authorization {
    const char *type; /* Bearer by default; never basic */
    struct http_secret credentials;
};

/* Client credentials (RFC 6749, 4.4). */
struct http_oauth2 {
    const char *client_id; /* not "" */
    struct http_secret client_secret;
    struct http_texts scopes;
    const char *token_url;               /* http or https, with a host */
    struct http_headers endpoint_params; /* names and values of the form; HTTP_VALUE_SECRET */
    struct http_tls tls;                 /* for token_url */
    struct http_proxy proxy;             /* for token_url */
};

struct http_spec {
    /* the request */
    const char *method;          /* a token; "GET" */
    struct http_headers headers; /* each replaces what would be sent; names differ, without regard
                                    to case. "Host" is the request's host and, without
                                    tls.server_name, the name for TLS */
    struct http_headers http_headers; /* lines added, in this order; one name may have several */
    const char *body;                 /* [body_len], may hold NUL; NULL: none. With any method */
    size_t body_len;
    const char *body_file; /* NULL: none; only without body */

    /* the way there */
    enum prober_family preferred_family; /* preferred_ip_protocol: ip6 by default */
    bool ip_protocol_fallback;           /* true: the other family will do */
    bool skip_resolve_phase_with_proxy;  /* false; with a proxy: no lookup here */
    bool follow_redirects;               /* true; no_follow_redirects, where given, decides */
    bool enable_http2;                   /* true: offered by ALPN over TLS */
    struct http_tls tls;
    struct http_proxy proxy;

    /* credentials: at most one of the three is not NULL */
    struct http_basic_auth *basic_auth;
    struct http_authorization *authorization;
    struct http_oauth2 *oauth2;

    /* what the answer must be */
    struct http_codes valid_status_codes; /* none: any 2xx */
    struct http_texts
        valid_http_versions;           /* "HTTP/1.1", "HTTP/2.0", compared as texts; none: any */
    bool fail_if_ssl, fail_if_not_ssl; /* judged on the last answer */
    struct http_texts fail_if_body_matches_regexp;     /* regexps, see common/regex.h */
    struct http_texts fail_if_body_not_matches_regexp; /* regexps */
    struct http_header_matches fail_if_header_matches;
    struct http_header_matches fail_if_header_not_matches;
    enum http_compression compression;
    uint64_t body_size_limit; /* bytes after decompression; 0: none */

    struct arena *memory; /* of all parts; private */
};

/* Makes the spec of an entry without an http block: all defaults. Errors: PROBER_ERR_NOMEM. */
enum prober_error http_spec_create(struct http_spec **out);

/* Reads `node`, an http block of `doc`. `key` is where the block stands, for messages
 * ("prober_configs[2].http"). Every fault is added to `problems` with its place.
 * Errors: PROBER_ERR_SYNTAX, with at least one problem; PROBER_ERR_NOMEM. *out is untouched then. */
enum prober_error http_spec_read(struct http_spec **out, const struct yaml_document *doc,
                                 const struct yaml_node *node, const char *key,
                                 struct problems *problems);

/* Reads the client's keys of `node`, a mapping of `doc`: those that may stand under
 * http_client_config. others[], NULL at the end, are keys that the caller reads. The spec has
 * defaults for all else. Errors: as http_spec_read. */
enum prober_error http_spec_read_client(struct http_spec **out, const struct yaml_document *doc,
                                        const struct yaml_node *node, const char *key,
                                        const char *const *others, struct problems *problems);

/* Reads text[len], a document that is an http block and nothing else, as http_spec_put writes it. */
enum prober_error http_spec_read_text(struct http_spec **out, const char *name, const char *text,
                                      size_t len, struct problems *problems);

/* Appends the spec as one line of JSON (which is YAML too): the keys that differ from the defaults.
 * Without `with_secrets` each secret reads HTTP_SPEC_SECRET_MASK; with them, http_spec_read_text
 * makes an equal spec of it. */
void http_spec_put(struct strbuf *out, const struct http_spec *spec, bool with_secrets);

/* Appends the spec for people: every key that has a value, defaults too, each on a line of its own
 * after `indent` blanks, as JSON. Secrets are masked. */
void http_spec_put_whole(struct strbuf *out, const struct http_spec *spec, int indent);

/* True when the spec must not pass where others can read or forge it: it holds credentials, an
 * Authorization, Proxy-Authorization or Cookie header, secret header values, a private key,
 * userinfo in the URL of a proxy, headers for a proxy, or the name of a file. */
bool http_spec_is_confidential(const struct http_spec *spec);

/* NULL is fine. */
void http_spec_destroy(struct http_spec *spec);

#endif
