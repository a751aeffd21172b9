#include "common/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SHA256_LEN])
{
    /* It fails only where hardware does the work: a guess must not stand in for a digest. */
    if (mbedtls_sha256_ret(bytes, len, out, 0))
        abort();
}

char *digest_format(const uint8_t digest[DIGEST_SHA256_LEN], char out[DIGEST_SHA256_TEXT_MAX])
{
    for (size_t i = 0; i < DIGEST_SHA256_LEN; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return out;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool digest_parse(const char *text, uint8_t out[DIGEST_SHA256_LEN])
{
    if (strlen(text) != 2 * DIGEST_SHA256_LEN)
        return false;
    for (size_t i = 0; i < DIGEST_SHA256_LEN; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool digest_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b; /* volatile: no shortcut is found */
    uint8_t differ = 0;

    for (size_t i = 0; i < len; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}
