#include "serverd/local_desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "serverd/local_agents.h"
#include "serverd/local_request.h"

#define CLIENT "local"
#define METHOD "COMMAND"
#define WHO_MAX 32

/* Fills *out, an object, or fails with a sentence. */
typedef enum prober_error (*act_fn)(const struct local_desk *desk,
                                    const struct local_request *request, int64_t now_s,
                                    struct json *out, struct prober_failure *why);

/* ---- tokens ---- */

static void name_token(const char *text, char name[JOIN_NAME_MAX])
{
    struct join_token token;
    struct join_record record = {.uses = 1};

    join_token_parse(text, strlen(text), &token, NULL);
    digest_sha256(token.secret, sizeof(token.secret), record.hash);
    join_tokens_name(&record, name);
}

static enum prober_error make_token(const struct local_desk *desk,
                                    const struct local_request *request, int64_t now_s,
                                    struct json *out, struct prober_failure *why)
{
    const struct join_order order = {
        .region = request->region, .ttl_s = request->ttl_s, .uses = request->uses};
    char text[JOIN_TOKEN_TEXT_MAX], name[JOIN_NAME_MAX];
    enum prober_error err = enrolment_make_token(desk->enrolment, &order, now_s, text, why);

    if (err)
        return err;
    name_token(text, name);
    json_add_string(out, "token", text);
    json_add_string(out, "name", name);
    json_add_string(out, "region", request->region);
    json_add_u64(out, "uses", (uint64_t)(request->uses ? request->uses : JOIN_USES_DEFAULT));
    json_add_u64(out, "expires_s",
                 (uint64_t)(now_s + (request->ttl_s ? request->ttl_s : JOIN_TTL_DEFAULT_S)));
    json_add_string(out, "listen", desk->listen);
    json_add_u64(out, "port", desk->port);
    return PROBER_OK;
}

static void append_token(void *context, const struct join_record *record)
{
    char name[JOIN_NAME_MAX];
    struct json *token = json_object();

    json_add_string(token, "name", join_tokens_name(record, name));
    json_add_string(token, "region", record->region);
    json_add_u64(token, "made_s", (uint64_t)record->made_s);
    json_add_u64(token, "expires_s", (uint64_t)record->expires_s);
    json_add_u64(token, "uses", record->uses);
    json_add_u64(token, "used", record->spend_count);
    json_append(context, token);
}

static enum prober_error list_tokens(const struct local_desk *desk,
                                     const struct local_request *request, int64_t now_s,
                                     struct json *out, struct prober_failure *why)
{
    struct json *tokens = json_array();

    (void)request;
    (void)now_s;
    (void)why;
    enrolment_list_tokens(desk->enrolment, append_token, tokens);
    json_add(out, "tokens", tokens);
    return PROBER_OK;
}

static enum prober_error revoke_token(const struct local_desk *desk,
                                      const struct local_request *request, int64_t now_s,
                                      struct json *out, struct prober_failure *why)
{
    (void)now_s;
    (void)out;
    return enrolment_revoke_token(desk->enrolment, request->name, why);
}

/* ---- agents ---- */

static enum prober_error list_agents(const struct local_desk *desk,
                                     const struct local_request *request, int64_t now_s,
                                     struct json *out, struct prober_failure *why)
{
    struct directory *directory = directory_get(desk->board);
    struct json *agents = json_array();
    enum prober_error err;

    (void)request;
    (void)now_s;
    err = local_agents_list(directory, desk->store, desk->revocations, agents, why);
    directory_put(directory);
    json_add(out, "agents", agents);
    return err;
}

/* Also of an agent that is not known here: it may have its certificate from elsewhere. */
static enum prober_error revoke_agent(const struct local_desk *desk,
                                      const struct local_request *request, int64_t now_s,
                                      struct json *out, struct prober_failure *why)
{
    struct directory *directory = directory_get(desk->board);
    enum prober_error err = revocations_add(desk->revocations, &request->agent, now_s, why);

    desk->wake(desk->context);
    json_add_bool(out, "known", local_agents_know(directory, desk->store, &request->agent));
    directory_put(directory);
    return err;
}

static enum prober_error unrevoke_agent(const struct local_desk *desk,
                                        const struct local_request *request, int64_t now_s,
                                        struct json *out, struct prober_failure *why)
{
    (void)now_s;
    (void)out;
    return revocations_remove(desk->revocations, &request->agent, why);
}

static const act_fn acts[] = {
    [LOCAL_TOKEN_MAKE] = make_token,     [LOCAL_TOKEN_LIST] = list_tokens,
    [LOCAL_TOKEN_REVOKE] = revoke_token, [LOCAL_AGENT_LIST] = list_agents,
    [LOCAL_AGENT_REVOKE] = revoke_agent, [LOCAL_AGENT_UNREVOKE] = unrevoke_agent,
};

/* ---- changes ---- */

/* The status of an HTTP answer that would say the same, as the record has it of other changes. */
static int status_of(enum prober_error err)
{
    static const struct {
        enum prober_error err;
        int status;
    } rows[] = {
        {PROBER_OK, 200},         {PROBER_ERR_RANGE, 400},
        {PROBER_ERR_SYNTAX, 400}, {PROBER_ERR_NOT_FOUND, 404},
        {PROBER_ERR_EXISTS, 409}, {PROBER_ERR_FULL, 409},
        {PROBER_ERR_STATE, 409},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].err == err)
            return rows[i].status;
    return 500;
}

static enum prober_error make_change(const struct local_desk *desk, uid_t uid,
                                     const struct local_request *request,
                                     const struct clock_reading *now, struct json *out,
                                     struct prober_failure *why)
{
    struct strbuf body = STRBUF_INIT;
    char who[WHO_MAX];
    struct store_audit_record record = {.at_real_ns = now->real_ns,
                                        .who = who,
                                        .client = CLIENT,
                                        .method = METHOD,
                                        .target = local_request_name(request->command)};
    struct prober_failure cause;
    enum prober_error err = PROBER_ERR_NOMEM;
    int64_t id;

    snprintf(who, sizeof(who), "uid:%lu", (unsigned long)uid);
    local_request_put(&body, request);
    record.body = body.bytes;
    if (!strbuf_ok(&body) || store_audit_begin(desk->audit, &record, &id, &cause)) {
        log_error("refused a change that cannot be recorded", LOG_S("who", who),
                  LOG_S("target", record.target));
        prober_fail(why, PROBER_ERR_IO,
                    "this cannot be recorded, so nothing was changed: the log says why");
        goto out;
    }
    err = acts[request->command](desk, request, (int64_t)(now->real_ns / CLOCK_NS_PER_S), out, why);
    if (store_audit_end(desk->audit, id, status_of(err), &cause))
        log_error("the outcome of a change is not in its record", LOG_S("error", cause.text),
                  LOG_I("audit", id), LOG_I("status", status_of(err)));
    log_warn(err ? "a change was not made" : "a change was made", LOG_S("who", who),
             LOG_S("client", CLIENT), LOG_S("method", METHOD), LOG_S("target", record.target),
             LOG_I("status", status_of(err)), LOG_I("audit", id));
out:
    strbuf_free(&body);
    return err;
}

static enum prober_error act(const struct local_desk *desk, uid_t uid, const char *line, size_t len,
                             struct json *out, struct prober_failure *why)
{
    const struct clock_reading now = clock_read();
    struct local_request request;
    enum prober_error err = local_request_parse(line, len, &request, why);

    if (err)
        return err;
    if (!local_request_is_change(request.command))
        return acts[request.command](desk, &request, (int64_t)(now.real_ns / CLOCK_NS_PER_S), out,
                                     why);
    if (!desk->store || !desk->audit)
        return prober_fail(why, PROBER_ERR_STATE,
                           "the server's store does not work, so nothing can be changed: its log "
                           "says why");
    return make_change(desk, uid, &request, &now, out, why);
}

void local_desk_handle(void *context, uid_t uid, const char *line, size_t len,
                       struct strbuf *answer)
{
    struct prober_failure why = {PROBER_OK, ""};
    struct json *out = json_object();
    enum prober_error err = act(context, uid, line, len, out, &why);
    char *text = err ? NULL : json_print(out, false);

    if (text) {
        strbuf_puts(answer, text);
    } else {
        const char *error =
            err && why.code ? why.text : prober_error_text(err ? err : PROBER_ERR_NOMEM);

        strbuf_puts(answer, "{\"error\":");
        json_put_string(answer, error, strlen(error));
        strbuf_putc(answer, '}');
    }
    free(text);
    json_free(out);
}
