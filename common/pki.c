#include "common/pki.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <mbedtls/platform_util.h>
#include <mbedtls/x509_csr.h>

#include "common/pki_x509.h"

#define PEM_MAX 2048
#define RENEWAL_THIRDS 2
#define RENEWAL_SPREAD 10 /* the renewal is drawn from this part of the life before it */

/* ---- reading ---- */

enum prober_error pki_read_certificate(const void *bytes, size_t len, struct pki_identity *out,
                                       struct prober_failure *why)
{
    mbedtls_x509_crt chain;
    struct pki_identity identity;
    enum prober_error err;

    mbedtls_x509_crt_init(&chain);
    err = pki_x509_read_certificates(&chain, bytes, len, why);
    if (err)
        goto out;
    err = pki_x509_identity(&chain, &identity);
    if (err) {
        prober_fail(why, err, "a certificate without a serial number of 1 to %d bytes",
                    PKI_SERIAL_MAX);
        goto out;
    }
    *out = identity;
out:
    mbedtls_x509_crt_free(&chain);
    return err;
}

enum prober_error pki_fingerprint(const void *bytes, size_t len, uint8_t out[DIGEST_SHA256_LEN],
                                  struct prober_failure *why)
{
    struct pki_identity identity;
    enum prober_error err = pki_read_certificate(bytes, len, &identity, why);

    if (!err)
        memcpy(out, identity.fingerprint, DIGEST_SHA256_LEN);
    return err;
}

static const char *date_text(int64_t seconds, char *out, size_t size)
{
    time_t t = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&t, &parts) || !strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &parts))
        snprintf(out, size, "%lld", (long long)seconds);
    return out;
}

enum prober_error pki_check_time(const struct pki_identity *identity, int64_t now_s,
                                 struct prober_failure *why)
{
    char limit[64], now[64];

    if (now_s > identity->not_after_s)
        return prober_fail(why, PROBER_ERR_STATE, "the certificate expired on %s (it is now %s)",
                           date_text(identity->not_after_s, limit, sizeof(limit)),
                           date_text(now_s, now, sizeof(now)));
    if (now_s < identity->not_before_s)
        return prober_fail(why, PROBER_ERR_STATE,
                           "the certificate is valid only from %s on (it is now %s: is a clock "
                           "wrong?)",
                           date_text(identity->not_before_s, limit, sizeof(limit)),
                           date_text(now_s, now, sizeof(now)));
    return PROBER_OK;
}

int64_t pki_renewal_s(const struct pki_identity *identity, uint32_t lot)
{
    int64_t life = identity->not_after_s - identity->not_before_s;
    int64_t spread = life / RENEWAL_SPREAD;

    return identity->not_before_s + life / 3 * RENEWAL_THIRDS -
           (int64_t)((uint64_t)spread * lot >> 32);
}

/* ---- keys and requests ---- */

void pki_forget(struct strbuf *secret)
{
    if (secret->bytes)
        mbedtls_platform_zeroize(secret->bytes, secret->room);
    strbuf_free(secret);
}

static int make_p256(mbedtls_pk_context *key)
{
    int rc = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));

    return rc ? rc
              : mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), pki_x509_random,
                                    NULL);
}

enum prober_error pki_make_key(struct strbuf *key)
{
    unsigned char pem[PEM_MAX];
    mbedtls_pk_context made;
    int rc;

    mbedtls_pk_init(&made);
    rc = make_p256(&made);
    if (!rc)
        rc = mbedtls_pk_write_key_pem(&made, pem, sizeof(pem));
    mbedtls_pk_free(&made);
    strbuf_clear(key);
    if (!rc)
        strbuf_puts(key, (const char *)pem);
    mbedtls_platform_zeroize(pem, sizeof(pem));
    if (rc)
        return pki_x509_error(rc, PROBER_ERR_IO);
    return strbuf_ok(key) ? PROBER_OK : PROBER_ERR_NOMEM;
}

enum prober_error pki_check_key(const char *certificate, const char *key,
                                struct prober_failure *why)
{
    mbedtls_x509_crt chain;
    mbedtls_pk_context private_key;
    enum prober_error err;

    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&private_key);
    err = pki_x509_read_certificates(&chain, certificate, strlen(certificate), why);
    if (!err)
        err = pki_x509_read_key(&private_key, key, why);
    if (!err && mbedtls_pk_check_pair(&chain.pk, &private_key) != 0)
        err = prober_fail(why, PROBER_ERR_STATE, "the private key is not that of the certificate");
    mbedtls_pk_free(&private_key);
    mbedtls_x509_crt_free(&chain);
    return err;
}

static int forget_time(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    (void)context;
    (void)certificate;
    (void)depth;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    return 0;
}

enum prober_error pki_check_issued(const char *ca, const char *certificate,
                                   struct prober_failure *why)
{
    mbedtls_x509_crt chain, authorities;
    uint32_t flags;
    enum prober_error err;

    mbedtls_x509_crt_init(&chain);
    mbedtls_x509_crt_init(&authorities);
    err = pki_x509_read_certificates(&chain, certificate, strlen(certificate), why);
    if (!err)
        err = pki_x509_read_certificates(&authorities, ca, strlen(ca), why);
    if (!err && mbedtls_x509_crt_verify_with_profile(&chain, &authorities, NULL,
                                                     &mbedtls_x509_crt_profile_next, NULL, &flags,
                                                     forget_time, NULL))
        err =
            prober_fail(why, PROBER_ERR_STATE, "the certificate was not issued by this authority");
    mbedtls_x509_crt_free(&authorities);
    mbedtls_x509_crt_free(&chain);
    return err;
}

enum prober_error pki_make_request(const char *key, struct strbuf *request,
                                   struct prober_failure *why)
{
    unsigned char der[PKI_REQUEST_MAX];
    mbedtls_x509write_csr writer;
    mbedtls_pk_context private_key;
    enum prober_error err;
    int rc;

    mbedtls_x509write_csr_init(&writer);
    mbedtls_pk_init(&private_key);
    err = pki_x509_read_key(&private_key, key, why);
    if (err)
        goto out;
    if (!pki_x509_is_p256(&private_key)) {
        err = prober_fail(why, PROBER_ERR_SYNTAX, "the private key is not of the curve P-256");
        goto out;
    }
    mbedtls_x509write_csr_set_key(&writer, &private_key);
    mbedtls_x509write_csr_set_md_alg(&writer, MBEDTLS_MD_SHA256);
    rc = mbedtls_x509write_csr_set_subject_name(&writer, "CN=probermesh agent");
    if (!rc)
        rc = mbedtls_x509write_csr_der(&writer, der, sizeof(der), pki_x509_random, NULL);
    if (rc <= 0) {
        err = prober_fail(why, pki_x509_error(rc, PROBER_ERR_IO),
                          "cannot make a request for a certificate (error -0x%04x)", (unsigned)-rc);
        goto out;
    }
    strbuf_clear(request);
    strbuf_put(request, der + sizeof(der) - rc, (size_t)rc);
    if (!strbuf_ok(request))
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for a request for a certificate");
out:
    mbedtls_pk_free(&private_key);
    mbedtls_x509write_csr_free(&writer);
    return err;
}
