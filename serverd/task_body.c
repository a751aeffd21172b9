#include "serverd/task_body.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/duration.h"
#include "common/strbuf.h"
#include "common/utf8.h"

#define KEY_SHOWN_MAX 40 /* bytes of a key that a sentence repeats */

static const char *const operators[] = {"=", "!=", "=~", "!~"};

static enum prober_error check_region(const char *text, struct prober_failure *why);
static enum prober_error check_expr(const char *text, struct prober_failure *why);
static enum prober_error check_line(const char *text, struct prober_failure *why);

static const struct body_key {
    const char *name;
    size_t offset; /* of the text in struct task_body */
    enum prober_error (*check)(const char *text, struct prober_failure *why);
} keys[] = {
    {"region", offsetof(struct task_body, region), check_region},
    {"expr", offsetof(struct task_body, expr), check_expr},
    {"cmd", offsetof(struct task_body, line), check_line},
};

static const char key_timeout[] = "timeout";

/* ---- before it is JSON ---- */

/* A body at its surface: where its strings are, and what key a value belongs to. */
struct surface {
    char *text; /* [len] */
    size_t len, at;
    size_t depth;
    const char *string, *key; /* the last string, and the key whose value is read; NULL: none */
    size_t string_len, key_len;
    char *comma; /* with nothing but blanks behind it so far; NULL: none */
};

static enum prober_error fail_of(const char *key, size_t len, const char *fault,
                                 struct prober_failure *why)
{
    struct strbuf shown = STRBUF_INIT;

    utf8_put_escaped(&shown, key, len < KEY_SHOWN_MAX ? len : KEY_SHOWN_MAX);
    prober_fail(why, PROBER_ERR_SYNTAX, "\"%s\": %s", shown.len ? shown.bytes : "", fault);
    strbuf_free(&shown);
    return PROBER_ERR_SYNTAX;
}

static enum prober_error fail_here(const struct surface *s, const char *fault,
                                   struct prober_failure *why)
{
    if (s->key)
        return fail_of(s->key, s->key_len, fault, why);
    return fail_of(s->string ? s->string : "", s->string ? s->string_len : 0, fault, why);
}

/* Goes over a string, whose quote is at s->at, to its last quote. */
static enum prober_error cross_string(struct surface *s, struct prober_failure *why)
{
    size_t from = ++s->at;
    bool has_nul = false;

    while (s->at < s->len && s->text[s->at] != '"') {
        bool escapes = s->text[s->at] == '\\' && s->at + 1 < s->len;

        has_nul = has_nul ||
                  (escapes && s->len - s->at >= 6 && memcmp(s->text + s->at, "\\u0000", 6) == 0);
        s->at += escapes ? 2 : 1;
    }
    s->string = s->text + from;
    s->string_len = (s->at < s->len ? s->at : s->len) - from;
    if (has_nul || memchr(s->string, '\0', s->string_len))
        return fail_here(s, "has a NUL character", why);
    if (!utf8_is_valid(s->string, s->string_len))
        return fail_here(s, "is not UTF-8", why);
    return PROBER_OK;
}

static enum prober_error cross(struct surface *s, struct prober_failure *why)
{
    char *c = s->text + s->at;

    if (strchr(" \t\r\n", *c) && *c)
        return PROBER_OK;
    if (*c == '}' && s->depth == 1 && s->comma)
        *s->comma = ' '; /* the comma of the original's documentation */
    s->comma = *c == ',' ? c : NULL;
    switch (*c) {
    case '"':
        return cross_string(s, why);
    case ':':
        s->key = s->string;
        s->key_len = s->string_len;
        return PROBER_OK;
    case ',':
        s->key = s->string = NULL;
        return PROBER_OK;
    case '{':
    case '[':
        return s->depth++ ? fail_here(s, "expected a string", why) : PROBER_OK;
    case '}':
    case ']':
        s->depth -= s->depth > 0;
        return PROBER_OK;
    default:
        return PROBER_OK;
    }
}

/* Checks what the parser of JSON could not tell by the key, and makes it JSON. */
static enum prober_error smooth(char *text, size_t len, struct prober_failure *why)
{
    struct surface s = {.text = text, .len = len};
    enum prober_error err = PROBER_OK;

    for (; s.at < s.len && !err; s.at++)
        err = cross(&s, why);
    return err;
}

/* ---- its members ---- */

static enum prober_error check_region(const char *text, struct prober_failure *why)
{
    size_t len = strlen(text);

    if (len == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "\"region\": is empty");
    if (len > TASK_BODY_REGION_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "\"region\": has %zu bytes, %d are the most", len,
                           TASK_BODY_REGION_MAX);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return prober_fail(why, PROBER_ERR_SYNTAX,
                               "\"region\": has a control character (0x%02x)", (unsigned char)*c);
    return PROBER_OK;
}

static enum prober_error check_expr(const char *text, struct prober_failure *why)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (strcmp(text, operators[i]) == 0)
            return PROBER_OK;
    return prober_fail(why, PROBER_ERR_SYNTAX,
                       "\"expr\": expected \"=\" (equal), \"!=\" (not equal), \"=~\" (matches the "
                       "regular expression) or \"!~\" (does not match it)");
}

static enum prober_error check_line(const char *text, struct prober_failure *why)
{
    size_t len = strlen(text);

    if (text[strspn(text, " \t\r\n")] == '\0')
        return prober_fail(why, PROBER_ERR_SYNTAX, "\"cmd\": is empty");
    if (len > TASK_BODY_LINE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "\"cmd\": has %zu bytes, %d are the most", len,
                           TASK_BODY_LINE_MAX);
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t' && *c != '\n') || *c == 0x7f)
            return prober_fail(why, PROBER_ERR_SYNTAX, "\"cmd\": has a control character (0x%02x)",
                               (unsigned char)*c);
    return PROBER_OK;
}

static enum prober_error read_timeout(struct task_body *body, const char *text,
                                      struct prober_failure *why)
{
    uint64_t ns = 0;

    if (duration_parse(text, &ns))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "\"timeout\": expected a duration such as \"90s\" or \"5m\"");
    if (ns < TASK_BODY_TIMEOUT_MIN_NS || ns > TASK_BODY_TIMEOUT_MAX_NS)
        return prober_fail(why, PROBER_ERR_RANGE, "\"timeout\": from 1s to 1d");
    body->timeout_ns = ns;
    return PROBER_OK;
}

static enum prober_error read_member(struct task_body *body, const struct json *member,
                                     struct prober_failure *why)
{
    const char *name = json_name(member), *text = json_string(member);

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(name, keys[i].name) != 0)
            continue;
        if (!text)
            return prober_fail(why, PROBER_ERR_SYNTAX, "\"%s\": expected a string", name);
        memcpy((char *)body + keys[i].offset, &text, sizeof(text));
        return keys[i].check(text, why);
    }
    if (strcmp(name, key_timeout) != 0)
        return fail_of(name, strlen(name),
                       "is not known here: there are \"region\", \"expr\", \"cmd\", \"timeout\"",
                       why);
    return read_timeout(body, text ? text : "", why);
}

static enum prober_error read_members(struct task_body *body, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    if (!json_is_object(body->root))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "expected an object: {\"region\": …, \"expr\": …, \"cmd\": …}");
    for (const struct json *m = json_first(body->root); m && !err; m = json_next(m))
        err = read_member(body, m, why);
    for (size_t i = 0; i < ARRAY_LEN(keys) && !err; i++)
        if (!json_get(body->root, keys[i].name))
            err = prober_fail(why, PROBER_ERR_SYNTAX, "\"%s\": is missing", keys[i].name);
    return err;
}

enum prober_error task_body_read(struct task_body *out, const char *text, size_t len,
                                 struct prober_failure *why)
{
    struct task_body body = {0};
    char *copy = malloc(len + 1);
    enum prober_error err;

    *out = body;
    if (!copy)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    memcpy(copy, text, len);
    copy[len] = '\0';
    err = smooth(copy, len, why);
    if (!err)
        err = json_parse(&body.root, copy, len, why);
    if (!err)
        err = read_members(&body, why);
    if (!err)
        *out = body;
    else
        task_body_free(&body);
    free(copy);
    return err;
}

void task_body_free(struct task_body *body)
{
    json_free(body->root);
    *body = (struct task_body){0};
}
