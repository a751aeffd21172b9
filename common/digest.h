/*
 * digest - SHA-256, and comparing secrets (adapter of mbedtls).
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_LEN 32
#define DIGEST_SHA256_TEXT_MAX 65

/* SHA-256 (FIPS 180-4) of bytes[len]. */
void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SHA256_LEN]);
/* 64 lower-case hex digits; returns `out`. */
char *digest_format(const uint8_t digest[DIGEST_SHA256_LEN], char out[DIGEST_SHA256_TEXT_MAX]);
/* Reads 64 hex digits of either case; false, with *out undefined, for anything else. */
bool digest_parse(const char *text, uint8_t out[DIGEST_SHA256_LEN]);
/* Compares a[len] and b[len] in a time that depends on len alone. */
bool digest_equal(const void *a, const void *b, size_t len);

#endif
