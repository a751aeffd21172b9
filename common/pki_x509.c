#include "common/pki_x509.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/ssl.h>

#include "common/array.h"
#include "common/random.h"

#define PEM_BEGIN "-----BEGIN"
#define SAN_DNS 0x82 /* RFC 5280, 4.2.1.6: the tags of dNSName and uniformResourceIdentifier */
#define SAN_URI 0x86
#define OWN_SCHEME "probermesh:"
#define STRONG_EC_BITS 256
#define STRONG_RSA_BITS 2048

int pki_x509_random(void *context, unsigned char *out, size_t len)
{
    (void)context;
    random_bytes(out, len);
    return 0;
}

enum prober_error pki_x509_error(int rc, enum prober_error otherwise)
{
    static const int no_memory[] = {
        MBEDTLS_ERR_X509_ALLOC_FAILED, MBEDTLS_ERR_PK_ALLOC_FAILED,  MBEDTLS_ERR_ECP_ALLOC_FAILED,
        MBEDTLS_ERR_PEM_ALLOC_FAILED,  MBEDTLS_ERR_SSL_ALLOC_FAILED,
    };
    int high = -(-rc & 0xff80), low = -(-rc & 0x7f); /* a code may carry another in its low bits */

    for (size_t i = 0; i < ARRAY_LEN(no_memory); i++)
        if (high == no_memory[i])
            return PROBER_ERR_NOMEM;
    return low == MBEDTLS_ERR_MPI_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED
               ? PROBER_ERR_NOMEM
               : otherwise;
}

enum prober_error pki_x509_read_certificates(mbedtls_x509_crt *chain, const void *bytes, size_t len,
                                             struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    char *text;
    bool is_pem;
    int rc;

    if (len > PKI_BYTES_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "certificates of more than %u bytes",
                           PKI_BYTES_MAX);
    text = malloc(len + 1);
    if (!text)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory to read a certificate");
    if (len)
        memcpy(text, bytes, len);
    text[len] = '\0';
    is_pem = strstr(text, PEM_BEGIN) != NULL;
    rc = mbedtls_x509_crt_parse(chain, (const unsigned char *)text, is_pem ? len + 1 : len);
    if (rc > 0)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "%d of the certificates cannot be read", rc);
    else if (rc < 0)
        err = prober_fail(why, pki_x509_error(rc, PROBER_ERR_SYNTAX),
                          "not a certificate (error -0x%04x)", (unsigned)-rc);
    free(text);
    return err;
}

enum prober_error pki_x509_read_key(mbedtls_pk_context *out, const char *key,
                                    struct prober_failure *why)
{
    size_t len = strlen(key);
    int rc;

    if (len > PKI_BYTES_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "a private key of more than %u bytes",
                           PKI_BYTES_MAX);
    rc = mbedtls_pk_parse_key(out, (const unsigned char *)key, len + 1, NULL, 0);
    if (rc == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "the private key is encrypted: it is wanted without a password");
    if (rc)
        return prober_fail(why, pki_x509_error(rc, PROBER_ERR_SYNTAX),
                           "not a private key in PEM (error -0x%04x)", (unsigned)-rc);
    return PROBER_OK;
}

bool pki_x509_is_p256(const mbedtls_pk_context *key)
{
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY &&
           mbedtls_pk_ec(*key)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

bool pki_x509_is_strong(const mbedtls_pk_context *key)
{
    mbedtls_pk_type_t type = mbedtls_pk_get_type(key);
    size_t bits = mbedtls_pk_get_bitlen(key);

    return (type == MBEDTLS_PK_ECKEY && bits >= STRONG_EC_BITS) ||
           (type == MBEDTLS_PK_RSA && bits >= STRONG_RSA_BITS);
}

/* ---- what a certificate says ---- */

static int64_t seconds_of(const mbedtls_x509_time *t)
{
    struct tm parts = {
        .tm_year = t->year - 1900,
        .tm_mon = t->mon - 1,
        .tm_mday = t->day,
        .tm_hour = t->hour,
        .tm_min = t->min,
        .tm_sec = t->sec,
    };

    return timegm(&parts);
}

/* The use must be said by name: "any use" is none. */
static bool has_use(const mbedtls_x509_crt *c, const char *oid, size_t oid_len)
{
    if (mbedtls_x509_crt_check_key_usage(c, MBEDTLS_X509_KU_DIGITAL_SIGNATURE))
        return false;
    for (const mbedtls_x509_sequence *use = &c->ext_key_usage; use && use->buf.p; use = use->next)
        if (use->buf.len == oid_len && memcmp(use->buf.p, oid, oid_len) == 0)
            return true;
    return false;
}

static bool has_server_name(const mbedtls_x509_crt *c)
{
    for (const mbedtls_x509_sequence *n = &c->subject_alt_names; n && n->buf.p; n = n->next)
        if (n->buf.tag == SAN_DNS && n->buf.len == strlen(PKI_SERVER_NAME) &&
            memcmp(n->buf.p, PKI_SERVER_NAME, n->buf.len) == 0)
            return true;
    return false;
}

/* The one name of an agent; two would make it speak for two. */
static bool read_agent_name(const mbedtls_x509_crt *c, struct pki_identity *out)
{
    size_t count = 0;

    for (const mbedtls_x509_sequence *n = &c->subject_alt_names; n && n->buf.p; n = n->next) {
        if (n->buf.tag != SAN_URI || n->buf.len < strlen(OWN_SCHEME) ||
            memcmp(n->buf.p, OWN_SCHEME, strlen(OWN_SCHEME)) != 0)
            continue;
        if (pki_name_parse((const char *)n->buf.p, n->buf.len, &out->agent_id, out->region))
            return false;
        count++;
    }
    return count == 1;
}

static enum pki_role role_of(const mbedtls_x509_crt *c, struct pki_identity *out)
{
    const bool is_ca =
        c->ca_istrue && mbedtls_x509_crt_check_key_usage(c, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0;
    const bool is_agent =
        read_agent_name(c, out) &&
        has_use(c, MBEDTLS_OID_CLIENT_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
    const bool is_server = has_server_name(c) && has_use(c, MBEDTLS_OID_SERVER_AUTH,
                                                         MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));

    if (c->ca_istrue)
        return is_ca && !is_agent && !is_server ? PKI_ROLE_CA : PKI_ROLE_NONE;
    if (is_agent == is_server)
        return PKI_ROLE_NONE;
    return is_agent ? PKI_ROLE_AGENT : PKI_ROLE_SERVER;
}

enum prober_error pki_x509_identity(const mbedtls_x509_crt *certificate, struct pki_identity *out)
{
    const unsigned char *serial = certificate->serial.p;
    size_t len = certificate->serial.len;

    memset(out, 0, sizeof(*out));
    while (len > 1 && serial[0] == 0) {
        serial++;
        len--;
    }
    if (len == 0 || len > PKI_SERIAL_MAX)
        return PROBER_ERR_SYNTAX;
    out->role = role_of(certificate, out);
    if (out->role != PKI_ROLE_AGENT) {
        memset(&out->agent_id, 0, sizeof(out->agent_id));
        memset(out->region, 0, sizeof(out->region));
    }
    memcpy(out->serial, serial, len);
    out->serial_len = len;
    out->not_before_s = seconds_of(&certificate->valid_from);
    out->not_after_s = seconds_of(&certificate->valid_to);
    digest_sha256(certificate->raw.p, certificate->raw.len, out->fingerprint);
    return PROBER_OK;
}
