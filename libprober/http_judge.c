#include "libprober/http_judge.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/regex.h"

/* The regexps of one key. */
struct regexes {
    struct regex **items;
    size_t count;
};

struct http_judge {
    const struct http_spec *spec;
    struct regexes body[2], headers[2]; /* [0]: fail if matches; [1]: fail if not */
};

#define HTTP_REASON_TEXT(name, text) [HTTP_FAILED_##name] = text,
static const char *const reason_texts[] = {HTTP_REASONS(HTTP_REASON_TEXT)};
#undef HTTP_REASON_TEXT

const char *http_reason_text(enum http_reason reason)
{
    return reason_texts[reason];
}

void http_fields_add(struct http_fields *f, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    strbuf_put(&f->text, name, name_len);
    strbuf_putc(&f->text, 0);
    strbuf_put(&f->text, value, value_len);
    strbuf_putc(&f->text, 0);
}

void http_fields_extend(struct http_fields *f, const char *more, size_t len)
{
    if (f->text.len == 0 || !strbuf_ok(&f->text))
        return;
    f->text.len--; /* its NUL */
    strbuf_putc(&f->text, ' ');
    strbuf_put(&f->text, more, len);
    strbuf_putc(&f->text, 0);
}

const char *http_fields_next(const struct http_fields *f, const char *name, const char *last)
{
    const char *at = last ? last + strlen(last) + 1 : f->text.bytes;
    const char *end = f->text.bytes ? f->text.bytes + f->text.len : NULL;

    while (at && at < end) {
        const char *value = at + strlen(at) + 1;

        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

static enum prober_error add_regex(struct regexes *r, const char *pattern,
                                   struct prober_failure *why)
{
    struct regex **more = realloc(r->items, (r->count + 1) * sizeof(struct regex *));
    enum prober_error err;

    if (!more)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    r->items = more;
    err = regex_create(&r->items[r->count], pattern, why);
    if (!err)
        r->count++;
    return err;
}

static enum prober_error compile(struct http_judge *j, struct prober_failure *why)
{
    const struct http_texts *body[] = {&j->spec->fail_if_body_matches_regexp,
                                       &j->spec->fail_if_body_not_matches_regexp};
    const struct http_header_matches *headers[] = {&j->spec->fail_if_header_matches,
                                                   &j->spec->fail_if_header_not_matches};
    enum prober_error err = PROBER_OK;

    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < body[k]->count && !err; i++)
            err = add_regex(&j->body[k], body[k]->items[i], why);
        for (size_t i = 0; i < headers[k]->count && !err; i++)
            err = add_regex(&j->headers[k], headers[k]->items[i].regexp, why);
    }
    return err;
}

enum prober_error http_judge_create(struct http_judge **out, const struct http_spec *spec,
                                    struct prober_failure *why)
{
    struct http_judge *j = calloc(1, sizeof(*j));
    enum prober_error err;

    if (!j)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    j->spec = spec;
    err = compile(j, why);
    if (!err) {
        *out = j;
        j = NULL;
    }
    http_judge_destroy(j);
    return err;
}

bool http_judge_wants_body(const struct http_judge *j)
{
    return j->body[0].count + j->body[1].count > 0;
}

static bool status_is_valid(const struct http_spec *spec, int status)
{
    const struct http_codes *codes = &spec->valid_status_codes;

    for (size_t i = 0; i < codes->count; i++)
        if (codes->items[i] == status)
            return true;
    return codes->count == 0 && status >= 200 && status < 300;
}

static bool any_value_matches(const struct http_fields *fields, const char *name,
                              const struct regex *regex)
{
    const char *value = NULL;
    bool matches = false;

    while (!matches && (value = http_fields_next(fields, name, value))) {
        struct regex_subject subject;

        matches = regex_subject_init(&subject, value, strlen(value)) == PROBER_OK &&
                  regex_matches(regex, &subject);
        regex_subject_free(&subject);
    }
    return matches;
}

/* What is judged by, and [1] if a match is what should be, [0] if it is what should not. */
static const char *const header_keys[] = {"fail_if_header_matches", "fail_if_header_not_matches"};
static const char *const body_keys[] = {"fail_if_body_matches_regexp",
                                        "fail_if_body_not_matches_regexp"};

static bool headers_are_fine(const struct http_header_matches *matches,
                             const struct regexes *regexes, bool wanted,
                             const struct http_fields *fields, struct http_check *check)
{
    for (size_t i = 0; i < matches->count; i++) {
        const struct http_header_match *m = &matches->items[i];
        bool is_missing = !http_fields_next(fields, m->header, NULL);

        if (is_missing ? m->allow_missing
                       : any_value_matches(fields, m->header, regexes->items[i]) == wanted)
            continue;
        *check = (struct http_check){header_keys[wanted], i, m->regexp, m->header, is_missing};
        return false;
    }
    return true;
}

static const char *key_of_body_fault(enum http_reason fault)
{
    if (fault == HTTP_FAILED_BODY_TOO_LARGE)
        return "body_size_limit";
    return fault == HTTP_FAILED_BODY_ENCODING ? "compression" : NULL;
}

static enum http_reason judge_body(const struct http_judge *j, const struct http_reply *reply,
                                   struct http_check *check)
{
    const struct http_texts *regexps[] = {&j->spec->fail_if_body_matches_regexp,
                                          &j->spec->fail_if_body_not_matches_regexp};
    enum http_reason reason = HTTP_SUCCEEDED;
    struct regex_subject subject;

    check->key = key_of_body_fault(reply->body_fault);
    if (!http_judge_wants_body(j) || reply->body_fault)
        return reply->body_fault;
    if (reply->is_unread_redirect) {
        check->key = body_keys[j->body[0].count == 0];
        return HTTP_FAILED_BODY_REGEXP;
    }
    if (regex_subject_init(&subject, reply->body, reply->body_len))
        return HTTP_FAILED_LOCAL;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < j->body[k].count && !reason; i++) {
            if (regex_matches(j->body[k].items[i], &subject) != (k == 0))
                continue;
            reason = HTTP_FAILED_BODY_REGEXP;
            *check = (struct http_check){body_keys[k], i, regexps[k]->items[i], NULL, false};
        }
    }
    regex_subject_free(&subject);
    return reason;
}

static bool version_is_valid(const struct http_spec *spec, const char *version)
{
    const struct http_texts *versions = &spec->valid_http_versions;

    for (size_t i = 0; i < versions->count; i++)
        if (strcmp(versions->items[i], version) == 0)
            return true;
    return versions->count == 0;
}

static enum http_reason judge_status(const struct http_judge *j, const struct http_reply *reply,
                                     struct http_check *check)
{
    if (status_is_valid(j->spec, reply->status))
        return HTTP_SUCCEEDED;
    check->key = reply->is_beyond_redirects ? NULL : "valid_status_codes";
    return reply->is_beyond_redirects ? HTTP_FAILED_TOO_MANY_REDIRECTS : HTTP_FAILED_STATUS_CODE;
}

static enum http_reason judge_headers(const struct http_judge *j, const struct http_reply *reply,
                                      struct http_check *check)
{
    const struct http_header_matches *matches[] = {&j->spec->fail_if_header_matches,
                                                   &j->spec->fail_if_header_not_matches};

    for (size_t k = 0; k < 2; k++)
        if (!headers_are_fine(matches[k], &j->headers[k], k == 1, reply->fields, check))
            return HTTP_FAILED_HEADER_REGEXP;
    return HTTP_SUCCEEDED;
}

static enum http_reason judge_version(const struct http_judge *j, const struct http_reply *reply,
                                      struct http_check *check)
{
    if (version_is_valid(j->spec, reply->version))
        return HTTP_SUCCEEDED;
    check->key = "valid_http_versions";
    return HTTP_FAILED_HTTP_VERSION;
}

static enum http_reason judge_tls(const struct http_judge *j, const struct http_reply *reply,
                                  struct http_check *check)
{
    if (!(reply->tls ? j->spec->fail_if_ssl : j->spec->fail_if_not_ssl))
        return HTTP_SUCCEEDED;
    check->key = reply->tls ? "fail_if_ssl" : "fail_if_not_ssl";
    return reply->tls ? HTTP_FAILED_SSL : HTTP_FAILED_NOT_SSL;
}

enum http_reason http_judge_reply(const struct http_judge *j, const struct http_reply *reply,
                                  struct http_check *check)
{
    static enum http_reason (*const steps[])(const struct http_judge *, const struct http_reply *,
                                             struct http_check *) = {
        judge_status, judge_headers, judge_body, judge_version, judge_tls};
    enum http_reason reason = HTTP_SUCCEEDED;
    struct http_check failed = {0};

    for (size_t i = 0; i < ARRAY_LEN(steps) && !reason; i++)
        reason = steps[i](j, reply, &failed);
    if (check && reason)
        *check = failed;
    return reason;
}

static void free_regexes(struct regexes *r)
{
    for (size_t i = 0; i < r->count; i++)
        regex_destroy(r->items[i]);
    free(r->items);
}

void http_judge_destroy(struct http_judge *j)
{
    if (!j)
        return;
    for (size_t k = 0; k < 2; k++) {
        free_regexes(&j->body[k]);
        free_regexes(&j->headers[k]);
    }
    free(j);
}
