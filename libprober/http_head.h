/*
 * http_head - the head of an answer, line by line.
 *
 * Purpose    Reads status, version and header lines as they come, interim answers (1xx) skipped, and
 *            refuses what leaves open where the answer ends. Bounded.
 * Threads    None of its own; whoever owns the head.
 * Ownership  A head owns its fields.
 */
#ifndef LIBPROBER_HTTP_HEAD_H
#define LIBPROBER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libprober/http_judge.h"

#define HTTP_HEAD_MAX                                                                              \
    (256 << 10) /* bytes, interim heads and trailers too; more is a bad response */

struct http_head {
    size_t bytes; /* so far */
    bool is_begun, is_whole;
    bool is_plain;          /* set by whom it belongs to: HTTP/2 cannot have been agreed on */
    enum http_reason fault; /* HTTP_SUCCEEDED, or why it is no head */
    int status;             /* 100..999; 0: none yet */
    bool is_of_length;      /* the last field says how long the answer is */
    char version[16];       /* "HTTP/1.1", "HTTP/2.0" */
    int64_t content_length; /* -1: none given */
    struct http_fields fields;
};

#define HTTP_HEAD_INIT                                                                             \
    {                                                                                              \
        .content_length = -1, .fields = { STRBUF_INIT }                                            \
    }

/* Takes the next line, line[len] with its end. False when there is a fault, which stays. Lines after a
 * whole head (trailers) are ignored; false when they are too many, which is no fault of the head. */
bool http_head_take(struct http_head *h, const char *line, size_t len);
/* Where a whole head redirects to; NULL when it is no redirect (301, 302, 303, 307, 308) or names no
 * location. */
const char *http_head_location(const struct http_head *h);
/* Frees the fields and makes the head empty again. */
void http_head_clear(struct http_head *h);

#endif
