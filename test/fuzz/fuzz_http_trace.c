/*
 * fuzz_http_trace - heads as they are sent and received: no secret of the request is shown anywhere.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_trace.h"

#define SECRET "T0p-secret"
#define REQUEST "GET / HTTP/1.1\r\nAuthorization: Bearer " SECRET "\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t len)
{
    if (text && memmem(text, len, SECRET, strlen(SECRET)))
        abort();
}

static void check_heads(const struct http_trace_heads *heads)
{
    for (const struct http_trace_head *head = heads->first; head; head = head->next)
        for (const struct http_trace_text *line = head->lines.first; line; line = line->next)
            check(line->text, strlen(line->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_spec spec = {.method = "GET"};
    static const struct http_url url = {.host = "a.test", .path = "/" SECRET};
    const struct http_trace_outcome outcome = {.body = (const char *)data, .body_len = size};
    const char *at = (const char *)data, *end = at + size;
    struct http_trace *trace = NULL;

    if (http_trace_create(&trace, &spec))
        return 0;
    http_trace_begin_hop(trace, &url, 0);
    http_trace_request(trace, REQUEST, strlen(REQUEST));
    http_trace_begin_hop(trace, &url, 0);
    http_trace_request(trace, at, size);
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = feed ? (size_t)(feed - at) + 1 : (size_t)(end - at);

        http_trace_response(trace, at, len);
        at += len;
    }
    http_trace_outcome(trace, &outcome);
    for (const struct http_trace_hop *hop = trace->first ? trace->first->next : NULL; hop;
         hop = hop->next) {
        check(hop->url, strlen(hop->url));
        check_heads(&hop->requests);
        check_heads(&hop->responses);
        check(hop->outcome.body, hop->outcome.body_len);
    }
    http_trace_destroy(trace);
    return 0;
}
