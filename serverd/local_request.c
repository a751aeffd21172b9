#include "serverd/local_request.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/json.h"

enum { TAKES_ORDER = 1, TAKES_NAME = 2, TAKES_AGENT = 4 };

static const struct command {
    const char *name;
    unsigned takes;
    bool is_change;
} commands[] = {
    [LOCAL_TOKEN_MAKE] = {"join-token make", TAKES_ORDER, true},
    [LOCAL_TOKEN_LIST] = {"join-token list", 0, false},
    [LOCAL_TOKEN_REVOKE] = {"join-token revoke", TAKES_NAME, true},
    [LOCAL_AGENT_LIST] = {"agents list", 0, false},
    [LOCAL_AGENT_REVOKE] = {"agents revoke", TAKES_AGENT, true},
    [LOCAL_AGENT_UNREVOKE] = {"agents unrevoke", TAKES_AGENT, true},
};

const char *local_request_name(enum local_command command)
{
    return commands[command].name;
}

bool local_request_is_change(enum local_command command)
{
    return commands[command].is_change;
}

/* ---- members ---- */

static bool read_text(const struct json *value, char *out, size_t room)
{
    const char *text = json_string(value);

    if (!text || strlen(text) >= room)
        return false;
    strcpy(out, text);
    return true;
}

static bool read_number(const struct json *value, int64_t *out)
{
    uint64_t number;

    if (json_u64(value, &number) || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return true;
}

static bool read_region(const struct json *value, struct local_request *out)
{
    return read_text(value, out->region, sizeof(out->region));
}

static bool read_ttl(const struct json *value, struct local_request *out)
{
    return read_number(value, &out->ttl_s);
}

static bool read_uses(const struct json *value, struct local_request *out)
{
    return read_number(value, &out->uses);
}

static bool read_name(const struct json *value, struct local_request *out)
{
    return read_text(value, out->name, sizeof(out->name));
}

static bool read_agent(const struct json *value, struct local_request *out)
{
    const char *text = json_string(value);

    return text && prober_id_parse(text, &out->agent) == PROBER_OK;
}

static const struct member {
    const char *name;
    unsigned needs; /* what the command must take */
    bool (*read)(const struct json *value, struct local_request *out);
    const char *expected;
} members[] = {
    {"region", TAKES_ORDER, read_region, "a text of at most 128 bytes"},
    {"ttl_s", TAKES_ORDER, read_ttl, "a number of seconds"},
    {"uses", TAKES_ORDER, read_uses, "a number"},
    {"name", TAKES_NAME, read_name, "the name of a token: 16 hex digits"},
    {"agent", TAKES_AGENT, read_agent, "the id of an agent: 32 hex digits"},
};

/* ---- requests ---- */

static enum prober_error read_command(const struct json *root, struct local_request *out,
                                      struct prober_failure *why)
{
    const char *name = json_string(json_get(root, "command"));

    for (size_t i = 0; name && i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0) {
            out->command = (enum local_command)i;
            return PROBER_OK;
        }
    return prober_fail(why, PROBER_ERR_SYNTAX, "this server has no such command");
}

static enum prober_error read_member(const char *name, const struct json *value,
                                     struct local_request *out, struct prober_failure *why)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (strcmp(name, members[i].name) == 0 &&
            (members[i].needs & commands[out->command].takes)) {
            if (members[i].read(value, out))
                return PROBER_OK;
            return prober_fail(why, PROBER_ERR_SYNTAX, "%s: expected %s", members[i].name,
                               members[i].expected);
        }
    return prober_fail(why, PROBER_ERR_SYNTAX, "'%.64s' does not belong to '%s'", name,
                       commands[out->command].name);
}

static enum prober_error read_members(const struct json *root, struct local_request *out,
                                      struct prober_failure *why)
{
    unsigned takes = commands[out->command].takes;

    for (const struct json *m = json_first(root); m; m = json_next(m)) {
        enum prober_error err = strcmp(json_name(m), "command") == 0
                                    ? PROBER_OK
                                    : read_member(json_name(m), m, out, why);

        if (err)
            return err;
    }
    if ((takes & TAKES_NAME) && !out->name[0])
        return prober_fail(why, PROBER_ERR_SYNTAX, "the name of a token is missing");
    if ((takes & TAKES_AGENT) && prober_id_is_zero(&out->agent))
        return prober_fail(why, PROBER_ERR_SYNTAX, "the id of an agent is missing");
    return PROBER_OK;
}

enum prober_error local_request_parse(const char *text, size_t len, struct local_request *out,
                                      struct prober_failure *why)
{
    struct local_request request = {.command = LOCAL_TOKEN_LIST};
    struct json *root = NULL;
    enum prober_error err;

    if (len > LOCAL_REQUEST_MAX)
        return prober_fail(why, PROBER_ERR_SYNTAX, "a request of more than %d bytes",
                           LOCAL_REQUEST_MAX);
    err = json_parse(&root, text, len, why);
    if (err)
        return err;
    if (!json_is_object(root))
        err = prober_fail(why, PROBER_ERR_SYNTAX, "a request is an object");
    if (!err)
        err = read_command(root, &request, why);
    if (!err)
        err = read_members(root, &request, why);
    if (!err)
        *out = request;
    json_free(root);
    return err;
}

static void put_text(struct strbuf *out, const char *key, const char *text)
{
    strbuf_printf(out, ",\"%s\":", key);
    json_put_string(out, text, strlen(text));
}

void local_request_put(struct strbuf *out, const struct local_request *request)
{
    unsigned takes = commands[request->command].takes;
    char id[PROBER_ID_TEXT_MAX];

    strbuf_printf(out, "{\"command\":\"%s\"", commands[request->command].name);
    if (takes & TAKES_ORDER) {
        put_text(out, "region", request->region);
        strbuf_printf(out, ",\"ttl_s\":\"%lld\",\"uses\":\"%lld\"", (long long)request->ttl_s,
                      (long long)request->uses);
    }
    if (takes & TAKES_NAME)
        put_text(out, "name", request->name);
    if (takes & TAKES_AGENT)
        put_text(out, "agent", prober_id_format(&request->agent, id));
    strbuf_putc(out, '}');
}
