#include "common/strbuf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRBUF_ROOM_MIN 64
#define DOUBLE_EXACT_MAX 9007199254740992.0 /* 2^53: up to here every integer is a double */
#define DOUBLE_TEXT_MAX 32

__extension__ typedef unsigned __int128 uint128;

void strbuf_reserve(struct strbuf *b, size_t more)
{
    size_t room = b->room ? b->room : STRBUF_ROOM_MIN;
    char *bytes;

    if (b->failed || more < b->room - b->len)
        return;
    if (more >= SIZE_MAX / 2 - b->len) {
        b->failed = true;
        return;
    }
    while (room <= b->len + more)
        room *= 2;
    bytes = realloc(b->bytes, room);
    if (!bytes) {
        b->failed = true;
        return;
    }
    b->bytes = bytes;
    b->room = room;
    b->bytes[b->len] = '\0';
}

void strbuf_put(struct strbuf *b, const void *bytes, size_t len)
{
    strbuf_reserve(b, len);
    if (b->failed || len == 0)
        return;
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
    b->bytes[b->len] = '\0';
}

void strbuf_puts(struct strbuf *b, const char *text)
{
    strbuf_put(b, text, strlen(text));
}

void strbuf_putc(struct strbuf *b, char c)
{
    strbuf_put(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *format, ...)
{
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    if (len < 0)
        b->failed = true;
    else
        strbuf_reserve(b, (size_t)len);
    if (!b->failed) {
        vsnprintf(b->bytes + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

/* Writes the digits of `value` so that they end before `end`; returns where they start. */
static char *digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

void strbuf_put_u64(struct strbuf *b, uint64_t value)
{
    char text[20], *start = digits_before(text + sizeof(text), value);

    strbuf_put(b, start, (size_t)(text + sizeof(text) - start));
}

void strbuf_put_i64(struct strbuf *b, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if (value < 0)
        strbuf_putc(b, '-');
    strbuf_put_u64(b, magnitude);
}

/* Appends digits * 10^exponent; `digits` has no trailing zero. Below 1e-4 as printf's %g does. */
static void put_decimal(struct strbuf *b, uint64_t digits, int exponent)
{
    char text[20], *start = digits_before(text + sizeof(text), digits);
    int len = (int)(text + sizeof(text) - start);
    int point = len + exponent; /* digits before the decimal point */

    if (point < -3) {
        strbuf_putc(b, *start);
        if (len > 1)
            strbuf_putc(b, '.');
        strbuf_put(b, start + 1, (size_t)len - 1);
        strbuf_puts(b, point > -9 ? "e-0" : "e-");
        strbuf_put_u64(b, (uint64_t)(1 - point));
    } else if (point <= 0) {
        strbuf_put(b, "0.000", (size_t)(2 - point));
        strbuf_put(b, start, (size_t)len);
    } else {
        strbuf_put(b, start, (size_t)point);
        strbuf_putc(b, '.');
        strbuf_put(b, start + point, (size_t)(len - point));
    }
}

#define POWER5_MAX 27 /* the last that fits 64 bits, so that products fit 128 */

static uint64_t power5(int k)
{
    static const uint64_t powers[POWER5_MAX + 1] = {UINT64_C(1),
                                                    UINT64_C(5),
                                                    UINT64_C(25),
                                                    UINT64_C(125),
                                                    UINT64_C(625),
                                                    UINT64_C(3125),
                                                    UINT64_C(15625),
                                                    UINT64_C(78125),
                                                    UINT64_C(390625),
                                                    UINT64_C(1953125),
                                                    UINT64_C(9765625),
                                                    UINT64_C(48828125),
                                                    UINT64_C(244140625),
                                                    UINT64_C(1220703125),
                                                    UINT64_C(6103515625),
                                                    UINT64_C(30517578125),
                                                    UINT64_C(152587890625),
                                                    UINT64_C(762939453125),
                                                    UINT64_C(3814697265625),
                                                    UINT64_C(19073486328125),
                                                    UINT64_C(95367431640625),
                                                    UINT64_C(476837158203125),
                                                    UINT64_C(2384185791015625),
                                                    UINT64_C(11920928955078125),
                                                    UINT64_C(59604644775390625),
                                                    UINT64_C(298023223876953125),
                                                    UINT64_C(1490116119384765625),
                                                    UINT64_C(7450580596923828125)};

    return powers[k];
}

/*
 * Appends the shortest decimal of a positive `value` that is no integer and below 2^53; false, with
 * nothing appended, when it is too small for 128-bit arithmetic.
 *
 * All numbers between the midpoints to the neighbouring doubles read back as `value`. Scaled by
 * 10^k so that they have 17 digits or more before the point, that interval holds an integer; then
 * as many trailing digits are dropped as leave an integer inside. (The idea of Steele and White
 * 1990, as in Ryu, Adams 2018, but exact without tables, for the range is small.)
 */
static bool put_fraction(struct strbuf *b, double value)
{
    int e2, k, dropped = 0;
    uint64_t mantissa, low, high, whole, nearest, unit = 1, rest;
    uint128 scaled_low, scaled, scaled_high, mask;
    bool even, boundary;

    mantissa = (uint64_t)ldexp(frexp(value, &e2), 53);
    k = 16 - (int)floor((e2 - 1) * 0.30102999566398120);
    if (k > POWER5_MAX)
        return false;
    e2 -= 53;
    even = mantissa % 2 == 0;
    boundary = mantissa == UINT64_C(1) << 52; /* the lower neighbour is half as far away */

    /* value * 10^k = 4 mantissa * 5^k / 2^shift */
    const int shift = 2 - e2 - k;
    scaled = (uint128)(4 * mantissa) * power5(k);
    scaled_low = (uint128)(4 * mantissa - (boundary ? 1 : 2)) * power5(k);
    scaled_high = (uint128)(4 * mantissa + 2) * power5(k);
    mask = ((uint128)1 << shift) - 1;
    /* A midpoint itself reads back as the even one of its two neighbours. */
    low = (uint64_t)(scaled_low >> shift) + ((scaled_low & mask) != 0 || !even);
    high = (uint64_t)(scaled_high >> shift) - ((scaled_high & mask) == 0 && !even);

    while ((low + 9) / 10 <= high / 10) {
        low = (low + 9) / 10;
        high /= 10;
        unit *= 10;
        dropped++;
    }
    whole = (uint64_t)(scaled >> shift);
    nearest = whole / unit;
    rest = whole % unit;
    if (dropped)
        nearest += rest >= unit / 2;
    else
        nearest += ((scaled & mask) << 1) > mask;
    if (nearest < low)
        nearest = low;
    if (nearest > high)
        nearest = high;
    put_decimal(b, nearest, dropped - k);
    return true;
}

static void put_by_printf(struct strbuf *b, double value)
{
    char text[DOUBLE_TEXT_MAX];

    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    strbuf_puts(b, text);
}

void strbuf_put_double(struct strbuf *b, double value)
{
    if (isnan(value)) {
        strbuf_puts(b, "NaN");
        return;
    }
    if (isinf(value)) {
        strbuf_puts(b, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (signbit(value)) {
        strbuf_putc(b, '-');
        value = -value;
    }
    if (value <= DOUBLE_EXACT_MAX && value == (double)(uint64_t)value)
        strbuf_put_u64(b, (uint64_t)value);
    else if (value > DOUBLE_EXACT_MAX || !put_fraction(b, value))
        put_by_printf(b, value);
}

void strbuf_put_seconds(struct strbuf *b, uint64_t ns)
{
    uint64_t fraction = ns % 1000000000;
    char text[10] = ".000000000";
    size_t len = sizeof(text);

    strbuf_put_u64(b, ns / 1000000000);
    if (fraction == 0)
        return;
    digits_before(text + sizeof(text), fraction);
    while (text[len - 1] == '0')
        len--;
    strbuf_put(b, text, len);
}

void strbuf_clear(struct strbuf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->bytes)
        b->bytes[0] = '\0';
}

bool strbuf_ok(const struct strbuf *b)
{
    return !b->failed;
}

char *strbuf_take(struct strbuf *b, size_t *len)
{
    char *bytes = NULL;

    strbuf_reserve(b, 0);
    if (!b->failed) {
        bytes = b->bytes;
        b->bytes = NULL;
        if (len)
            *len = b->len;
    }
    strbuf_free(b);
    return bytes;
}

void strbuf_free(struct strbuf *b)
{
    free(b->bytes);
    *b = (struct strbuf)STRBUF_INIT;
}
