#include "libprober/http_spec_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/regex.h"
#include "common/utf8.h"
#include "libprober/http_url.h"

const bool http_default_true = true;
const size_t http_long_text = HTTP_SPEC_LONG_MAX;

/* ---- what all types use ---- */

void http_complain(struct http_reader *r, const struct http_setting *s, const char *format, ...)
{
    char message[PROBER_FAILURE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    yaml_problem(r->problems, r->doc, s->node, s->key, "%s", message);
}

static void set_key(struct http_setting *s, const char *parent, const char *name)
{
    snprintf(s->key, sizeof(s->key), "%.180s%s%.60s", parent, *parent ? "." : "", name);
}

void http_complain_of(struct http_reader *r, const struct http_setting *s, const char *name,
                      const char *format, ...)
{
    const struct yaml_node *node = yaml_get(s->node, name);
    const struct http_setting *parent = s;
    struct http_setting where;
    char message[PROBER_FAILURE_MAX];
    va_list args;

    if (!node && r->client.node && yaml_get(r->client.node, name)) {
        parent = &r->client;
        node = yaml_get(r->client.node, name);
    }
    where.node = node ? node : s->node;
    set_key(&where, parent->key, name);
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    http_complain(r, &where, "%s", message);
}

struct http_setting http_setting_at(const struct http_setting *mapping, size_t i)
{
    struct http_setting s = {.node = yaml_value(mapping->node, i)};

    set_key(&s, mapping->key, yaml_text(yaml_key(mapping->node, i)));
    return s;
}

struct http_setting http_setting_item(const struct http_setting *sequence, size_t i)
{
    struct http_setting s = {.node = yaml_item(sequence->node, i)};

    snprintf(s.key, sizeof(s.key), "%.230s[%zu]", sequence->key, i);
    return s;
}

void *http_take(struct http_reader *r, size_t count, size_t size)
{
    void *taken = arena_array(r->memory, count, size);

    if (taken)
        memset(taken, 0, count * size);
    else
        r->no_memory = true;
    return taken;
}

static char *copy(struct http_reader *r, const char *bytes, size_t len)
{
    char *text = http_take(r, len + 1, 1);

    if (text)
        memcpy(text, bytes, len);
    return text;
}

const char *http_text(struct http_reader *r, const struct http_setting *s, size_t max)
{
    const char *text = yaml_text(s->node);

    if (yaml_kind(s->node) != YAML_SCALAR)
        http_complain(r, s, "expected a text");
    else if (yaml_len(s->node) > max)
        http_complain(r, s, "longer than %zu bytes", max);
    else if (strlen(text) != yaml_len(s->node))
        http_complain(r, s, "a text without NUL characters is expected");
    else
        return copy(r, text, yaml_len(s->node));
    return NULL;
}

const char *http_header_text(struct http_reader *r, const struct http_setting *s)
{
    const char *text = yaml_is_null(s->node) ? copy(r, "", 0) : http_text(r, s, HTTP_SPEC_TEXT_MAX);

    for (const char *c = text; c && *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            http_complain(r, s, "a header line has no line breaks and no control characters");
            return NULL;
        }
    return text;
}

bool http_is_token(const char *text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return *text && text[strspn(text, marks)] == '\0';
}

bool http_check_regexp(struct http_reader *r, const struct http_setting *s, const char *pattern)
{
    struct prober_failure why;
    struct regex *regex = NULL;
    enum prober_error err = regex_create(&regex, pattern, &why);

    regex_destroy(regex);
    if (err == PROBER_ERR_NOMEM)
        r->no_memory = true;
    else if (err)
        http_complain(r, s, "not a regular expression: %s", why.text);
    return !err;
}

/* ---- writing ---- */

/* Escapes what YAML folds, strips or refuses in a quoted text, beside what JSON escapes. */
void http_put_text(const struct http_writer *w, const char *text, size_t len)
{
    strbuf_putc(w->out, '"');
    while (len > 0) {
        uint32_t rune = 0xfffd;
        size_t used = utf8_decode(text, len, &rune);

        if (rune == '"' || rune == '\\')
            strbuf_printf(w->out, "\\%c", (char)rune);
        else if (!utf8_is_shown_safely(rune) || rune == 0xfffe || rune == 0xffff)
            strbuf_printf(w->out, "\\u%04x", (unsigned)rune);
        else
            strbuf_put(w->out, text, used);
        used = used ? used : 1;
        text += used;
        len -= used;
    }
    strbuf_putc(w->out, '"');
}

void http_put_secret(const struct http_writer *w, const char *text)
{
    const char *shown = w->with_secrets ? text : HTTP_SPEC_SECRET_MASK;

    http_put_text(w, shown, strlen(shown));
}

/* ---- truth values ---- */

static void read_bool(struct http_reader *r, const struct http_setting *s,
                      const struct http_key *key, void *field)
{
    (void)key;
    if (yaml_bool(s->node, field))
        http_complain(r, s, "expected true or false");
}

static bool put_bool(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const bool *initial = key->detail, *value = field;

    strbuf_puts(w->out, *value ? "true" : "false");
    return *value != (initial && *initial);
}

const struct http_type http_type_bool = {read_bool, put_bool};

/* ---- texts ---- */

static void read_text(struct http_reader *r, const struct http_setting *s,
                      const struct http_key *key, void *field)
{
    const size_t *max = key->detail;
    const char *text = http_text(r, s, max ? *max : HTTP_SPEC_TEXT_MAX);

    *(const char **)field = text && *text ? text : NULL;
}

static bool put_text(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const char *text = *(const char *const *)field;

    (void)key;
    if (text)
        http_put_text(w, text, strlen(text));
    return text != NULL;
}

static bool put_secret(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const char *text = *(const char *const *)field;

    (void)key;
    if (text)
        http_put_secret(w, text);
    return text != NULL;
}

static void read_header_text(struct http_reader *r, const struct http_setting *s,
                             const struct http_key *key, void *field)
{
    const char *text = http_header_text(r, s);

    (void)key;
    *(const char **)field = text && *text ? text : NULL;
}

/* An empty token stands for the default. */
static void read_token(struct http_reader *r, const struct http_setting *s,
                       const struct http_key *key, void *field)
{
    const char *text = http_text(r, s, HTTP_SPEC_NAME_MAX);

    (void)key;
    if (text && *text && !http_is_token(text))
        http_complain(r, s, "expected one word of letters, digits and !#$%%&'*+-.^_`|~");
    else if (text && *text)
        *(const char **)field = text;
}

static bool put_method(const struct http_writer *w, const struct http_key *key, const void *field)
{
    return put_text(w, key, field) && strcmp(*(const char *const *)field, "GET") != 0;
}

static void read_regexp(struct http_reader *r, const struct http_setting *s,
                        const struct http_key *key, void *field)
{
    read_text(r, s, key, field);
    if (*(const char **)field)
        http_check_regexp(r, s, *(const char **)field);
}

const struct http_type http_type_text = {read_text, put_text};
const struct http_type http_type_secret = {read_text, put_secret};
const struct http_type http_type_token = {read_token, put_method};
const struct http_type http_type_header_text = {read_header_text, put_text};
const struct http_type http_type_header_secret = {read_header_text, put_secret};
const struct http_type http_type_regexp = {read_regexp, put_text};

/* A body may hold NUL. */
static void read_body(struct http_reader *r, const struct http_setting *s,
                      const struct http_key *key, void *field)
{
    struct http_spec *spec = field;
    size_t len = yaml_len(s->node);

    (void)key;
    if (yaml_kind(s->node) != YAML_SCALAR) {
        http_complain(r, s, "expected a text");
    } else if (len > HTTP_SPEC_LONG_MAX) {
        http_complain(r, s, "longer than %u bytes", HTTP_SPEC_LONG_MAX);
    } else if (len > 0) {
        spec->body = copy(r, yaml_text(s->node), len);
        spec->body_len = spec->body ? len : 0;
    }
}

static bool put_body(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_spec *spec = field;

    (void)key;
    if (spec->body)
        http_put_text(w, spec->body, spec->body_len);
    return spec->body != NULL;
}

const struct http_type http_type_body = {read_body, put_body};

/* ---- URLs ---- */

static const char *find_scheme(const char *text, const struct http_schemes *schemes)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes->names) && schemes->names[i]; i++)
        if (strncasecmp(text, schemes->names[i], strlen(schemes->names[i])) == 0)
            return schemes->names[i];
    return NULL;
}

static enum prober_error check_url(struct http_reader *r, const char *text, const char *scheme,
                                   struct prober_failure *why)
{
    size_t rest = strlen(text) - strlen(scheme);
    char *as_http = http_take(r, sizeof("http://") + rest, 1);
    struct http_url url;

    if (!as_http)
        return PROBER_OK; /* the reader knows */
    memcpy(as_http, "http://", strlen("http://"));
    memcpy(as_http + strlen("http://"), text + strlen(scheme), rest);
    return http_url_parse(as_http, &url, why);
}

static void read_url(struct http_reader *r, const struct http_setting *s,
                     const struct http_key *key, void *field)
{
    const struct http_schemes *schemes = key->detail;
    const char *text = http_text(r, s, HTTP_URL_MAX), *scheme;
    struct prober_failure why;

    if (!text || !*text)
        return;
    scheme = find_scheme(text, schemes);
    if (!scheme)
        http_complain(r, s, "expected a URL that begins with %s", schemes->expected);
    else if (check_url(r, text, scheme, &why))
        http_complain(r, s, "not a URL: %s", why.text);
    else
        *(const char **)field = text;
}

static bool put_url(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const char *text = *(const char *const *)field;
    const char *authority = text ? strstr(text, "://") : NULL;
    const char *host = authority ? authority + 3 + strcspn(authority + 3, "/?#") : NULL;
    struct strbuf masked = STRBUF_INIT;

    (void)key;
    if (!authority)
        return false;
    while (host > authority && *host != '@')
        host--;
    if (w->with_secrets || *host != '@') {
        http_put_text(w, text, strlen(text));
        return true;
    }
    strbuf_put(&masked, text, (size_t)(authority + 3 - text));
    strbuf_printf(&masked, "%s%s", HTTP_SPEC_SECRET_MASK, host);
    if (strbuf_ok(&masked))
        http_put_text(w, masked.bytes, masked.len);
    else
        w->out->failed = true;
    strbuf_free(&masked);
    return true;
}

const struct http_type http_type_url = {read_url, put_url};

/* ---- choices ---- */

static void read_choice(struct http_reader *r, const struct http_setting *s,
                        const struct http_key *key, void *field)
{
    const struct http_choices *choices = key->detail;
    const char *text = yaml_text(s->node);
    int (*compare)(const char *, const char *) = choices->any_case ? strcasecmp : strcmp;

    if (yaml_kind(s->node) == YAML_SCALAR && strlen(text) == yaml_len(s->node))
        for (size_t i = 0; i < ARRAY_LEN(choices->names) && choices->names[i].name; i++)
            if (compare(text, choices->names[i].name) == 0) {
                *(unsigned *)field = choices->names[i].value;
                return;
            }
    http_complain(r, s, "expected %s", choices->expected);
}

static bool put_choice(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_choices *choices = key->detail;
    unsigned value = *(const unsigned *)field;

    for (size_t i = 0; i < ARRAY_LEN(choices->names) && choices->names[i].name; i++)
        if (choices->names[i].value == value) {
            strbuf_printf(w->out, "\"%s\"", choices->names[i].name);
            break;
        }
    return value != choices->initial;
}

const struct http_type http_type_choice = {read_choice, put_choice};

/* ---- sizes ---- */

/* Takes "10.5" off *text; false when no digit stands there. */
static bool take_decimal(const char **text, long double *out)
{
    long double unit = 1;
    size_t digits = 0;
    bool fraction = false;

    *out = 0;
    for (; (**text >= '0' && **text <= '9') || (**text == '.' && !fraction); (*text)++) {
        if (**text == '.') {
            fraction = true;
            continue;
        }
        digits++;
        unit /= fraction ? 10 : 1;
        *out = fraction ? *out + (**text - '0') * unit : *out * 10 + (**text - '0');
    }
    return digits > 0;
}

/* Takes a unit off *text: B, or K, M, G, T, P, E with B or iB, all powers of 1024. */
static bool take_unit(const char **text, long double *out)
{
    static const char prefixes[] = "KMGTPE";
    const char *prefix = **text ? strchr(prefixes, **text) : NULL;

    *out = 1;
    for (const char *p = prefixes; prefix && p <= prefix; p++)
        *out *= 1024;
    *text += prefix ? 1 + (strncmp(*text + 1, "iB", 2) == 0) : 0;
    return *(*text)++ == 'B';
}

/* Reads "1MB", "1.5KiB", "1GB512MB", "0"; what is negative means no limit, as 0 does. */
static enum prober_error parse_size(const char *text, uint64_t *out)
{
    bool negative = *text == '-';
    long double total = 0, number, unit;

    text += *text == '-' || *text == '+';
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return PROBER_OK;
    }
    do {
        if (!take_decimal(&text, &number) || !take_unit(&text, &unit))
            return PROBER_ERR_SYNTAX;
        total += number * unit;
    } while (*text);
    if (total >= 9223372036854775808.0L)
        return PROBER_ERR_RANGE;
    *out = negative ? 0 : (uint64_t)total;
    return PROBER_OK;
}

static void read_size(struct http_reader *r, const struct http_setting *s,
                      const struct http_key *key, void *field)
{
    enum prober_error err = PROBER_ERR_SYNTAX;

    (void)key;
    if (yaml_kind(s->node) == YAML_SCALAR && strlen(yaml_text(s->node)) == yaml_len(s->node))
        err = parse_size(yaml_text(s->node), field);
    if (err == PROBER_ERR_SYNTAX)
        http_complain(r, s, "expected bytes with a unit, such as 512B, 64KB or 10MB");
    else if (err)
        http_complain(r, s, "%s", prober_error_text(err));
}

static bool put_size(const struct http_writer *w, const struct http_key *key, const void *field)
{
    uint64_t bytes = *(const uint64_t *)field;

    (void)key;
    strbuf_printf(w->out, "\"%lluB\"", (unsigned long long)bytes);
    return bytes != 0;
}

const struct http_type http_type_size = {read_size, put_size};

/* ---- what is refused ---- */

static void read_refused(struct http_reader *r, const struct http_setting *s,
                         const struct http_key *key, void *field)
{
    (void)field;
    http_complain(r, s, "not supported: %s", (const char *)key->detail);
}

static void read_refused_true(struct http_reader *r, const struct http_setting *s,
                              const struct http_key *key, void *field)
{
    bool wanted = false;

    if (yaml_bool(s->node, &wanted))
        http_complain(r, s, "expected true or false");
    else if (wanted)
        read_refused(r, s, key, field);
}

const struct http_type http_type_refused = {read_refused, NULL};
const struct http_type http_type_refused_true = {read_refused_true, NULL};
