/*
 * join_token - the word that an operator carries from the server to a new agent.
 *
 * Purpose    It holds a secret that the server takes once, or as often as it was made for, and the
 *            fingerprint of the server's authority: so the agent knows the server, and the server
 *            the agent, before either has a certificate of the other.
 *
 *            "pmj1" and 84 characters of a-z and 2-7 (base32, RFC 4648, without padding) over 52
 *            bytes: the secret, the fingerprint, and a CRC-32C of the two, big-endian, which finds
 *            what was mistyped. Upper case is read as lower case.
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_JOIN_TOKEN_H
#define COMMON_JOIN_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"

#define JOIN_SECRET_LEN 16
#define JOIN_TOKEN_LEN 88
#define JOIN_TOKEN_TEXT_MAX (JOIN_TOKEN_LEN + 1)

struct join_token {
    uint8_t secret[JOIN_SECRET_LEN];
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
};

/* Writes a token as a word, NUL-terminated; returns `out`. */
char *join_token_format(const struct join_token *token, char out[JOIN_TOKEN_TEXT_MAX]);
/* Reads text[len]; blanks and line ends around the word are skipped. Errors: PROBER_ERR_SYNTAX,
 * _VERSION (a token of a later kind) with a sentence in *why, which shows nothing of the token. */
enum prober_error join_token_parse(const char *text, size_t len, struct join_token *out,
                                   struct prober_failure *why);

#endif
