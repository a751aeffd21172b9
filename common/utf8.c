#include "common/utf8.h"

#include <string.h>

size_t utf8_decode(const char *bytes, size_t len, uint32_t *rune)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length */
    const unsigned char *at = (const unsigned char *)bytes;
    size_t need;
    uint32_t r;

    if (len == 0)
        return 0;
    if (at[0] < 0x80) {
        *rune = at[0];
        return 1;
    }
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    need = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    r = at[0] & (0xffu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        r = r << 6 | (at[i] & 0x3f);
    }
    if (r < least[need] || r > 0x10ffff || (r >= 0xd800 && r < 0xe000))
        return 0;
    *rune = r;
    return need;
}

bool utf8_is_valid(const char *bytes, size_t len)
{
    uint32_t rune;

    while (len > 0) {
        size_t used = utf8_decode(bytes, len, &rune);

        if (used == 0)
            return false;
        bytes += used;
        len -= used;
    }
    return true;
}

bool utf8_is_shown_safely(uint32_t rune)
{
    return rune >= 0x20 && !(rune >= 0x7f && rune < 0xa0) && rune != 0x061c &&
           !(rune >= 0x200e && rune <= 0x200f) && !(rune >= 0x2028 && rune <= 0x202e) &&
           !(rune >= 0x2066 && rune <= 0x2069) && rune != 0xfeff;
}

static void put_escape(struct strbuf *out, uint32_t rune)
{
    static const char letters[] = "n\nr\rt\t";
    const char *at = rune ? strchr(letters, (int)rune) : NULL;

    if (rune < 0x20 && at)
        strbuf_printf(out, "\\%c", at[-1]);
    else
        strbuf_printf(out, rune < 0x80 ? "\\x%02x" : "\\u%04x", rune);
}

void utf8_put_escaped(struct strbuf *out, const char *bytes, size_t len)
{
    while (len > 0) {
        uint32_t rune;
        size_t used = utf8_decode(bytes, len, &rune);

        if (used == 0) {
            strbuf_printf(out, "\\x%02x", (unsigned char)*bytes);
            used = 1;
        } else if (utf8_is_shown_safely(rune)) {
            strbuf_put(out, bytes, used);
        } else {
            put_escape(out, rune);
        }
        bytes += used;
        len -= used;
    }
}
