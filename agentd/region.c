#include "agentd/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/json.h"
#include "libprober/http_fetch.h"

#define URL_MAX 256
#define METADATA_NAME_MAX 64
#define METADATA_ANSWER_MAX (16 << 10)
#define TOKEN_MAX 512

enum answer_form { ANSWER_IS_NAME, ANSWER_IS_PATH, ANSWER_IS_JSON };

struct provider {
    const char *name;
    const char *base;
    const char *path;
    const char *header;     /* NULL: none */
    const char *token_path; /* a session token is asked of it first; NULL: none is needed */
    enum answer_form form;
};

/* In the order of precedence. Huawei's is OpenStack's, which private clouds have too: it is last.
 */
static const struct provider providers[] = {
    {"Alibaba Cloud", "http://100.100.100.200", "/latest/meta-data/region-id", NULL, NULL,
     ANSWER_IS_NAME},
    {"Tencent Cloud", "http://metadata.tencentyun.com", "/latest/meta-data/placement/zone", NULL,
     NULL, ANSWER_IS_NAME},
    {"Google Cloud", "http://metadata.google.internal", "/computeMetadata/v1/instance/zone",
     "Metadata-Flavor: Google", NULL, ANSWER_IS_PATH},
    {"Azure", "http://169.254.169.254",
     "/metadata/instance/compute/location?api-version=2021-02-01&format=text", "Metadata: true",
     NULL, ANSWER_IS_NAME},
    {"Volcengine", "http://100.96.0.96", "/latest/region_id", NULL, NULL, ANSWER_IS_NAME},
    {"Amazon Web Services", "http://169.254.169.254", "/latest/meta-data/placement/region", NULL,
     "/latest/api/token", ANSWER_IS_NAME},
    {"Huawei Cloud", "http://169.254.169.254", "/openstack/latest/meta_data.json", NULL, NULL,
     ANSWER_IS_JSON},
};

#define PROVIDERS ARRAY_LEN(providers)

/* One provider's request, with the memory that it points into. */
struct asked {
    char url[URL_MAX];
    char header[TOKEN_MAX + 64];
    const char *headers[2];
};

const char *region_origin_text(enum region_origin origin)
{
    static const char *const texts[] = {"setting", "environment", "metadata", "default",
                                        "certificate"};

    return (size_t)origin < ARRAY_LEN(texts) ? texts[origin] : "unknown";
}

/* ---- answers ---- */

/* Stricter than what a person may choose: nothing of a page or a message passes for a name. */
static bool looks_like_region(const char *text, size_t len)
{
    bool letter = false;

    if (len == 0 || len > METADATA_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alpha && !(c >= '0' && c <= '9') && (i == 0 || !strchr("-_.", c) || !c))
            return false;
        letter = letter || alpha;
    }
    return letter;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum prober_error read_text(const char *text, size_t len, bool path,
                                   char name[WIRE_REGION_MAX + 1])
{
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    while (len > 0 && is_blank(*text))
        text++, len--;
    for (size_t i = len; path && i > 0; i--) {
        if (text[i - 1] != '/')
            continue;
        text += i;
        len -= i;
        break;
    }
    if (!looks_like_region(text, len))
        return PROBER_ERR_SYNTAX;
    memcpy(name, text, len);
    name[len] = 0;
    return PROBER_OK;
}

enum prober_error region_read_answer(size_t i, const char *body, size_t len,
                                     char name[WIRE_REGION_MAX + 1])
{
    enum prober_error err;
    struct json *root = NULL;
    const char *zone;

    if (i >= PROVIDERS)
        return PROBER_ERR_RANGE;
    if (providers[i].form != ANSWER_IS_JSON)
        return read_text(body, len, providers[i].form == ANSWER_IS_PATH, name);
    err = json_parse(&root, body, len, NULL);
    if (err)
        return err == PROBER_ERR_NOMEM ? err : PROBER_ERR_SYNTAX;
    zone = json_string(json_get(root, "availability_zone"));
    err = zone ? read_text(zone, strlen(zone), false, name) : PROBER_ERR_SYNTAX;
    json_free(root);
    return err;
}

/* ---- asking ---- */

static struct http_request make_request(struct asked *a, const struct region_query *query,
                                        const struct provider *p, const char *path)
{
    snprintf(a->url, sizeof(a->url), "%s%s", query->metadata_base ? query->metadata_base : p->base,
             path);
    a->headers[0] = a->header[0] ? a->header : NULL;
    a->headers[1] = NULL;
    return (struct http_request){
        .url = a->url,
        .headers = a->headers,
        .answer_max = METADATA_ANSWER_MAX,
    };
}

static bool token_is_usable(const struct http_answer *answer)
{
    if (answer->err || answer->status != 200 || answer->body_len == 0 ||
        answer->body_len > TOKEN_MAX)
        return false;
    for (size_t i = 0; i < answer->body_len; i++)
        if (answer->body[i] <= ' ' || answer->body[i] > '~')
            return false;
    return true;
}

static bool take(size_t i, const struct http_answer *answer, struct region *out)
{
    if (answer->err || answer->status != 200 ||
        region_read_answer(i, answer->body, answer->body_len, out->name))
        return false;
    out->origin = REGION_FROM_METADATA;
    out->provider = providers[i].name;
    return true;
}

/* Asks provider i with the token that it gave, or without one as the first version of the service
 * wants it. */
static bool ask_with_token(const struct region_query *query, size_t i,
                           const struct http_answer *token, uint64_t timeout_ns, struct region *out)
{
    struct asked a = {0};
    struct http_request request;
    struct http_answer answer;
    bool found;

    if (token->err == PROBER_ERR_UNREACHABLE)
        return false;
    if (token_is_usable(token))
        snprintf(a.header, sizeof(a.header), "X-aws-ec2-metadata-token: %s", token->body);
    request = make_request(&a, query, &providers[i], providers[i].path);
    http_fetch(&request, &answer, 1, timeout_ns);
    found = take(i, &answer, out);
    http_answers_free(&answer, 1);
    return found;
}

static bool find_by_metadata(const struct region_query *query, struct region *out)
{
    uint64_t half_ns = (query->timeout_ns ? query->timeout_ns : REGION_LOOKUP_NS) / 2;
    struct asked asked[PROVIDERS] = {0};
    struct http_request requests[PROVIDERS];
    struct http_answer answers[PROVIDERS];
    bool found = false;

    for (size_t i = 0; i < PROVIDERS; i++) {
        const struct provider *p = &providers[i];
        const char *header = p->token_path ? "X-aws-ec2-metadata-token-ttl-seconds: 60" : p->header;

        snprintf(asked[i].header, sizeof(asked[i].header), "%s", header ? header : "");
        requests[i] = make_request(&asked[i], query, p, p->token_path ? p->token_path : p->path);
        requests[i].method = p->token_path ? "PUT" : NULL;
    }
    http_fetch(requests, answers, PROVIDERS, half_ns);
    for (size_t i = 0; i < PROVIDERS && !found; i++)
        found = !providers[i].token_path && take(i, &answers[i], out);
    for (size_t i = 0; i < PROVIDERS && !found; i++)
        found = providers[i].token_path && ask_with_token(query, i, &answers[i], half_ns, out);
    http_answers_free(answers, PROVIDERS);
    return found;
}

static enum prober_error take_given(const char *text, const char *what, enum region_origin origin,
                                    struct region *out, struct prober_failure *why)
{
    if (!wire_name_is_valid(text, WIRE_REGION_MAX))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "%s: a region is 1 to %d bytes of UTF-8 without control characters",
                           what, WIRE_REGION_MAX);
    snprintf(out->name, sizeof(out->name), "%s", text);
    out->origin = origin;
    return PROBER_OK;
}

enum prober_error region_find(const struct region_query *query, struct region *out,
                              struct prober_failure *why)
{
    memset(out, 0, sizeof(*out));
    if (query->setting && query->setting[0])
        return take_given(query->setting, "agent.region", REGION_FROM_SETTING, out, why);
    if (query->environment && query->environment[0])
        return take_given(query->environment, "PROBER_REGION", REGION_FROM_ENVIRONMENT, out, why);
    if (query->no_metadata || !find_by_metadata(query, out))
        *out = (struct region){.name = REGION_DEFAULT, .origin = REGION_FROM_DEFAULT};
    return PROBER_OK;
}
