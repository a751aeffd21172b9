/*
 * http_server - an HTTP server of the test's own, on loopback, that misbehaves when told to.
 *
 * Threads    Has one of its own; start and stop belong to the test.
 * Ownership  Borrows the routes until stopped.
 */
#ifndef TEST_FAKES_HTTP_SERVER_H
#define TEST_FAKES_HTTP_SERVER_H

#include <stddef.h>

enum http_behaviour {
    HTTP_ANSWERS,
    HTTP_IS_SILENT,      /* takes the request and says nothing */
    HTTP_HANGS_UP,       /* closes without an answer */
    HTTP_SPEAKS_NO_HTTP, /* sends the body alone */
    HTTP_STALLS          /* sends the body alone, and keeps the connection open */
};

/* One answer each; a request without a route gets 404 with an HTML page. */
struct http_route {
    const char *method;
    const char *path;    /* with its query */
    const char *needs;   /* a line that the request's head must hold; NULL: none. Else 401 */
    int status;          /* 0: 200 */
    const char *headers; /* further lines, each with CRLF; NULL: none */
    const char *body;    /* NULL: "" */
    size_t repeat;       /* how often the body is sent; 0: once */
    enum http_behaviour behaviour;
};

struct http_server;

/* Starts answering from routes[] (one without a path ends them). Aborts when it cannot. */
struct http_server *http_server_start(const struct http_route *routes);
/* "http://127.0.0.1:PORT". */
const char *http_server_url(const struct http_server *s);
/* How many requests it got in all. */
unsigned http_server_requests(const struct http_server *s);
/* The head and body of the last request; call it when none is under way. */
const char *http_server_last(const struct http_server *s);
void http_server_stop(struct http_server *s);

#endif
