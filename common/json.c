#include "common/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/utf8.h"

#define EXACT_INTEGER_END 9007199254740992.0 /* 2^53 */
#define TYPE_FAILED (1 << 16)                /* our bit in cJSON's type: a child is missing */

/* A struct json is a cJSON: the name only hides the library. */
static cJSON *open_value(const struct json *value)
{
    return (cJSON *)(uintptr_t)value;
}

static struct json *hide(cJSON *item)
{
    return (struct json *)item;
}

/* ---- strict grammar (RFC 8259), before cJSON's lenient one ---- */

struct scanner {
    const char *text;
    size_t len, at;
    const char *fault; /* NULL: none yet */
};

static bool scan_value(struct scanner *s, int depth);

static bool fault(struct scanner *s, const char *what)
{
    if (!s->fault)
        s->fault = what;
    return false;
}

static int peek(const struct scanner *s)
{
    return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->len && memchr(" \t\r\n", s->text[s->at], 4))
        s->at++;
}

static bool scan_literal(struct scanner *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return fault(s, "expected a value");
    s->at += len;
    return true;
}

static size_t scan_digits(struct scanner *s)
{
    size_t start = s->at;

    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - start;
}

static bool scan_number(struct scanner *s)
{
    size_t start;

    if (peek(s) == '-')
        s->at++;
    start = s->at;
    if (scan_digits(s) == 0 || (s->text[start] == '0' && s->at - start > 1))
        return fault(s, "malformed number");
    if (peek(s) == '.') {
        s->at++;
        if (scan_digits(s) == 0)
            return fault(s, "malformed number");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (scan_digits(s) == 0)
            return fault(s, "malformed number");
    }
    return true;
}

/* Reads the four digits of \uNNNN; -1 when they are not four. */
static int32_t scan_hex(struct scanner *s)
{
    char digits[5] = {0};

    if (s->len - s->at < 4)
        return -1;
    memcpy(digits, s->text + s->at, 4);
    if (strspn(digits, "0123456789abcdefABCDEF") != 4)
        return -1;
    s->at += 4;
    return (int32_t)strtol(digits, NULL, 16);
}

/* Reads what follows a backslash. */
static bool scan_escape(struct scanner *s)
{
    int c = peek(s);
    int32_t unit;

    if (c <= 0 || !strchr("\"\\/bfnrtu", c))
        return fault(s, "unknown escape in a string");
    s->at++;
    if (c != 'u')
        return true;
    unit = scan_hex(s);
    if (unit < 0)
        return fault(s, "\\u needs four hexadecimal digits");
    if (unit == 0)
        return fault(s, "\\u0000 is not taken");
    if (unit >= 0xdc00 && unit < 0xe000)
        return fault(s, "half a surrogate pair");
    if (unit < 0xd800 || unit >= 0xe000)
        return true;
    if (s->len - s->at < 6 || memcmp(s->text + s->at, "\\u", 2) != 0)
        return fault(s, "half a surrogate pair");
    s->at += 2;
    unit = scan_hex(s);
    return (unit >= 0xdc00 && unit < 0xe000) || fault(s, "half a surrogate pair");
}

static bool scan_string(struct scanner *s)
{
    if (peek(s) != '"')
        return fault(s, "expected a string");
    s->at++;
    while (peek(s) != '"') {
        uint32_t rune;
        size_t used = utf8_decode(s->text + s->at, s->len - s->at, &rune);

        if (s->at == s->len)
            return fault(s, "a string without an end");
        if (used == 0)
            return fault(s, "not UTF-8");
        if (rune < 0x20)
            return fault(s, "a control character in a string");
        s->at += used;
        if (rune == '\\' && !scan_escape(s))
            return false;
    }
    s->at++;
    return true;
}

/* Reads the elements of an array or the members of an object, up to `end`. */
static bool scan_members(struct scanner *s, char end, int depth)
{
    if (depth >= JSON_DEPTH_MAX)
        return fault(s, "nested too deep");
    s->at++;
    skip_blanks(s);
    if (peek(s) == end) {
        s->at++;
        return true;
    }
    for (;;) {
        if (end == '}') {
            skip_blanks(s);
            if (!scan_string(s))
                return false;
            skip_blanks(s);
            if (peek(s) != ':')
                return fault(s, "expected ':'");
            s->at++;
        }
        if (!scan_value(s, depth + 1))
            return false;
        skip_blanks(s);
        if (peek(s) == end) {
            s->at++;
            return true;
        }
        if (peek(s) != ',')
            return fault(s, end == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        s->at++;
    }
}

static bool scan_value(struct scanner *s, int depth)
{
    skip_blanks(s);
    switch (peek(s)) {
    case '{':
        return scan_members(s, '}', depth);
    case '[':
        return scan_members(s, ']', depth);
    case '"':
        return scan_string(s);
    case 't':
        return scan_literal(s, "true");
    case 'f':
        return scan_literal(s, "false");
    case 'n':
        return scan_literal(s, "null");
    case -1:
        return fault(s, "the text ends where a value should be");
    default:
        if (peek(s) == '-' || (peek(s) >= '0' && peek(s) <= '9'))
            return scan_number(s);
        return fault(s, "expected a value");
    }
}

/* ---- reading ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Looks for a key that an object has twice, here and below. Errors: PROBER_ERR_NOMEM. */
static enum prober_error find_duplicate(const cJSON *value, const char **found)
{
    enum prober_error err = PROBER_OK;
    const char **keys = NULL;
    size_t count = 0;

    for (const cJSON *child = value->child; child && !err && !*found; child = child->next) {
        err = find_duplicate(child, found);
        count++;
    }
    if (err || *found || !cJSON_IsObject(value) || count < 2)
        return err;
    keys = calloc(count, sizeof(*keys));
    if (!keys)
        return PROBER_ERR_NOMEM;
    count = 0;
    for (const cJSON *child = value->child; child; child = child->next)
        keys[count++] = child->string;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < count && !*found; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            *found = keys[i];
    free(keys);
    return PROBER_OK;
}

/* Where the scanner is, from 1. */
static size_t line_of(const struct scanner *s)
{
    size_t line = 1;

    for (size_t i = 0; i < s->at && i < s->len; i++)
        line += s->text[i] == '\n';
    return line;
}

enum prober_error json_parse(struct json **out, const char *text, size_t len,
                             struct prober_failure *why)
{
    struct scanner s = {.text = text, .len = len};
    const char *duplicate = NULL;
    enum prober_error err;
    cJSON *root;

    if (scan_value(&s, 0)) {
        skip_blanks(&s);
        if (s.at < s.len)
            fault(&s, "something follows the value");
    }
    if (s.fault)
        return prober_fail(why, PROBER_ERR_SYNTAX, "JSON, line %zu, byte %zu: %s", line_of(&s),
                           s.at, s.fault);
    root = cJSON_ParseWithLength(text, len);
    if (!root)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory to read JSON");
    err = find_duplicate(root, &duplicate);
    if (duplicate) {
        struct strbuf key = STRBUF_INIT;

        utf8_put_escaped(&key, duplicate, strnlen(duplicate, 200));
        err = prober_fail(why, PROBER_ERR_SYNTAX, "JSON: the key \"%s\" stands twice in an object",
                          strbuf_ok(&key) && key.bytes ? key.bytes : "");
        strbuf_free(&key);
    } else if (err) {
        prober_fail(why, err, "no memory to read JSON");
    }
    if (err)
        cJSON_Delete(root);
    else
        *out = hide(root);
    return err;
}

void json_free(struct json *value)
{
    cJSON_Delete(open_value(value));
}

const struct json *json_get(const struct json *object, const char *key)
{
    return json_is_object(object) ? hide(cJSON_GetObjectItemCaseSensitive(open_value(object), key))
                                  : NULL;
}

const struct json *json_at(const struct json *array, size_t i)
{
    const struct json *member = json_first(array);

    while (member && i-- > 0)
        member = json_next(member);
    return member;
}

size_t json_count(const struct json *array_or_object)
{
    size_t count = 0;

    for (const struct json *m = json_first(array_or_object); m; m = json_next(m))
        count++;
    return count;
}

const char *json_key(const struct json *object, size_t i)
{
    return json_name(json_at(object, i));
}

const struct json *json_first(const struct json *array_or_object)
{
    return array_or_object ? hide(open_value(array_or_object)->child) : NULL;
}

const struct json *json_next(const struct json *member)
{
    return member ? hide(open_value(member)->next) : NULL;
}

const char *json_name(const struct json *member)
{
    return member ? open_value(member)->string : NULL;
}

bool json_is_null(const struct json *value)
{
    return cJSON_IsNull(open_value(value));
}

bool json_is_object(const struct json *value)
{
    return cJSON_IsObject(open_value(value));
}

bool json_is_array(const struct json *value)
{
    return cJSON_IsArray(open_value(value));
}

const char *json_string(const struct json *value)
{
    return cJSON_GetStringValue(open_value(value));
}

enum prober_error json_number(const struct json *value, double *out)
{
    if (!cJSON_IsNumber(open_value(value)) || !isfinite(open_value(value)->valuedouble))
        return PROBER_ERR_SYNTAX;
    *out = open_value(value)->valuedouble;
    return PROBER_OK;
}

enum prober_error json_u64(const struct json *value, uint64_t *out)
{
    const char *text = json_string(value);
    double number;

    if (text) {
        unsigned long long whole;

        if (!*text || strspn(text, "0123456789") != strlen(text))
            return PROBER_ERR_SYNTAX;
        errno = 0;
        whole = strtoull(text, NULL, 10);
        if (errno)
            return PROBER_ERR_SYNTAX;
        *out = whole;
        return PROBER_OK;
    }
    if (json_number(value, &number) || number < 0 || number >= EXACT_INTEGER_END ||
        number != floor(number))
        return PROBER_ERR_SYNTAX;
    *out = (uint64_t)number;
    return PROBER_OK;
}

enum prober_error json_bool(const struct json *value, bool *out)
{
    if (!cJSON_IsBool(open_value(value)))
        return PROBER_ERR_SYNTAX;
    *out = cJSON_IsTrue(open_value(value));
    return PROBER_OK;
}

/* ---- making ---- */

struct json *json_object(void)
{
    return hide(cJSON_CreateObject());
}

struct json *json_array(void)
{
    return hide(cJSON_CreateArray());
}

/* After an addition: what could not be added makes its parent fail, and is not leaked. */
static void note_added(struct json *parent, struct json *value, bool added)
{
    if (added)
        return;
    if (parent)
        open_value(parent)->type |= TYPE_FAILED;
    json_free(value);
}

void json_add(struct json *object, const char *key, struct json *value)
{
    note_added(object, value, cJSON_AddItemToObject(open_value(object), key, open_value(value)));
}

void json_append(struct json *array, struct json *value)
{
    note_added(array, value, cJSON_AddItemToArray(open_value(array), open_value(value)));
}

struct json *json_new_string(const char *text)
{
    return hide(cJSON_CreateString(text));
}

struct json *json_new_double(double value)
{
    return hide(isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

struct json *json_new_u64(uint64_t value)
{
    struct strbuf text = STRBUF_INIT;
    struct json *made;

    if ((double)value < EXACT_INTEGER_END)
        return hide(cJSON_CreateNumber((double)value));
    strbuf_put_u64(&text, value);
    made = strbuf_ok(&text) ? json_new_string(text.bytes) : NULL;
    strbuf_free(&text);
    return made;
}

struct json *json_new_bool(bool value)
{
    return hide(cJSON_CreateBool(value));
}

struct json *json_new_null(void)
{
    return hide(cJSON_CreateNull());
}

void json_add_string(struct json *object, const char *key, const char *text)
{
    json_add(object, key, json_new_string(text));
}

void json_add_double(struct json *object, const char *key, double value)
{
    json_add(object, key, json_new_double(value));
}

void json_add_u64(struct json *object, const char *key, uint64_t value)
{
    json_add(object, key, json_new_u64(value));
}

void json_add_bool(struct json *object, const char *key, bool value)
{
    json_add(object, key, json_new_bool(value));
}

void json_add_null(struct json *object, const char *key)
{
    json_add(object, key, json_new_null());
}

/* ---- printing: cJSON's own would round numbers ---- */

static void put_rune(struct strbuf *out, const char *bytes, size_t used, uint32_t rune)
{
    static const char letters[] = "b\bf\fn\nr\rt\t\"\"\\\\";

    for (size_t i = 1; i < sizeof(letters); i += 2)
        if ((uint32_t)letters[i] == rune) {
            strbuf_putc(out, '\\');
            strbuf_putc(out, letters[i - 1]);
            return;
        }
    if (utf8_is_shown_safely(rune))
        strbuf_put(out, bytes, used);
    else
        strbuf_printf(out, "\\u%04x", rune);
}

void json_put_string(struct strbuf *out, const char *text, size_t len)
{
    strbuf_putc(out, '"');
    while (len > 0) {
        uint32_t rune;
        size_t used = utf8_decode(text, len, &rune);

        if (used == 0) {
            strbuf_puts(out, "\\ufffd");
            used = 1;
        } else {
            put_rune(out, text, used, rune);
        }
        text += used;
        len -= used;
    }
    strbuf_putc(out, '"');
}

static void put_break(struct strbuf *out, bool indented, int depth)
{
    if (!indented)
        return;
    strbuf_putc(out, '\n');
    while (depth-- > 0)
        strbuf_puts(out, "  ");
}

/* False when something below is missing. */
static bool put_value(struct strbuf *out, const cJSON *value, bool indented, int depth)
{
    bool is_object = cJSON_IsObject(value);

    if (value->type & TYPE_FAILED)
        return false;
    if (cJSON_IsString(value)) {
        json_put_string(out, value->valuestring, strlen(value->valuestring));
    } else if (cJSON_IsNumber(value)) {
        if (isfinite(value->valuedouble))
            strbuf_put_double(out, value->valuedouble);
        else
            strbuf_puts(out, "null"); /* read from a number that no double holds: 1e999 */
    } else if (is_object || cJSON_IsArray(value)) {
        strbuf_putc(out, is_object ? '{' : '[');
        for (const cJSON *child = value->child; child; child = child->next) {
            put_break(out, indented, depth + 1);
            if (is_object) {
                json_put_string(out, child->string, strlen(child->string));
                strbuf_puts(out, indented ? ": " : ":");
            }
            if (!put_value(out, child, indented, depth + 1))
                return false;
            if (child->next)
                strbuf_putc(out, ',');
        }
        if (value->child)
            put_break(out, indented, depth);
        strbuf_putc(out, is_object ? '}' : ']');
    } else {
        strbuf_puts(out, cJSON_IsNull(value) ? "null" : cJSON_IsTrue(value) ? "true" : "false");
    }
    return true;
}

char *json_print(const struct json *value, bool indented)
{
    struct strbuf out = STRBUF_INIT;

    if (!value || !put_value(&out, open_value(value), indented, 0)) {
        strbuf_free(&out);
        return NULL;
    }
    return strbuf_take(&out, NULL);
}
