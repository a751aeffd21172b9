#include "common/duration.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"

__extension__ typedef unsigned __int128 uint128;

#define NS_PER_M (60 * CLOCK_NS_PER_S)
#define NS_PER_H (60 * NS_PER_M)
#define NS_PER_D (24 * NS_PER_H)

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {
    {"y", 365 * NS_PER_D},   {"w", 7 * NS_PER_D},     {"d", NS_PER_D},
    {"h", NS_PER_H},         {"m", NS_PER_M},         {"s", CLOCK_NS_PER_S},
    {"ms", CLOCK_NS_PER_MS}, {"us", CLOCK_NS_PER_US}, {"ns", 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits into *value and stores how many they were; more than fit count as SIZE_MAX. */
static const char *read_digits(const char *at, uint64_t *value, size_t *count)
{
    const char *start = at;
    bool fits = true;

    for (*value = 0; is_digit(*at); at++) {
        fits = fits && *value <= INT64_MAX / 10; /* ten times that still fits 64 bits */
        if (fits)
            *value = *value * 10 + (uint64_t)(*at - '0');
    }
    *count = fits ? (size_t)(at - start) : SIZE_MAX;
    return at;
}

/* The unit at `at`, looked for from `first` on, as the order of units demands. */
static const struct unit *find_unit(const char *at, size_t len, size_t first)
{
    for (size_t i = first; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, at, len) == 0)
            return &units[i];
    return NULL;
}

/* Stores what the fraction .digits of a unit is in ns; a finer one than that is malformed. */
static enum prober_error scale_fraction(const char *digits, size_t len, uint64_t unit_ns,
                                        uint64_t *ns)
{
    uint64_t value = 0, scale = 1;

    while (len > 0 && digits[len - 1] == '0')
        len--;
    if (len > 18)
        return PROBER_ERR_SYNTAX;
    for (size_t i = 0; i < len; i++, scale *= 10)
        value = value * 10 + (uint64_t)(digits[i] - '0');
    if ((uint128)value * unit_ns % scale)
        return PROBER_ERR_SYNTAX;
    *ns = (uint64_t)((uint128)value * unit_ns / scale);
    return PROBER_OK;
}

enum prober_error duration_parse(const char *text, uint64_t *ns)
{
    const char *at = text;
    uint128 total = 0;
    size_t next_unit = 0;
    bool too_large = false;

    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return PROBER_OK;
    }
    do {
        const char *fraction = NULL;
        size_t count, fraction_len = 0, unit_len;
        uint64_t value, part_ns = 0;
        const struct unit *unit;

        at = read_digits(at, &value, &count);
        if (count == 0)
            return PROBER_ERR_SYNTAX;
        if (*at == '.') {
            fraction = ++at;
            fraction_len = strspn(at, "0123456789");
            at += fraction_len;
            if (fraction_len == 0)
                return PROBER_ERR_SYNTAX;
        }
        unit_len = strspn(at, "ywdhmsun");
        unit = find_unit(at, unit_len, next_unit);
        if (!unit)
            return PROBER_ERR_SYNTAX;
        at += unit_len;
        next_unit = (size_t)(unit - units) + 1;
        if (fraction && (*at || scale_fraction(fraction, fraction_len, unit->ns, &part_ns)))
            return PROBER_ERR_SYNTAX;
        too_large = too_large || count == SIZE_MAX;
        total += (uint128)value * unit->ns + part_ns;
    } while (*at);
    if (too_large || total > INT64_MAX)
        return PROBER_ERR_RANGE;
    *ns = (uint64_t)total;
    return PROBER_OK;
}

/* Appends value/per of the unit `name` as a decimal; `per` is a power of ten. */
static void format_decimal(char *out, size_t room, uint64_t value, uint64_t per, const char *name)
{
    int len = snprintf(out, room, "%llu", (unsigned long long)(value / per));
    uint64_t rest = value % per;

    if (rest) {
        out[len++] = '.';
        for (; rest; rest = rest * 10 % per)
            out[len++] = (char)('0' + rest * 10 / per);
    }
    snprintf(out + len, room - (size_t)len, "%s", name);
}

char *duration_format(uint64_t ns, char out[DURATION_TEXT_MAX])
{
    size_t len = 0;

    if (ns == 0) {
        strcpy(out, "0s");
        return out;
    }
    for (size_t i = 0; i < ARRAY_LEN(units) && ns > 0; i++) {
        const struct unit *u = &units[i];
        bool by_tens = u->ns <= CLOCK_NS_PER_S;
        /* Years and weeks only where they say it all: 400d reads better than 1y5w. */
        bool whole = u->ns <= NS_PER_D || ns % u->ns == 0;

        if (ns < u->ns && !(by_tens && len > 0))
            continue;
        if (!whole)
            continue;
        if (by_tens) {
            format_decimal(out + len, DURATION_TEXT_MAX - len, ns, u->ns, u->name);
            break;
        }
        len += (size_t)snprintf(out + len, DURATION_TEXT_MAX - len, "%llu%s",
                                (unsigned long long)(ns / u->ns), u->name);
        ns %= u->ns;
    }
    return out;
}
