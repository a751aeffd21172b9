#include "common/number.h"

#include <stddef.h>
#include <string.h>

#include "common/array.h"

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

static unsigned base_of(const char *prefix)
{
    static const char letters[] = "xXoObB";
    static const unsigned bases[] = {16, 16, 8, 8, 2, 2};
    const char *at = prefix[0] == '0' && prefix[1] ? strchr(letters, prefix[1]) : NULL;

    return at ? bases[at - letters] : 10;
}

/* Reads digits up to the end of the text, or to the first other character when `end` is given. */
static enum prober_error read_digits(const char *text, unsigned base, uint64_t *out,
                                     const char **end)
{
    uint64_t value = 0;
    bool fits = true;
    const char *at = text;

    for (; digit_value(*at) < (int)base; at++) {
        uint64_t digit = (uint64_t)digit_value(*at);

        fits = fits && value <= (UINT64_MAX - digit) / base;
        value = fits ? value * base + digit : 0;
    }
    if (at == text || (*at && !end) || (base == 10 && *text == '0' && at - text > 1))
        return PROBER_ERR_SYNTAX;
    if (end)
        *end = at;
    if (!fits)
        return PROBER_ERR_RANGE;
    *out = value;
    return PROBER_OK;
}

enum prober_error number_parse_i64(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    unsigned base = base_of(digits);
    uint64_t magnitude;
    enum prober_error err = read_digits(digits + (base == 10 ? 0 : 2), base, &magnitude, NULL);

    if (err)
        return err;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return PROBER_ERR_RANGE;
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return PROBER_OK;
}

enum prober_error number_parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"0",     "1",    "f",     "t",    "F",     "T",
                                        "false", "true", "False", "True", "FALSE", "TRUE"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return PROBER_OK;
        }
    return PROBER_ERR_SYNTAX;
}

enum prober_error number_parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    const char *at, *unit;
    unsigned shift = 0;
    uint64_t value = 0;
    enum prober_error err = read_digits(text, 10, &value, &at);

    if (err == PROBER_ERR_SYNTAX)
        return err;
    unit = *at ? strchr(units, *at) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        at++;
        if (at[0] == 'i' && at[1] == 'B')
            at++;
    }
    if (*at == 'B')
        at++;
    if (*at)
        return PROBER_ERR_SYNTAX;
    if (err || value > (uint64_t)INT64_MAX >> shift)
        return PROBER_ERR_RANGE;
    *out = value << shift;
    return PROBER_OK;
}
