#include "libprober/http_spec_schema.h"

#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/utf8.h"

/* Headers that the probe itself sets, or that are set by other keys. */
static const char *const reserved_headers[] = {
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
};

static const char *const secret_headers[] = {"Authorization", "Proxy-Authorization", "Cookie"};

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_secret_header(const char *name)
{
    return is_among(name, secret_headers, ARRAY_LEN(secret_headers));
}

/* True when s is of `kind` and holds no more than it may; complains otherwise. */
static bool is_collection(struct http_reader *r, const struct http_setting *s, enum yaml_kind kind,
                          const char *expected)
{
    if (yaml_kind(s->node) != kind)
        http_complain(r, s, "expected %s", expected);
    else if (yaml_count(s->node) > HTTP_SPEC_LIST_MAX)
        http_complain(r, s, "more than %d elements", HTTP_SPEC_LIST_MAX);
    else
        return true;
    return false;
}

static const char *separator(size_t i)
{
    return i ? "," : "";
}

/* ---- status codes ---- */

static void read_codes(struct http_reader *r, const struct http_setting *s,
                       const struct http_key *key, void *field)
{
    struct http_codes *codes = field;

    (void)key;
    if (!is_collection(r, s, YAML_SEQUENCE, "a list of status codes"))
        return;
    codes->items = http_take(r, yaml_count(s->node), sizeof(*codes->items));
    for (size_t i = 0; codes->items && i < yaml_count(s->node); i++) {
        struct http_setting item = http_setting_item(s, i);
        int64_t value = 0;

        if (yaml_int(item.node, &value) || value < INT32_MIN || value > INT32_MAX)
            http_complain(r, &item, "expected a status code");
        codes->items[codes->count++] = (int32_t)value;
    }
}

static bool put_codes(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_codes *codes = field;

    (void)key;
    strbuf_putc(w->out, '[');
    for (size_t i = 0; i < codes->count; i++) {
        strbuf_puts(w->out, separator(i));
        strbuf_put_i64(w->out, codes->items[i]);
    }
    strbuf_putc(w->out, ']');
    return codes->count > 0;
}

const struct http_type http_type_codes = {read_codes, put_codes};

/* ---- lists of texts ---- */

static void read_list(struct http_reader *r, const struct http_setting *s, bool regexps,
                      struct http_texts *texts)
{
    if (!is_collection(r, s, YAML_SEQUENCE, "a list of texts"))
        return;
    texts->items = http_take(r, yaml_count(s->node), sizeof(*texts->items));
    for (size_t i = 0; texts->items && i < yaml_count(s->node); i++) {
        struct http_setting item = http_setting_item(s, i);
        const char *text = NULL;

        if (yaml_is_null(item.node))
            http_complain(r, &item, "expected a text");
        else
            text = http_text(r, &item, HTTP_SPEC_TEXT_MAX);
        if (text && (!regexps || http_check_regexp(r, &item, text)))
            texts->items[texts->count++] = text;
    }
}

static void read_texts(struct http_reader *r, const struct http_setting *s,
                       const struct http_key *key, void *field)
{
    (void)key;
    read_list(r, s, false, field);
}

static bool put_texts(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_texts *texts = field;

    (void)key;
    strbuf_putc(w->out, '[');
    for (size_t i = 0; i < texts->count; i++) {
        strbuf_puts(w->out, separator(i));
        http_put_text(w, texts->items[i], strlen(texts->items[i]));
    }
    strbuf_putc(w->out, ']');
    return texts->count > 0;
}

const struct http_type http_type_texts = {read_texts, put_texts};

/* A single regexp is a list of one. */
static void read_regexps(struct http_reader *r, const struct http_setting *s,
                         const struct http_key *key, void *field)
{
    struct http_texts *texts = field;

    (void)key;
    if (yaml_kind(s->node) != YAML_SCALAR) {
        read_list(r, s, true, texts);
        return;
    }
    texts->items = http_take(r, 1, sizeof(*texts->items));
    if (!texts->items)
        return;
    texts->items[0] = http_text(r, s, HTTP_SPEC_TEXT_MAX);
    texts->count = texts->items[0] && http_check_regexp(r, s, texts->items[0]);
}

const struct http_type http_type_regexps = {read_regexps, put_texts};

/* ---- headers ---- */

/* Room for `more` further headers; NULL, with the reader told, when there is none. */
static struct http_header *grow(struct http_reader *r, struct http_headers *headers, size_t more)
{
    struct http_header *items = http_take(r, headers->count + more, sizeof(*items));

    if (items && headers->count)
        memcpy(items, headers->items, headers->count * sizeof(*items));
    if (items)
        headers->items = items;
    return items;
}

/* The name of the i-th pair of s, or NULL, complained of. */
static const char *header_name(struct http_reader *r, const struct http_setting *s, size_t i)
{
    struct http_setting where = http_setting_at(s, i);
    const char *name;

    where.node = yaml_key(s->node, i);
    name = http_text(r, &where, HTTP_SPEC_NAME_MAX);
    if (name && !http_is_token(name)) {
        http_complain(r, &where, "not the name of a header");
        return NULL;
    }
    return name;
}

static void add(struct http_headers *headers, const char *name, const char *value,
                enum http_value_source source)
{
    if (name && value)
        headers->items[headers->count++] = (struct http_header){name, value, source};
}

static bool has_header(const struct http_headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->count; i++)
        if (strcasecmp(headers->items[i].name, name) == 0)
            return true;
    return false;
}

static void read_header_map(struct http_reader *r, const struct http_setting *s,
                            const struct http_key *key, void *field)
{
    struct http_headers *headers = field;

    (void)key;
    if (!is_collection(r, s, YAML_MAPPING, "header names with their values") ||
        !grow(r, headers, yaml_count(s->node)))
        return;
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i);
        const char *name = header_name(r, s, i);
        bool secret = name && is_secret_header(name);

        if (name && has_header(headers, name))
            http_complain(r, &value, "the same header twice");
        else
            add(headers, name, http_header_text(r, &value),
                secret ? HTTP_VALUE_SECRET : HTTP_VALUE_TEXT);
    }
}

static void put_header_value(const struct http_writer *w, const struct http_header *header)
{
    if (header->source == HTTP_VALUE_SECRET)
        http_put_secret(w, header->value);
    else
        http_put_text(w, header->value, strlen(header->value));
}

static bool put_header_map(const struct http_writer *w, const struct http_key *key,
                           const void *field)
{
    const struct http_headers *headers = field;

    (void)key;
    strbuf_putc(w->out, '{');
    for (size_t i = 0; i < headers->count; i++) {
        strbuf_puts(w->out, separator(i));
        http_put_text(w, headers->items[i].name, strlen(headers->items[i].name));
        strbuf_putc(w->out, ':');
        put_header_value(w, &headers->items[i]);
    }
    strbuf_putc(w->out, '}');
    return headers->count > 0;
}

const struct http_type http_type_header_map = {read_header_map, put_header_map};

/* ---- header lines, several to a name ---- */

/* Adds the values that the list s holds. */
static void read_header_values(struct http_reader *r, const struct http_setting *s,
                               const char *name, enum http_value_source source,
                               struct http_headers *headers)
{
    if (!is_collection(r, s, YAML_SEQUENCE, "a list of texts") ||
        !grow(r, headers, yaml_count(s->node)))
        return;
    if (source == HTTP_VALUE_TEXT && is_secret_header(name))
        source = HTTP_VALUE_SECRET;
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting item = http_setting_item(s, i);
        const char *value = http_header_text(r, &item);

        if (source == HTTP_VALUE_FILE && value && !*value)
            http_complain(r, &item, "expected the path of a file");
        add(headers, name, value, source);
    }
}

static const struct header_source {
    const char *name;
    enum http_value_source source;
} header_sources[] = {
    {"values", HTTP_VALUE_TEXT},
    {"secrets", HTTP_VALUE_SECRET},
    {"files", HTTP_VALUE_FILE},
};

static bool is_header_source(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(header_sources); i++)
        if (strcmp(header_sources[i].name, name) == 0)
            return true;
    return false;
}

/* The sources count in the order of the table, wherever the file has them. */
static void read_header_sources(struct http_reader *r, const struct http_setting *s,
                                const char *name, struct http_headers *headers)
{
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i);

        if (!is_header_source(yaml_text(yaml_key(s->node, i))))
            http_complain(r, &value, "unknown key; known are values, secrets and files");
    }
    for (size_t i = 0; i < ARRAY_LEN(header_sources); i++)
        for (size_t k = 0; k < yaml_count(s->node); k++) {
            struct http_setting value = http_setting_at(s, k);

            if (strcmp(yaml_text(yaml_key(s->node, k)), header_sources[i].name) == 0 &&
                !yaml_is_null(value.node))
                read_header_values(r, &value, name, header_sources[i].source, headers);
        }
}

static void read_header_lines(struct http_reader *r, const struct http_setting *s,
                              const struct http_key *key, void *field)
{
    (void)key;
    if (!is_collection(r, s, YAML_MAPPING, "header names with values, secrets or files"))
        return;
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i);
        const char *name = header_name(r, s, i);

        if (name && is_among(name, reserved_headers, ARRAY_LEN(reserved_headers)))
            http_complain(r, &value, "this header cannot be set here");
        else if (name && !yaml_is_null(value.node) &&
                 is_collection(r, &value, YAML_MAPPING, "the keys values, secrets or files"))
            read_header_sources(r, &value, name, field);
    }
}

/* Writes the lines from `first` on that have its name and source; returns where they end. */
static size_t put_run(const struct http_writer *w, const struct http_headers *headers, size_t first)
{
    const struct http_header *run = &headers->items[first];
    size_t i = first;

    strbuf_putc(w->out, '[');
    for (; i < headers->count && strcmp(headers->items[i].name, run->name) == 0 &&
           headers->items[i].source == run->source;
         i++) {
        strbuf_puts(w->out, separator(i - first));
        put_header_value(w, &headers->items[i]);
    }
    strbuf_putc(w->out, ']');
    return i;
}

static bool put_header_lines(const struct http_writer *w, const struct http_key *key,
                             const void *field)
{
    const struct http_headers *headers = field;

    (void)key;
    strbuf_putc(w->out, '{');
    for (size_t i = 0; i < headers->count;) {
        const char *name = headers->items[i].name;

        strbuf_puts(w->out, separator(i));
        http_put_text(w, name, strlen(name));
        for (size_t first = i; i < headers->count && strcmp(headers->items[i].name, name) == 0;) {
            strbuf_printf(w->out, "%s\"%s\":", i == first ? ":{" : ",",
                          header_sources[headers->items[i].source].name);
            i = put_run(w, headers, i);
        }
        strbuf_putc(w->out, '}');
    }
    strbuf_putc(w->out, '}');
    return headers->count > 0;
}

const struct http_type http_type_header_lines = {read_header_lines, put_header_lines};

static void read_secret_lists(struct http_reader *r, const struct http_setting *s,
                              const struct http_key *key, void *field)
{
    (void)key;
    if (!is_collection(r, s, YAML_MAPPING, "header names with lists of values"))
        return;
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i);
        const char *name = header_name(r, s, i);

        if (name && !yaml_is_null(value.node))
            read_header_values(r, &value, name, HTTP_VALUE_SECRET, field);
    }
}

static bool put_secret_lists(const struct http_writer *w, const struct http_key *key,
                             const void *field)
{
    const struct http_headers *headers = field;

    (void)key;
    strbuf_putc(w->out, '{');
    for (size_t i = 0; i < headers->count;) {
        strbuf_puts(w->out, separator(i));
        http_put_text(w, headers->items[i].name, strlen(headers->items[i].name));
        strbuf_putc(w->out, ':');
        i = put_run(w, headers, i);
    }
    strbuf_putc(w->out, '}');
    return headers->count > 0;
}

const struct http_type http_type_secret_header_lists = {read_secret_lists, put_secret_lists};

/* ---- parameters of a form ---- */

static bool is_shown_safely(const char *text)
{
    for (size_t len = strlen(text); len > 0;) {
        uint32_t rune;
        size_t used = utf8_decode(text, len, &rune);

        if (used == 0 || !utf8_is_shown_safely(rune))
            return false;
        text += used;
        len -= used;
    }
    return true;
}

static void read_params(struct http_reader *r, const struct http_setting *s,
                        const struct http_key *key, void *field)
{
    struct http_headers *params = field;

    (void)key;
    if (!is_collection(r, s, YAML_MAPPING, "names with their values") ||
        !grow(r, params, yaml_count(s->node)))
        return;
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i), where = value;
        const char *name;

        where.node = yaml_key(s->node, i);
        name = http_text(r, &where, HTTP_SPEC_NAME_MAX);
        if (name && (!*name || !is_shown_safely(name)))
            http_complain(r, &where, "not the name of a parameter");
        else
            add(params, name,
                yaml_is_null(value.node) ? "" : http_text(r, &value, HTTP_SPEC_TEXT_MAX),
                HTTP_VALUE_SECRET);
    }
}

const struct http_type http_type_secret_params = {read_params, put_header_map};

/* ---- conditions on headers ---- */

static void check_match(struct http_reader *r, const struct http_setting *s, void *fields)
{
    const struct http_header_match *match = fields;

    if (!match->header)
        http_complain_of(r, s, "header", "the name of a header is missing");
    if (!match->regexp)
        http_complain_of(r, s, "regexp", "a regular expression is missing");
}

static const struct http_key match_keys[] = {
    {"header", &http_type_header_text, offsetof(struct http_header_match, header), NULL},
    {"regexp", &http_type_regexp, offsetof(struct http_header_match, regexp), NULL},
    {"allow_missing", &http_type_bool, offsetof(struct http_header_match, allow_missing), NULL},
};

static const struct http_block match_block = {match_keys, ARRAY_LEN(match_keys), 0, check_match};

static void read_matches(struct http_reader *r, const struct http_setting *s,
                         const struct http_key *key, void *field)
{
    struct http_header_matches *matches = field;

    (void)key;
    if (!is_collection(r, s, YAML_SEQUENCE, "a list of header, regexp and allow_missing"))
        return;
    matches->items = http_take(r, yaml_count(s->node), sizeof(*matches->items));
    for (size_t i = 0; matches->items && i < yaml_count(s->node); i++) {
        struct http_setting item = http_setting_item(s, i);

        if (is_collection(r, &item, YAML_MAPPING, "the keys header, regexp and allow_missing"))
            http_read_block(r, &item, &match_block, &matches->items[matches->count++]);
    }
}

static bool put_matches(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_header_matches *matches = field;
    struct http_writer on_one_line = *w;

    (void)key;
    on_one_line.indent = 0;
    strbuf_putc(w->out, '[');
    for (size_t i = 0; i < matches->count; i++) {
        strbuf_printf(w->out, "%s{", separator(i));
        http_put_keys(&on_one_line, match_keys, ARRAY_LEN(match_keys), &matches->items[i]);
        strbuf_putc(w->out, '}');
    }
    strbuf_putc(w->out, ']');
    return matches->count > 0;
}

const struct http_type http_type_header_matches = {read_matches, put_matches};
