/*
 * region - which region this agent is in.
 *
 * Purpose    The first of these that there is: the setting agent.region; the environment variable
 *            PROBER_REGION; the metadata service of the cloud that the host runs in; "cn-shanghai".
 *            Only when neither setting nor variable is given is any metadata service asked: all at
 *            once, within REGION_LOOKUP_NS, and an answer counts only when it has status 200 and
 *            looks like the name of a region. When several answer, the order of region_providers
 *            decides, but Amazon's counts after the others: it needs two requests (IMDSv2).
 * Threads    Blocks the calling thread while it asks; any thread.
 */
#ifndef AGENTD_REGION_H
#define AGENTD_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/wire.h"

#define REGION_DEFAULT "cn-shanghai"
#define REGION_LOOKUP_NS UINT64_C(2000000000)

enum region_origin {
    REGION_FROM_SETTING,
    REGION_FROM_ENVIRONMENT,
    REGION_FROM_METADATA,
    REGION_FROM_DEFAULT,
    REGION_FROM_CERTIFICATE
};

struct region_query {
    const char *setting;       /* agent.region; NULL or "": none */
    const char *environment;   /* the value of PROBER_REGION; NULL or "": none */
    bool no_metadata;          /* ask nobody */
    const char *metadata_base; /* "http://host:port" to ask instead of every cloud's own; NULL */
    uint64_t timeout_ns;       /* of the metadata look-ups in all; 0: REGION_LOOKUP_NS */
};

struct region {
    char name[WIRE_REGION_MAX + 1];
    enum region_origin origin;
    const char *provider; /* which cloud, when it came from metadata; else NULL; a constant */
};

/* Errors: PROBER_ERR_SYNTAX when the setting or the variable is no valid name (1 to WIRE_REGION_MAX
 * bytes of UTF-8 without control characters), with a sentence in *why. */
enum prober_error region_find(const struct region_query *query, struct region *out,
                              struct prober_failure *why);
/* "setting", "environment", "metadata", "default", "certificate". */
const char *region_origin_text(enum region_origin origin);

/* Reads the answer body[len] of provider `i` into name; what the fuzzer feeds.
 * Errors: PROBER_ERR_SYNTAX when it holds no name of a region; PROBER_ERR_RANGE: no such provider.
 */
enum prober_error region_read_answer(size_t i, const char *body, size_t len,
                                     char name[WIRE_REGION_MAX + 1]);

#endif
