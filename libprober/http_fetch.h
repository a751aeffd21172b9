/*
 * http_fetch - small HTTP requests, several at once, bounded (with http_*, the adapter of libcurl).
 *
 * Purpose    Cloud metadata, own-address look-ups, lists of targets, and the command-line client's
 *            calls of the admin API. Not for probing. No proxy from the environment, no redirects (a
 *            3xx is an answer), http and https alone; certificates are verified, with the system's
 *            bundle unless told otherwise.
 * Threads    Each call runs to its end in the calling thread; calls in several threads are fine. A
 *            fetcher belongs to one thread.
 * Ownership  Requests and answers are the caller's.
 */
#ifndef LIBPROBER_HTTP_FETCH_H
#define LIBPROBER_HTTP_FETCH_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "libprober/http_spec.h"

/* Other than the defaults of TLS. Texts are PEM; NULL: none. */
struct http_fetch_tls {
    const char *ca; /* instead of the system's bundle */
    const char *cert, *key;
    bool insecure_skip_verify;
    enum http_tls_version min_version, max_version; /* HTTP_TLS_DEFAULT: 1.2, and the highest */
};

struct http_request {
    const char *url;
    const char *method;         /* NULL: GET, or POST when there is a body */
    const char *const *headers; /* "Name: value", NULL at the end; NULL: none */
    const char *body;           /* NULL: none */
    size_t body_len;
    size_t answer_max;                /* bytes of the body; 0: 64 KiB; more is PROBER_ERR_RANGE */
    const char *username, *password;  /* for basic authentication; NULL, both: none */
    const char *proxy;                /* its URL, with credentials or without; NULL: none */
    const struct http_fetch_tls *tls; /* NULL: the defaults */
    bool only_http1;
};

#define HTTP_ANSWER_TYPE_MAX 128

struct http_answer {
    enum prober_error err; /* PROBER_OK when an answer arrived, whatever its status */
    int status;            /* 0 when there was none */
    char *body;            /* malloc'd, NUL-terminated; "" when empty, NULL without an answer */
    size_t body_len;
    char content_type[HTTP_ANSWER_TYPE_MAX]; /* as the answer says, cut to fit; "": it does not */
    struct prober_failure why;
};

/* Makes all requests at once and waits until all have ended or timeout_ns is over (the rest then
 * have PROBER_ERR_TIMEOUT). answers[count] is filled. */
void http_fetch(const struct http_request *requests, struct http_answer *answers, size_t count,
                uint64_t timeout_ns);
/* Frees the bodies of answers[count]. */
void http_answers_free(struct http_answer *answers, size_t count);

/* Requests over time, for a thread that also waits for other things. */
struct http_fetcher;

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error http_fetcher_create(struct http_fetcher **out);
/* Starts a request. It and the answer are borrowed until http_fetcher_take gives the answer back,
 * which is at the latest when timeout_ns is over, or until the fetcher is destroyed.
 * Errors: PROBER_ERR_NOMEM; the answer says it too, and is not given back. */
enum prober_error http_fetcher_start(struct http_fetcher *f, const struct http_request *request,
                                     struct http_answer *answer, uint64_t timeout_ns);
/* Works on the requests until one has ended, one of fds[count] is ready (POLLIN alone is waited for;
 * revents tells), or timeout_ns is over. */
void http_fetcher_wait(struct http_fetcher *f, struct pollfd *fds, size_t count,
                       uint64_t timeout_ns);
/* An answer that is complete, each once; NULL: none is. */
struct http_answer *http_fetcher_take(struct http_fetcher *f);
/* Drops what runs: its answers have no body then. NULL is fine. */
void http_fetcher_destroy(struct http_fetcher *f);

#endif
