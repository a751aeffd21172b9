/*
 * pki - keys, certificates, requests for certificates, and the authority that issues them (adapter
 * of mbedtls, with pki_ca.c and pki_x509.c).
 *
 * Purpose    One authority signs the certificates of a server and of its agents. A server's has the
 *            fixed name PKI_SERVER_NAME and the use serverAuth; an agent's has its id and region
 *            (pki_name.h), both chosen by the server, and the use clientAuth. Of a request for a
 *            certificate nothing is used but the public key and the proof that its private key is
 *            held. Keys that are made are P-256; an authority and a server may bring others.
 * Threads    Pure functions; any thread. A pki_ca issues for any thread, one at a time.
 * Ownership  Keys, certificates and requests are text or bytes in the caller's memory. A strbuf that
 *            held a key is to be freed by pki_forget.
 */
#ifndef COMMON_PKI_H
#define COMMON_PKI_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "common/id.h"
#include "common/pki_name.h"
#include "common/strbuf.h"

#define PKI_SERVER_NAME "server.probermesh.internal"
#define PKI_SERIAL_MAX 20         /* bytes, RFC 5280 4.1.2.2 */
#define PKI_BYTES_MAX (64u << 10) /* of a file of keys or certificates */
#define PKI_REQUEST_MAX 4096      /* bytes of a request for a certificate */
#define PKI_DAY_S INT64_C(86400)
#define PKI_CA_LIFE_S (3650 * PKI_DAY_S)
#define PKI_SERVER_LIFE_S (397 * PKI_DAY_S)
#define PKI_AGENT_LIFE_S (90 * PKI_DAY_S)
#define PKI_LIFE_MIN_S INT64_C(60)
#define PKI_LIFE_MAX_S (36500 * PKI_DAY_S)
#define PKI_BACKDATE_S INT64_C(3600) /* a certificate is valid since before: clocks differ */

enum pki_role {
    PKI_ROLE_NONE,   /* a certificate that is of no use here */
    PKI_ROLE_CA,     /* may issue certificates */
    PKI_ROLE_SERVER, /* PKI_SERVER_NAME, serverAuth */
    PKI_ROLE_AGENT   /* named as in pki_name.h, clientAuth */
};

/* What a certificate says. */
struct pki_identity {
    enum pki_role role;
    struct prober_id agent_id;       /* of an agent, else zero */
    char region[PKI_REGION_MAX + 1]; /* of an agent, else "" */
    uint8_t serial[PKI_SERIAL_MAX];
    size_t serial_len;
    int64_t not_before_s, not_after_s;      /* Unix seconds; the certificate is valid within both */
    uint8_t fingerprint[DIGEST_SHA256_LEN]; /* SHA-256 of the certificate (DER) */
};

/* Reads the first certificate of bytes[len], PEM or DER; nothing is verified. A certificate that
 * would serve as more than one of CA, server, agent has no role.
 * Errors: PROBER_ERR_SYNTAX, _RANGE (over PKI_BYTES_MAX), _NOMEM. */
enum prober_error pki_read_certificate(const void *bytes, size_t len, struct pki_identity *out,
                                       struct prober_failure *why);
/* The fingerprint of the first certificate. Errors: as above. */
enum prober_error pki_fingerprint(const void *bytes, size_t len, uint8_t out[DIGEST_SHA256_LEN],
                                  struct prober_failure *why);
/* PROBER_OK when now_s lies within the certificate's time; else PROBER_ERR_STATE and a sentence with
 * the date. */
enum prober_error pki_check_time(const struct pki_identity *identity, int64_t now_s,
                                 struct prober_failure *why);
/* When to renew a certificate: after two thirds of its life, less up to a tenth of it by `lot`, a
 * random number, so that agents that joined together do not come back together. */
int64_t pki_renewal_s(const struct pki_identity *identity, uint32_t lot);

/* Replaces *key by a new private key, PEM. Errors: PROBER_ERR_NOMEM, _IO. */
enum prober_error pki_make_key(struct strbuf *key);
/* PROBER_OK when the certificate (the first one) is of the private key.
 * Errors: PROBER_ERR_STATE: it is of another; _SYNTAX, _RANGE, _NOMEM. */
enum prober_error pki_check_key(const char *certificate, const char *key,
                                struct prober_failure *why);
/* PROBER_OK when the certificate (the first one) was issued by one of the authorities in `ca` (PEM),
 * whatever the time. Errors: PROBER_ERR_STATE: by another, or it was changed; _SYNTAX, _RANGE,
 * _NOMEM. */
enum prober_error pki_check_issued(const char *ca, const char *certificate,
                                   struct prober_failure *why);
/* Replaces *request by a request for a certificate (PKCS #10, DER), signed by `key` (PEM, P-256).
 * Errors: PROBER_ERR_SYNTAX (no such key), _NOMEM, _IO. */
enum prober_error pki_make_request(const char *key, struct strbuf *request,
                                   struct prober_failure *why);
/* The fingerprint of the public key in a request, after its proof of possession was verified: who
 * asks again with the same key is the same. Errors: as pki_ca_issue_agent. */
enum prober_error pki_check_request(const void *request, size_t len,
                                    uint8_t key_fingerprint[DIGEST_SHA256_LEN],
                                    struct prober_failure *why);
/* Overwrites what the buffer holds, and frees it. */
void pki_forget(struct strbuf *secret);

struct pki_ca;

/* Makes an authority: its private key and its certificate, PEM, valid for life_s.
 * Errors: PROBER_ERR_RANGE (life_s), _NOMEM, _IO. */
enum prober_error pki_ca_make(int64_t now_s, int64_t life_s, struct strbuf *key,
                              struct strbuf *certificate);
/* Takes an authority's certificate (the first of PEM text) and its private key.
 * Errors: PROBER_ERR_SYNTAX (not readable), _STATE (no certificate of an authority, or not of this
 * key, or a key too weak), _RANGE, _NOMEM with a sentence in *why. */
enum prober_error pki_ca_open(struct pki_ca **out, const char *certificate, const char *key,
                              struct prober_failure *why);
const struct pki_identity *pki_ca_identity(const struct pki_ca *ca);
/* Makes a new key and a certificate of the server for it; no certificate outlives the authority.
 * Errors: PROBER_ERR_STATE (the authority has expired), _RANGE (life_s), _NOMEM, _IO. */
enum prober_error pki_ca_issue_server(struct pki_ca *ca, int64_t now_s, int64_t life_s,
                                      struct strbuf *key, struct strbuf *certificate,
                                      struct prober_failure *why);
/* Issues a certificate for the key in request[len], PEM. Errors: PROBER_ERR_SYNTAX (no request),
 * _DENIED (the proof of possession is wrong, or it is no P-256 key), _RANGE (too long, region,
 * life_s), _STATE (the authority has expired), _NOMEM, _IO with a sentence in *why. */
enum prober_error pki_ca_issue_agent(struct pki_ca *ca, const void *request, size_t len,
                                     const struct prober_id *id, const char *region, int64_t now_s,
                                     int64_t life_s, struct strbuf *certificate,
                                     struct prober_failure *why);
void pki_ca_close(struct pki_ca *ca); /* NULL is fine */

#endif
