/*
 * http_judge - is the answer to an HTTP probe a success, and if not, why not.
 *
 * Purpose    The checks of a struct http_spec, compiled once and applied in blackbox_exporter's order:
 *            status, headers, body, the rest of the body, HTTP version, TLS. The reasons of failure,
 *            of the whole probe, are a closed list: metrics show them.
 * Threads    A judge may be used by many threads at once.
 * Ownership  A judge borrows the spec.
 */
#ifndef LIBPROBER_HTTP_JUDGE_H
#define LIBPROBER_HTTP_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "libprober/http_spec.h"

#define HTTP_REASONS(X)                                                                            \
    X(BAD_URL, "bad_url")                       /* the target is no URL */                         \
    X(UNSUPPORTED_SCHEME, "unsupported_scheme") /* or a host name that is not ASCII */             \
    X(DNS_NXDOMAIN, "dns_nxdomain")                                                                \
    X(DNS_NO_ADDRESS, "dns_no_address") /* none of a wanted family */                              \
    X(DNS_TIMEOUT, "dns_timeout")                                                                  \
    X(DNS_ERROR, "dns_error")                                                                      \
    X(CONNECT_REFUSED, "connect_refused")                                                          \
    X(CONNECT_TIMEOUT, "connect_timeout")                                                          \
    X(CONNECT_UNREACHABLE, "connect_unreachable")                                                  \
    X(TLS_VERIFY_EXPIRED, "tls_verify_expired") /* or not yet valid */                             \
    X(TLS_VERIFY_HOSTNAME, "tls_verify_hostname")                                                  \
    X(TLS_VERIFY_UNTRUSTED, "tls_verify_untrusted")                                                \
    X(TLS_HANDSHAKE, "tls_handshake")                                                              \
    X(NO_RESPONSE, "no_response")   /* closed or reset before an answer */                         \
    X(BAD_RESPONSE, "bad_response") /* what came is not HTTP */                                    \
    X(BAD_REDIRECT, "bad_redirect") /* to what is no URL of http or https */                       \
    X(TOO_MANY_REDIRECTS, "too_many_redirects")                                                    \
    X(STATUS_CODE, "status_code")                                                                  \
    X(HEADER_REGEXP, "header_regexp")                                                              \
    X(BODY_REGEXP, "body_regexp")                                                                  \
    X(BODY_TOO_LARGE, "body_too_large")                                                            \
    X(BODY_ENCODING, "body_encoding") /* not what `compression` says */                            \
    X(TRUNCATED, "truncated")         /* the body ended early */                                   \
    X(HTTP_VERSION, "http_version")                                                                \
    X(SSL, "ssl")           /* fail_if_ssl */                                                      \
    X(NOT_SSL, "not_ssl")   /* fail_if_not_ssl */                                                  \
    X(TIMEOUT, "timeout")   /* after the connection was there */                                   \
    X(LOCAL, "local_error") /* memory, descriptors, files, not permitted: nothing was measured */  \
    X(PROXY, "proxy")       /* no way through it */                                                \
    X(OAUTH2, "oauth2")     /* no token */

#define HTTP_REASON_NAME(name, text) HTTP_FAILED_##name,
enum http_reason { HTTP_SUCCEEDED, HTTP_REASONS(HTTP_REASON_NAME) HTTP_REASON_COUNT };
#undef HTTP_REASON_NAME

/* The text of a reason of failure, fit for a metric label; NULL for HTTP_SUCCEEDED. */
const char *http_reason_text(enum http_reason reason);

/* Header lines as received. */
struct http_fields {
    struct strbuf text; /* name, NUL, value, NUL, and so on */
};

void http_fields_add(struct http_fields *f, const char *name, size_t name_len, const char *value,
                     size_t value_len);
/* Appends a blank and more to the value that was added last, if there is one. */
void http_fields_extend(struct http_fields *f, const char *more, size_t len);
/* The next value of `name`, in any case, after `last` (NULL: the first); NULL: there is no more. */
const char *http_fields_next(const struct http_fields *f, const char *name, const char *last);

/* The final answer. */
struct http_reply {
    int status;
    const char *version; /* "HTTP/1.1", "HTTP/2.0" */
    bool tls;
    const struct http_fields *fields;
    const char *body; /* [body_len], decoded: what came of it */
    size_t body_len;
    enum http_reason body_fault; /* what kept the body from being read whole */
    bool is_unread_redirect;     /* its body was not read: no regexp can hold for it */
    bool is_beyond_redirects;    /* one redirect more than are followed */
};

/* What of the spec an answer failed. */
struct http_check {
    const char
        *key;     /* as written in the spec, a constant; NULL: none, it is not the spec's doing */
    size_t index; /* in the key's list of regexps */
    const char *regexp; /* the spec's; NULL: the key has none */
    const char *header; /* likewise */
    bool is_missing;    /* the header is */
};

struct http_judge;

/* Errors: PROBER_ERR_NOMEM, or what regex_create says, with *out untouched. */
enum prober_error http_judge_create(struct http_judge **out, const struct http_spec *spec,
                                    struct prober_failure *why);
/* True when the body is searched, and has to be kept for it. */
bool http_judge_wants_body(const struct http_judge *j);
/* check: NULL, or filled when the reply fails. */
enum http_reason http_judge_reply(const struct http_judge *j, const struct http_reply *reply,
                                  struct http_check *check);
/* NULL is fine. */
void http_judge_destroy(struct http_judge *j);

#endif
