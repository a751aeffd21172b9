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

#endif
