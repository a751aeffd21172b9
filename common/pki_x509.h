/*
 * pki_x509 - what the adapters of mbedtls share; the one header that names its types.
 *
 * Purpose    Only common/pki*.c, common/channel_tls*.c and common/ticket_keys.c include it.
 * Threads    Pure functions; any thread.
 * Ownership  Contexts belong to the caller, who initialised them and frees them.
 */
#ifndef COMMON_PKI_X509_H
#define COMMON_PKI_X509_H

#include <stdbool.h>
#include <stddef.h>

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "common/pki.h"

/* A source of random bytes as mbedtls wants it; `context` is not used. */
int pki_x509_random(void *context, unsigned char *out, size_t len);
/* PROBER_ERR_NOMEM when `rc` says so, else `otherwise`. */
enum prober_error pki_x509_error(int rc, enum prober_error otherwise);
/* Adds all certificates of bytes[len], PEM or DER, to `chain`; one that cannot be read fails.
 * Errors: PROBER_ERR_SYNTAX, _RANGE, _NOMEM. */
enum prober_error pki_x509_read_certificates(mbedtls_x509_crt *chain, const void *bytes, size_t len,
                                             struct prober_failure *why);
/* Reads a private key, PEM, without a password. Errors: PROBER_ERR_SYNTAX, _RANGE, _NOMEM. */
enum prober_error pki_x509_read_key(mbedtls_pk_context *out, const char *key,
                                    struct prober_failure *why);
/* Says what a certificate says. Errors: PROBER_ERR_SYNTAX: a serial or a time that no honest
 * certificate has. */
enum prober_error pki_x509_identity(const mbedtls_x509_crt *certificate, struct pki_identity *out);
/* True for a public key on P-256. */
bool pki_x509_is_p256(const mbedtls_pk_context *key);
/* True for a key that an authority or a server may have: elliptic of 256 bits or more, RSA of 2048
 * or more. */
bool pki_x509_is_strong(const mbedtls_pk_context *key);

#endif
