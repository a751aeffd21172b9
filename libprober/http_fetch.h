/*
 * http_fetch - small HTTP requests, several at once, bounded (with http_*, the adapter of libcurl).
 *
 * Purpose    Cloud metadata, own-address look-ups, and the command-line client's calls of the admin
 *            API. Not for probing. No proxy from the environment, no redirects (a 3xx is an answer),
 *            http and https alone, certificates verified with the system's bundle.
 * Threads    Each call runs to its end in the calling thread; calls in several threads are fine.
 */
#ifndef LIBPROBER_HTTP_FETCH_H
#define LIBPROBER_HTTP_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct http_request {
    const char *url;
    const char *method;         /* NULL: GET, or POST when there is a body */
    const char *const *headers; /* "Name: value", NULL at the end; NULL: none */
    const char *body;           /* NULL: none */
    size_t body_len;
    size_t answer_max;          /* bytes of the body; 0: 64 KiB; more is PROBER_ERR_RANGE */
};

struct http_answer {
    enum prober_error err; /* PROBER_OK when an answer arrived, whatever its status */
    int status;            /* 0 when there was none */
    char *body;            /* malloc'd, NUL-terminated; "" when empty, NULL without an answer */
    size_t body_len;
    struct prober_failure why;
};

/* Makes all requests at once and waits until all have ended or timeout_ns is over (the rest then
 * have PROBER_ERR_TIMEOUT). answers[count] is filled. */
void http_fetch(const struct http_request *requests, struct http_answer *answers, size_t count,
                uint64_t timeout_ns);
/* Frees the bodies of answers[count]. */
void http_answers_free(struct http_answer *answers, size_t count);

#endif
