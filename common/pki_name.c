#include "common/pki_name.h"

#include <string.h>

#define PREFIX "probermesh:agent/"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define ID_DIGITS (PROBER_ID_TEXT_MAX - 1)

static const char hex_digits[] = "0123456789ABCDEF";

_Static_assert(PKI_NAME_MAX == PREFIX_LEN + ID_DIGITS + 1 + 3 * PKI_REGION_MAX, "the longest name");

static bool is_literal(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

enum prober_error pki_name_format(const struct prober_id *id, const char *region,
                                  char out[PKI_NAME_MAX + 1])
{
    char *p = out + PREFIX_LEN + ID_DIGITS;

    if (!wire_name_is_valid(region, PKI_REGION_MAX))
        return PROBER_ERR_SYNTAX;
    memcpy(out, PREFIX, PREFIX_LEN);
    prober_id_format(id, out + PREFIX_LEN);
    *p++ = '/';
    for (; *region; region++) {
        unsigned char c = (unsigned char)*region;

        if (is_literal(*region)) {
            *p++ = *region;
            continue;
        }
        *p++ = '%';
        *p++ = hex_digits[c >> 4];
        *p++ = hex_digits[c & 15];
    }
    *p = '\0';
    return PROBER_OK;
}

/* The byte that text[len] begins with, and how long it is written; 0: as no name is written. */
static size_t read_byte(const char *text, size_t len, char *out)
{
    const char *high, *low;

    if (is_literal(text[0])) {
        *out = text[0];
        return 1;
    }
    if (text[0] != '%' || len < 3)
        return 0;
    high = memchr(hex_digits, text[1], 16);
    low = memchr(hex_digits, text[2], 16);
    if (!high || !low)
        return 0;
    *out = (char)((high - hex_digits) << 4 | (low - hex_digits));
    return is_literal(*out) ? 0 : 3;
}

enum prober_error pki_name_parse(const char *text, size_t len, struct prober_id *id,
                                 char region[PKI_REGION_MAX + 1])
{
    char id_text[PROBER_ID_TEXT_MAX], again[PROBER_ID_TEXT_MAX], bytes[PKI_REGION_MAX + 1];
    size_t used = PREFIX_LEN + ID_DIGITS + 1, count = 0;
    struct prober_id read;

    if (len <= used || len > PKI_NAME_MAX || memcmp(text, PREFIX, PREFIX_LEN) != 0 ||
        text[used - 1] != '/')
        return PROBER_ERR_SYNTAX;
    memcpy(id_text, text + PREFIX_LEN, ID_DIGITS);
    id_text[ID_DIGITS] = '\0';
    if (prober_id_parse(id_text, &read) != PROBER_OK ||
        strcmp(prober_id_format(&read, again), id_text) != 0)
        return PROBER_ERR_SYNTAX;
    while (used < len) {
        size_t step =
            count < PKI_REGION_MAX ? read_byte(text + used, len - used, &bytes[count]) : 0;

        if (step == 0)
            return PROBER_ERR_SYNTAX;
        used += step;
        count++;
    }
    bytes[count] = '\0';
    if (strlen(bytes) != count || !wire_name_is_valid(bytes, PKI_REGION_MAX))
        return PROBER_ERR_SYNTAX;
    *id = read;
    memcpy(region, bytes, count + 1);
    return PROBER_OK;
}
