#include "common/join_token.h"

#include <stdbool.h>
#include <string.h>

#include "common/crc32c.h"

#define PREFIX "pmj"
#define PREFIX_LEN 4 /* with the digit of the kind */
#define CHECK_LEN 4
#define BYTES_LEN (JOIN_SECRET_LEN + DIGEST_SHA256_LEN + CHECK_LEN)
#define BITS_A_CHARACTER 5

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

_Static_assert(JOIN_TOKEN_LEN ==
                   PREFIX_LEN + (8 * BYTES_LEN + BITS_A_CHARACTER - 1) / BITS_A_CHARACTER,
               "characters of a token");

static void put_check(uint8_t bytes[BYTES_LEN])
{
    uint32_t check = crc32c(0, bytes, BYTES_LEN - CHECK_LEN);

    for (size_t i = 0; i < CHECK_LEN; i++)
        bytes[BYTES_LEN - CHECK_LEN + i] = (uint8_t)(check >> (24 - 8 * i));
}

char *join_token_format(const struct join_token *token, char out[JOIN_TOKEN_TEXT_MAX])
{
    uint8_t bytes[BYTES_LEN + 1] = {0}; /* one more is read beside the last */

    memcpy(bytes, token->secret, JOIN_SECRET_LEN);
    memcpy(bytes + JOIN_SECRET_LEN, token->ca_fingerprint, DIGEST_SHA256_LEN);
    put_check(bytes);
    memcpy(out, PREFIX "1", PREFIX_LEN);
    for (size_t i = 0; i < JOIN_TOKEN_LEN - PREFIX_LEN; i++) {
        size_t bit = i * BITS_A_CHARACTER;
        unsigned pair = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];

        out[PREFIX_LEN + i] = alphabet[pair >> (16 - BITS_A_CHARACTER - bit % 8) & 31];
    }
    out[JOIN_TOKEN_LEN] = '\0';
    return out;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum prober_error check_head(const char *word, size_t len, struct prober_failure *why)
{
    if (len == 0)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the join token is empty");
    for (size_t i = 0; i < strlen(PREFIX); i++)
        if (i >= len || lower(word[i]) != PREFIX[i])
            return prober_fail(why, PROBER_ERR_SYNTAX, "not a join token: one begins with " PREFIX);
    if (len > strlen(PREFIX) && word[strlen(PREFIX)] > '1' && word[strlen(PREFIX)] <= '9')
        return prober_fail(why, PROBER_ERR_VERSION,
                           "a join token of a later kind: this program is too old for it");
    if (len != JOIN_TOKEN_LEN)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "the join token has %zu characters instead of %d: was it copied as a "
                           "whole?",
                           len, JOIN_TOKEN_LEN);
    return word[strlen(PREFIX)] == '1'
               ? PROBER_OK
               : prober_fail(why, PROBER_ERR_SYNTAX, "not a join token: one begins with " PREFIX);
}

/* Errors: a character that is in no token, or bits set that none stands for. */
static bool decode(const char *characters, uint8_t bytes[BYTES_LEN])
{
    unsigned held = 0, bits = 0;
    size_t len = 0;

    for (size_t i = 0; i < JOIN_TOKEN_LEN - PREFIX_LEN; i++) {
        const char *at = characters[i] ? strchr(alphabet, lower(characters[i])) : NULL;

        if (!at)
            return false;
        held = (held << BITS_A_CHARACTER | (unsigned)(at - alphabet)) & 0xfff;
        bits += BITS_A_CHARACTER;
        if (bits >= 8 && len < BYTES_LEN) {
            bits -= 8;
            bytes[len++] = (uint8_t)(held >> bits);
        }
    }
    return (held & ((1u << bits) - 1)) == 0;
}

enum prober_error join_token_parse(const char *text, size_t len, struct join_token *out,
                                   struct prober_failure *why)
{
    uint8_t bytes[BYTES_LEN], again[BYTES_LEN];
    enum prober_error err;

    while (len && is_blank(text[0])) {
        text++;
        len--;
    }
    while (len && is_blank(text[len - 1]))
        len--;
    err = check_head(text, len, why);
    if (err)
        return err;
    if (!decode(text + PREFIX_LEN, bytes))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "the join token has a character that is in none: it was mistyped");
    memcpy(again, bytes, sizeof(again));
    put_check(again);
    if (memcmp(again, bytes, sizeof(again)) != 0)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "the join token's check does not agree: it was mistyped");
    memcpy(out->secret, bytes, JOIN_SECRET_LEN);
    memcpy(out->ca_fingerprint, bytes + JOIN_SECRET_LEN, DIGEST_SHA256_LEN);
    return PROBER_OK;
}
