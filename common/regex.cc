extern "C" {
#include "common/regex.h"
#include "common/utf8.h"
}

#include <re2/re2.h>

#include <cstdlib>
#include <cstring>
#include <new>

struct regex {
    re2::RE2 program;

    regex(const char *pattern, const re2::RE2::Options &options) : program(pattern, options)
    {
    }
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* RE2 knows \C, a single byte of a character; Go's regexp does not. */
static bool has_byte_class(const char *pattern)
{
    for (const char *p = pattern; *p; p++) {
        if (p[0] != '\\')
            continue;
        if (p[1] == 'C')
            return true;
        if (p[1] == 'Q') {
            p = strstr(p, "\\E");
            if (!p)
                return false;
        }
        if (p[1])
            p++;
    }
    return false;
}

static enum prober_error tell_fault(const re2::RE2 &program, struct prober_failure *why)
{
    const bool large = program.error_code() == re2::RE2::ErrorPatternTooLarge;

    return prober_fail(why, large ? PROBER_ERR_RANGE : PROBER_ERR_SYNTAX, "%s",
                       program.error().c_str());
}

enum prober_error regex_create(struct regex **out, const char *pattern, struct prober_failure *why)
{
    re2::RE2::Options options;
    struct regex *r;

    if (strlen(pattern) > REGEX_PATTERN_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "longer than %d bytes", REGEX_PATTERN_MAX);
    if (has_byte_class(pattern))
        return prober_fail(why, PROBER_ERR_SYNTAX, "invalid escape sequence: \\C");
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(REGEX_MEMORY_MAX);
    r = new (std::nothrow) regex(pattern, options);
    if (!r)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    if (!r->program.ok()) {
        const enum prober_error err = tell_fault(r->program, why);

        delete r;
        return err;
    }
    *out = r;
    return PROBER_OK;
}

/* The length of the ASCII and other valid UTF-8 that bytes[len] starts with. */
static size_t valid_length(const char *bytes, size_t len)
{
    size_t at = 0;
    uint32_t rune;

    while (at < len) {
        uint64_t eight;
        size_t used;

        if (len - at >= sizeof(eight)) {
            memcpy(&eight, bytes + at, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        used = utf8_decode(bytes + at, len - at, &rune);
        if (used == 0)
            break;
        at += used;
    }
    return at;
}

static char *put(char *to, const char *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

/* Writes bytes[len] with replacements to `to`, which may be NULL; returns the length. */
static size_t replace_invalid(char *to, const char *bytes, size_t len)
{
    const size_t width = sizeof(replacement) - 1;
    size_t total = 0;

    while (len > 0) {
        const size_t valid = valid_length(bytes, len);

        if (to)
            to = put(to, bytes, valid);
        total += valid;
        bytes += valid;
        len -= valid;
        if (len == 0)
            break;
        if (to)
            to = put(to, replacement, width);
        total += width;
        bytes++;
        len--;
    }
    return total;
}

enum prober_error regex_subject_init(struct regex_subject *s, const char *bytes, size_t len)
{
    *s = regex_subject{bytes, len, nullptr};
    if (valid_length(bytes, len) == len)
        return PROBER_OK;
    s->len = replace_invalid(nullptr, bytes, len);
    s->copy = static_cast<char *>(malloc(s->len));
    if (!s->copy) {
        *s = regex_subject{"", 0, nullptr};
        return PROBER_ERR_NOMEM;
    }
    replace_invalid(s->copy, bytes, len);
    s->bytes = s->copy;
    return PROBER_OK;
}

bool regex_matches(const struct regex *r, const struct regex_subject *s)
{
    return r->program.Match(re2::StringPiece(s->bytes, s->len), 0, s->len, re2::RE2::UNANCHORED,
                            nullptr, 0);
}

void regex_subject_free(struct regex_subject *s)
{
    free(s->copy);
    *s = regex_subject{"", 0, nullptr};
}

void regex_destroy(struct regex *r)
{
    delete r;
}
