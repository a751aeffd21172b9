#include "libprober/http_token.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/json.h"

#define UNRESERVED "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"
#define TYPE_MAX 64
#define ERROR_CODE_MAX 64
#define LIFE_MAX_S INT64_C(1000000000) /* more is as good as for ever */

/* ---- the request ---- */

void http_token_put_escaped(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr(UNRESERVED, *text))
            strbuf_putc(out, *text);
        else if (*text == ' ')
            strbuf_putc(out, '+');
        else
            strbuf_printf(out, "%%%02X", (unsigned)(uint8_t)*text);
    }
}

static void put_pair(struct strbuf *out, const char *name, const char *value)
{
    if (out->len > 0)
        strbuf_putc(out, '&');
    http_token_put_escaped(out, name);
    strbuf_putc(out, '=');
    http_token_put_escaped(out, value);
}

static void put_scopes(struct strbuf *out, const struct http_texts *scopes)
{
    struct strbuf all = STRBUF_INIT;

    for (size_t i = 0; i < scopes->count; i++) {
        strbuf_puts(&all, i ? " " : "");
        strbuf_puts(&all, scopes->items[i]);
    }
    if (!strbuf_ok(&all))
        out->failed = true;
    else if (all.len > 0)
        put_pair(out, "scope", all.bytes);
    strbuf_free(&all);
}

void http_token_put_form(struct strbuf *out, const struct http_oauth2 *oauth2, bool with_client)
{
    const struct http_headers *params = &oauth2->endpoint_params;
    bool has_grant = false;

    for (size_t i = 0; i < params->count; i++) {
        has_grant = has_grant || strcmp(params->items[i].name, "grant_type") == 0;
        put_pair(out, params->items[i].name, params->items[i].value);
    }
    if (!has_grant)
        put_pair(out, "grant_type", "client_credentials");
    put_scopes(out, &oauth2->scopes);
    if (!with_client)
        return;
    put_pair(out, "client_id", oauth2->client_id);
    if (oauth2->client_secret.text && *oauth2->client_secret.text)
        put_pair(out, "client_secret", oauth2->client_secret.text);
}

/* ---- the answer ---- */

/* The fields that matter; texts are NULL when they are not there. */
struct fields {
    const char *token, *type, *error;
    double expires_in; /* 0: not given */
    bool has_bad_expiry;
};

static void take_expiry(struct fields *f, const char *text)
{
    char *end = NULL;

    if (!text || !*text)
        return;
    f->expires_in = strtod(text, &end);
    f->has_bad_expiry = *end != 0 || strspn(text, "0123456789.") != strlen(text);
}

static void take_json(struct fields *f, const struct json *root)
{
    const struct json *expiry = json_get(root, "expires_in");

    f->token = json_string(json_get(root, "access_token"));
    f->type = json_string(json_get(root, "token_type"));
    f->error = json_string(json_get(root, "error"));
    if (json_string(expiry))
        take_expiry(f, json_string(expiry));
    else if (expiry && !json_is_null(expiry))
        f->has_bad_expiry = json_number(expiry, &f->expires_in) != PROBER_OK;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

/* Takes the escapes out of a text of a form, in place; a NUL would end it early, and does. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; text++) {
        int high = *text == '%' ? hex_value(text[1]) : -1;
        int low = high >= 0 ? hex_value(text[2]) : -1;

        *to++ = low >= 0 ? (char)(high << 4 | low) : *text == '+' ? ' ' : *text;
        text += low >= 0 ? 2 : 0;
    }
    *to = 0;
}

/* text is taken to pieces. */
static void take_form(struct fields *f, char *text)
{
    char *pair;

    while ((pair = strsep(&text, "&"))) {
        char *value = strchr(pair, '=');

        if (!value)
            continue;
        *value++ = 0;
        unescape(value);
        if (strcmp(pair, "access_token") == 0)
            f->token = value;
        else if (strcmp(pair, "token_type") == 0)
            f->type = value;
        else if (strcmp(pair, "error") == 0)
            f->error = value;
        else if (strcmp(pair, "expires_in") == 0)
            take_expiry(f, value);
    }
}

static bool is_form(const struct http_reply *reply)
{
    static const char *const types[] = {"application/x-www-form-urlencoded", "text/plain"};
    const char *type = http_fields_next(reply->fields, "Content-Type", NULL);
    size_t len = type ? strcspn(type, "; \t") : 0;

    for (size_t i = 0; type && i < ARRAY_LEN(types); i++)
        if (len == strlen(types[i]) && strncasecmp(type, types[i], len) == 0)
            return true;
    return false;
}

/* True when the text can stand in a header, and is not empty. */
static bool is_sendable(const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;

    for (size_t i = 0; i < len; i++)
        if ((uint8_t)text[i] <= ' ' || text[i] == 0x7f)
            return false;
    return len > 0 && len <= max;
}

static const char *type_of(const char *type)
{
    static const char *const known[] = {"Bearer", "MAC", "Basic"};

    if (!type || !*type)
        return known[0];
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcasecmp(type, known[i]) == 0)
            return known[i];
    return type;
}

static enum prober_error make(const struct fields *f, struct http_token *out,
                              struct prober_failure *why)
{
    struct strbuf value = STRBUF_INIT;

    if (!f->token || !*f->token)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the token server's answer has no access_token");
    if (!is_sendable(f->token, HTTP_TOKEN_MAX) || !is_sendable(type_of(f->type), TYPE_MAX))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "the token server's token cannot stand in a header");
    if (f->has_bad_expiry)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the token server's expires_in is no number");
    strbuf_printf(&value, "%s %s", type_of(f->type), f->token);
    out->authorization = strbuf_take(&value, NULL);
    if (!out->authorization)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    out->life_ns = f->expires_in > 0 && f->expires_in < (double)LIFE_MAX_S
                       ? (uint64_t)(f->expires_in * 1e9)
                       : UINT64_MAX;
    return PROBER_OK;
}

/* A code of RFC 6749, 5.2, is shown; other texts are not, as nobody knows what is in them. */
static enum prober_error fail_as_told(const struct http_reply *reply, const struct fields *f,
                                      struct prober_failure *why)
{
    bool is_code = f->error && *f->error && strlen(f->error) <= ERROR_CODE_MAX &&
                   f->error[strspn(f->error, "abcdefghijklmnopqrstuvwxyz_")] == 0;

    return prober_fail(why, PROBER_ERR_DENIED, "the token server answered %d%s%s", reply->status,
                       is_code ? " " : "", is_code ? f->error : "");
}

enum prober_error http_token_read(const struct http_reply *reply, struct http_token *out,
                                  struct prober_failure *why)
{
    bool is_fine = reply->status >= 200 && reply->status <= 299;
    struct fields f = {.token = NULL};
    struct json *root = NULL;
    char *copy = strndup(reply->body, reply->body_len);
    enum prober_error err = copy ? PROBER_OK : PROBER_ERR_NOMEM;

    if (copy && is_form(reply) && copy[strspn(copy, " \t\r\n")] != '{') {
        copy[strcspn(copy, "\r\n")] = 0;
        take_form(&f, copy);
    } else if (copy && json_parse(&root, reply->body, reply->body_len, NULL) == PROBER_OK) {
        take_json(&f, root);
    } else if (copy && is_fine && !reply->body_fault) {
        err = prober_fail(why, PROBER_ERR_SYNTAX, "the token server's answer is no JSON");
    }
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory");
    else if (!is_fine || f.error)
        err = fail_as_told(reply, &f, why);
    else if (reply->body_fault)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "the token server's answer was not read whole");
    else if (!err)
        err = make(&f, out, why);
    json_free(root);
    free(copy);
    return err;
}
