/*
 * access - who calls the admin API, and whether that may be.
 *
 * Purpose    Judges one request by rules alone. Its Host must be ours, but of a scrape, so that no name
 *            that somebody points at this server (DNS rebinding) has a browser ask it. Who is behind a proxy is
 *            believed of trusted proxies only. What a route needs comes from a bearer token; or,
 *            while no token is configured, from being root or the server's own user on its own host:
 *            a loopback connection whose socket is theirs, with a loopback name in Host and without
 *            a header that browsers and proxies add. So the original's curl lines work there, and a
 *            web page, a tunnel or another local user can do nothing.
 * Threads    Rules are immutable and counted; any thread.
 * Ownership  A caller's texts are its own.
 */
#ifndef SERVERD_ACCESS_H
#define SERVERD_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/problems.h"
#include "serverd/options.h"
#include "serverd/role.h"

struct access_rules;

/* Makes the rules of the settings, reading the token files. The caller holds one reference.
 * Errors, with every fault in `problems`: as tokens_read; PROBER_ERR_SYNTAX. */
enum prober_error access_rules_create(struct access_rules **out,
                                      const struct serverd_settings *settings,
                                      struct problems *problems);
struct access_rules *access_rules_get(struct access_rules *rules);
/* NULL is fine. */
void access_rules_put(struct access_rules *rules);
/* Whether the peer is a trusted proxy. */
bool access_rules_trust(const struct access_rules *rules, const struct prober_addr *peer);
/* How many tokens there are. */
size_t access_rules_tokens(const struct access_rules *rules);

struct access_header {
    const char *name, *value;
};

/* What is asked, as it came. */
struct access_request {
    struct prober_addr peer;
    uint16_t peer_port, own_port;
    const char *version;                 /* of HTTP: "1.1" */
    const char *path;                    /* raw */
    const struct access_header *headers; /* [header_count] */
    size_t header_count;
    enum role needed; /* by the route */
};

#define ACCESS_WHO_MAX 80

struct access_caller {
    char who[ACCESS_WHO_MAX];  /* "token:NAME", "uid:0", or "" for one who did not need to tell */
    enum role role;            /* what it may do */
    struct prober_addr client; /* from where: behind a trusted proxy what that says, else the peer */
};

#define ACCESS_REFUSALS(X)                                                                        \
    X(TARGET, 400, "target", "the request target must be a path\n")                               \
    X(HOST, 403, "host",                                                                          \
      "this Host is not served here: -server.http.hosts names those that are\n")                  \
    X(FORWARDED, 400, "forwarded", "what the proxy says of the client makes no sense\n")          \
    X(MISSING, 401, "missing", "this needs a token: Authorization: Bearer TOKEN\n")               \
    X(UNKNOWN, 401, "unknown", "this token is not known\n")                                       \
    X(EXPIRED, 401, "expired", "this token has expired\n")                                        \
    X(ROLE, 403, "role", "the role of this token does not go so far\n")                           \
    X(PLAIN, 403, "plain",                                                                        \
      "a token must not come over plain HTTP from another host: use the HTTPS of a proxy that "   \
      "-server.http.trusted-proxies names\n")                                                     \
    X(LOCAL, 403, "local",                                                                        \
      "without tokens (-server.http.tokens) this is taken from this host itself only, from root " \
      "or the server's own user, without a proxy\n")

#define ACCESS_REFUSAL_NAME(name, status, reason, text) ACCESS_##name,
enum access_refusal { ACCESS_GRANTED, ACCESS_REFUSALS(ACCESS_REFUSAL_NAME) ACCESS_REFUSAL_COUNT };
#undef ACCESS_REFUSAL_NAME

/* Whether the request may be answered; fills *caller in any case, as far as it is known. */
enum access_refusal access_judge(const struct access_rules *rules,
                                 const struct access_request *request, uint64_t now_real_ns,
                                 struct access_caller *caller);
/* Of a refusal: the answer's status and text, and its name in metrics and log. */
int access_status(enum access_refusal refusal);
const char *access_text(enum access_refusal refusal);
const char *access_reason(enum access_refusal refusal);

#endif
