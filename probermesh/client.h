/*
 * client - asks a server's admin API.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_CLIENT_H
#define PROBERMESH_CLIENT_H

#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

/* Gets `path` ("/api/v1/mesh") from the server: "host:port" or "http://host:port". Stores the answer
 * in *out (json_free) and, unless text is NULL, as it came in *text (free).
 * Errors: PROBER_ERR_UNREACHABLE, _TIMEOUT, _PROTOCOL, … with a sentence for the user in *why. */
enum prober_error client_get(const char *server, const char *path, uint64_t timeout_ns,
                             struct json **out, char **text, struct prober_failure *why);

#endif
