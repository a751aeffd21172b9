/*
 * client - asks a server's admin API.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_CLIENT_H
#define PROBERMESH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

/* Whom to ask, and as whom. */
struct client_target {
    const char *server;  /* "host:port", "http://host:port" or "https://host" */
    const char *token;   /* NULL, "": none */
    const char *ca_file; /* certificates of authorities, PEM; NULL, "": the system's */
    bool plain_token;    /* the token may go over plain HTTP to another host */
    uint64_t timeout_ns;
};

/* Gets `path` ("/api/v1/mesh") from the server. Stores the answer in *out (json_free) and, unless text
 * is NULL, as it came in *text (free).
 * Errors: PROBER_ERR_DENIED when the token would go where others can read it; PROBER_ERR_UNREACHABLE,
 * _TIMEOUT, _PROTOCOL, …: with a sentence for the user in *why, and never the token. */
enum prober_error client_get(const struct client_target *target, const char *path,
                             struct json **out, char **text, struct prober_failure *why);

#define CLIENT_AT_ONCE 8 /* requests */

struct client_request {
    const char *path;   /* with its query */
    const char *method; /* NULL: GET, or POST when there is a body */
    const char *body;   /* NULL: none */
};

struct client_answer {
    int status;
    char *bytes; /* [len], NUL-terminated */
    size_t len;
};

/* Makes requests[count] at once, at most CLIENT_AT_ONCE, and gives all answers, whatever their status,
 * to be freed with client_answers_free. stop_fd: as soon as it is readable, the requests are dropped;
 * -1: nothing stops them.
 * Errors, without any answer: as client_get; PROBER_ERR_CLOSED when it was stopped. */
enum prober_error client_ask(const struct client_target *target,
                             const struct client_request *requests, struct client_answer *answers,
                             size_t count, int stop_fd, struct prober_failure *why);
void client_answers_free(struct client_answer *answers, size_t count);
/* True for what a path can hold as it stands: letters, digits, '-' and '_', at most 63. */
bool client_is_name(const char *text);
/* What an answer other than 200 says, as a failure for the user. */
enum prober_error client_refused(const struct client_answer *answer, struct prober_failure *why);

#endif
