/*
 * local_request - what an operator's command asks of the running server, as one line of JSON.
 *
 * Purpose    {"command":"join-token make","region":"欧洲","ttl_s":3600,"uses":1}: a command, and the
 *            members that it takes; of those that are not needed, 0 and "" are as if they were not
 *            there. Anything else is refused.
 * Threads    Pure functions; any thread.
 */
#ifndef SERVERD_LOCAL_REQUEST_H
#define SERVERD_LOCAL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"
#include "common/strbuf.h"
#include "serverd/join_tokens.h"

#define LOCAL_REQUEST_MAX 4096 /* bytes of a line */

enum local_command {
    LOCAL_TOKEN_MAKE,   /* region, ttl_s, uses */
    LOCAL_TOKEN_LIST,
    LOCAL_TOKEN_REVOKE, /* name */
    LOCAL_AGENT_LIST,
    LOCAL_AGENT_REVOKE,  /* agent */
    LOCAL_AGENT_UNREVOKE /* agent */
};

struct local_request {
    enum local_command command;
    char region[PKI_REGION_MAX + 1]; /* "": any */
    int64_t ttl_s, uses;             /* 0: the default; else judged by who makes the token */
    char name[JOIN_NAME_MAX];
    struct prober_id agent;
};

/* The command as it is written in a request. */
const char *local_request_name(enum local_command command);
/* True when the command changes anything. */
bool local_request_is_change(enum local_command command);
/* Reads text[len]. Errors: PROBER_ERR_SYNTAX, _NOMEM with a sentence in *why. */
enum prober_error local_request_parse(const char *text, size_t len, struct local_request *out,
                                      struct prober_failure *why);
/* Appends the request, without a line's end; see strbuf_ok. */
void local_request_put(struct strbuf *out, const struct local_request *request);

#endif
