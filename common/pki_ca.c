#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509_csr.h>

#include "common/pki_x509.h"
#include "common/random.h"

#define SERIAL_LEN 16
#define CERTIFICATE_MAX 8192
#define EXTENSION_MAX 512
#define TIME_TEXT_MAX 16 /* YYYYMMDDhhmmss */

struct pki_ca {
    mbedtls_x509_crt certificate;
    pthread_mutex_t lock;
    mbedtls_pk_context key; /* guarded by lock: the first signature makes tables in it */
    struct pki_identity identity;
};

/* What is to be written into a certificate. */
struct draft {
    mbedtls_x509write_cert writer;
    mbedtls_mpi serial;
    struct mbedtls_asn1_named_data *issuer; /* nodes whose content is the authority's */
};

static void draft_init(struct draft *d)
{
    mbedtls_x509write_crt_init(&d->writer);
    mbedtls_mpi_init(&d->serial);
    d->issuer = NULL;
}

static void draft_free(struct draft *d)
{
    if (d->issuer)
        d->writer.issuer = NULL;
    while (d->issuer) {
        struct mbedtls_asn1_named_data *next = d->issuer->next;

        free(d->issuer);
        d->issuer = next;
    }
    mbedtls_mpi_free(&d->serial);
    mbedtls_x509write_crt_free(&d->writer);
}

static int draft_begin(struct draft *d, mbedtls_pk_context *subject_key,
                       mbedtls_pk_context *issuer_key)
{
    unsigned char serial[SERIAL_LEN];
    int rc;

    do
        random_bytes(serial, sizeof(serial));
    while (serial[0] == 0); /* zero is no serial number, and this keeps them of one length */
    mbedtls_x509write_crt_set_version(&d->writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&d->writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&d->writer, subject_key);
    mbedtls_x509write_crt_set_issuer_key(&d->writer, issuer_key);
    rc = mbedtls_mpi_read_binary(&d->serial, serial, sizeof(serial));
    return rc ? rc : mbedtls_x509write_crt_set_serial(&d->writer, &d->serial);
}

static bool time_text(int64_t seconds, char out[TIME_TEXT_MAX])
{
    time_t t = (time_t)seconds;
    struct tm parts;

    return seconds >= 0 && gmtime_r(&t, &parts) && parts.tm_year + 1900 <= 9999 &&
           strftime(out, TIME_TEXT_MAX, "%Y%m%d%H%M%S", &parts) == TIME_TEXT_MAX - 2;
}

static int draft_set_time(struct draft *d, int64_t from_s, int64_t to_s)
{
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

    if (!time_text(from_s, from) || !time_text(to_s, to))
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    return mbedtls_x509write_crt_set_validity(&d->writer, from, to);
}

/* The authority's subject becomes the issuer, byte by byte: names are compared so. The writer wants
 * the parts in reverse. */
static int draft_set_issuer(struct draft *d, const mbedtls_x509_crt *ca)
{
    for (const mbedtls_x509_name *part = &ca->subject; part; part = part->next) {
        struct mbedtls_asn1_named_data *copy = calloc(1, sizeof(*copy));

        if (!copy)
            return MBEDTLS_ERR_X509_ALLOC_FAILED;
        copy->oid = part->oid;
        copy->val = part->val;
        copy->next = d->issuer;
        d->issuer = copy;
    }
    d->writer.issuer = d->issuer;
    return 0;
}

/* An extension whose content is a sequence of one element. */
static int draft_set_sequence(struct draft *d, const char *oid, size_t oid_len, unsigned char tag,
                              const char *content, size_t content_len)
{
    const unsigned char constructed = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    unsigned char der[EXTENSION_MAX], *p = der + sizeof(der);
    int rc = mbedtls_asn1_write_raw_buffer(&p, der, (const unsigned char *)content, content_len);

    if (rc >= 0)
        rc = mbedtls_asn1_write_len(&p, der, content_len);
    if (rc >= 0)
        rc = mbedtls_asn1_write_tag(&p, der, tag);
    if (rc >= 0)
        rc = mbedtls_asn1_write_len(&p, der, (size_t)(der + sizeof(der) - p));
    if (rc >= 0)
        rc = mbedtls_asn1_write_tag(&p, der, constructed);
    if (rc < 0)
        return rc;
    return mbedtls_x509write_crt_set_extension(&d->writer, oid, oid_len, 0, p,
                                               (size_t)(der + sizeof(der) - p));
}

static int draft_set_name(struct draft *d, unsigned char tag, const char *name)
{
    return draft_set_sequence(d, MBEDTLS_OID_SUBJECT_ALT_NAME,
                              MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), tag, name,
                              strlen(name));
}

static int draft_set_use(struct draft *d, const char *use, size_t use_len)
{
    return draft_set_sequence(d, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                              MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), MBEDTLS_ASN1_OID,
                              use, use_len);
}

static int draft_sign(struct draft *d, struct strbuf *certificate)
{
    unsigned char pem[CERTIFICATE_MAX];
    int rc = mbedtls_x509write_crt_pem(&d->writer, pem, sizeof(pem), pki_x509_random, NULL);

    if (rc)
        return rc;
    strbuf_clear(certificate);
    strbuf_puts(certificate, (const char *)pem);
    return strbuf_ok(certificate) ? 0 : MBEDTLS_ERR_X509_ALLOC_FAILED;
}

/* ---- the authority itself ---- */

static int write_ca(struct draft *d, mbedtls_pk_context *key, int64_t now_s, int64_t life_s,
                    struct strbuf *certificate)
{
    char name[64];
    uint32_t number; /* tells two authorities apart for people, and in the search for an issuer */
    int rc = draft_begin(d, key, key);

    random_bytes(&number, sizeof(number));
    snprintf(name, sizeof(name), "O=ProberMesh,CN=ProberMesh CA %08x", number);
    if (!rc)
        rc = draft_set_time(d, now_s - PKI_BACKDATE_S, now_s + life_s);
    if (!rc)
        rc = mbedtls_x509write_crt_set_subject_name(&d->writer, name);
    if (!rc)
        rc = mbedtls_x509write_crt_set_issuer_name(&d->writer, name);
    if (!rc)
        rc = mbedtls_x509write_crt_set_basic_constraints(&d->writer, 1, 0);
    if (!rc)
        rc = mbedtls_x509write_crt_set_key_usage(&d->writer, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                                 MBEDTLS_X509_KU_CRL_SIGN);
    if (!rc)
        rc = mbedtls_x509write_crt_set_subject_key_identifier(&d->writer);
    return rc ? rc : draft_sign(d, certificate);
}

enum prober_error pki_ca_make(int64_t now_s, int64_t life_s, struct strbuf *key,
                              struct strbuf *certificate)
{
    mbedtls_pk_context pair;
    struct draft draft;
    enum prober_error err;
    int rc;

    if (life_s < PKI_LIFE_MIN_S || life_s > PKI_LIFE_MAX_S)
        return PROBER_ERR_RANGE;
    mbedtls_pk_init(&pair);
    draft_init(&draft);
    err = pki_make_key(key);
    if (!err)
        err = pki_x509_read_key(&pair, key->bytes, NULL);
    if (err)
        goto out;
    rc = write_ca(&draft, &pair, now_s, life_s, certificate);
    if (rc)
        err = pki_x509_error(rc, PROBER_ERR_IO);
out:
    draft_free(&draft);
    mbedtls_pk_free(&pair);
    return err;
}

static enum prober_error check_ca(struct pki_ca *ca, struct prober_failure *why)
{
    enum prober_error err = pki_x509_identity(&ca->certificate, &ca->identity);

    if (err || ca->identity.role != PKI_ROLE_CA)
        return prober_fail(why, PROBER_ERR_STATE,
                           "the certificate is not that of a certificate authority");
    if (!pki_x509_is_strong(&ca->key))
        return prober_fail(why, PROBER_ERR_STATE,
                           "the authority's key is too weak: elliptic of 256 bits or RSA of 2048 "
                           "bits is the least");
    if (mbedtls_pk_check_pair(&ca->certificate.pk, &ca->key) != 0)
        return prober_fail(why, PROBER_ERR_STATE,
                           "the private key is not that of the authority's certificate");
    return PROBER_OK;
}

enum prober_error pki_ca_open(struct pki_ca **out, const char *certificate, const char *key,
                              struct prober_failure *why)
{
    struct pki_ca *ca = calloc(1, sizeof(*ca));
    enum prober_error err;

    if (!ca)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for a certificate authority");
    pthread_mutex_init(&ca->lock, NULL);
    mbedtls_x509_crt_init(&ca->certificate);
    mbedtls_pk_init(&ca->key);
    err = pki_x509_read_certificates(&ca->certificate, certificate, strlen(certificate), why);
    if (!err)
        err = pki_x509_read_key(&ca->key, key, why);
    if (!err)
        err = check_ca(ca, why);
    if (err)
        goto out;
    *out = ca;
    ca = NULL;
out:
    pki_ca_close(ca);
    return err;
}

const struct pki_identity *pki_ca_identity(const struct pki_ca *ca)
{
    return &ca->identity;
}

void pki_ca_close(struct pki_ca *ca)
{
    if (!ca)
        return;
    mbedtls_pk_free(&ca->key);
    mbedtls_x509_crt_free(&ca->certificate);
    pthread_mutex_destroy(&ca->lock);
    free(ca);
}

/* ---- issuing ---- */

/* What an end's certificate is for. */
struct purpose {
    enum pki_role role;
    const char *subject;
    unsigned char name_tag;
    const char *name;
    const char *use;
    size_t use_len;
};

static int write_end(struct draft *d, const struct pki_ca *ca, const struct purpose *purpose,
                     int64_t from_s, int64_t to_s)
{
    int rc = draft_set_time(d, from_s, to_s);

    if (!rc)
        rc = draft_set_issuer(d, &ca->certificate);
    if (!rc)
        rc = mbedtls_x509write_crt_set_subject_name(&d->writer, purpose->subject);
    if (!rc)
        rc = mbedtls_x509write_crt_set_basic_constraints(&d->writer, 0, -1);
    if (!rc)
        rc = mbedtls_x509write_crt_set_key_usage(&d->writer, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (!rc)
        rc = draft_set_use(d, purpose->use, purpose->use_len);
    if (!rc)
        rc = draft_set_name(d, purpose->name_tag, purpose->name);
    if (!rc)
        rc = mbedtls_x509write_crt_set_subject_key_identifier(&d->writer);
    return rc ? rc : mbedtls_x509write_crt_set_authority_key_identifier(&d->writer);
}

/* What left our hands must be what was meant: read again, as whoever is shown it will. */
static enum prober_error check_issued(const struct pki_ca *ca, const struct purpose *purpose,
                                      const struct strbuf *certificate, struct prober_failure *why)
{
    mbedtls_x509_crt read;
    struct pki_identity identity;
    enum prober_error err;

    mbedtls_x509_crt_init(&read);
    err = pki_x509_read_certificates(&read, certificate->bytes, certificate->len, why);
    if (err)
        goto out;
    err = pki_x509_identity(&read, &identity);
    if (err || identity.role != purpose->role ||
        read.issuer_raw.len != ca->certificate.subject_raw.len ||
        memcmp(read.issuer_raw.p, ca->certificate.subject_raw.p, read.issuer_raw.len) != 0)
        err =
            prober_fail(why, PROBER_ERR_STATE,
                        "certificates cannot be issued with this authority: its name is of a form "
                        "that is not supported");
out:
    mbedtls_x509_crt_free(&read);
    return err;
}

static enum prober_error issue(struct pki_ca *ca, const struct purpose *purpose,
                               mbedtls_pk_context *subject_key, int64_t now_s, int64_t life_s,
                               struct strbuf *certificate, struct prober_failure *why)
{
    const struct pki_identity *own = &ca->identity;
    int64_t from_s = now_s - PKI_BACKDATE_S, to_s;
    struct draft draft;
    enum prober_error err;
    int rc;

    if (life_s < PKI_LIFE_MIN_S || life_s > PKI_LIFE_MAX_S)
        return prober_fail(why, PROBER_ERR_RANGE, "a certificate for %lld s cannot be issued",
                           (long long)life_s);
    err = pki_check_time(own, now_s, why);
    if (err)
        return err;
    to_s = now_s + life_s;
    draft_init(&draft);
    pthread_mutex_lock(&ca->lock);
    rc = draft_begin(&draft, subject_key, &ca->key);
    if (!rc)
        rc = write_end(&draft, ca, purpose, from_s > own->not_before_s ? from_s : own->not_before_s,
                       to_s < own->not_after_s ? to_s : own->not_after_s);
    if (!rc)
        rc = draft_sign(&draft, certificate);
    pthread_mutex_unlock(&ca->lock);
    draft_free(&draft);
    if (rc)
        return prober_fail(why, pki_x509_error(rc, PROBER_ERR_IO),
                           "cannot issue a certificate (error -0x%04x)", (unsigned)-rc);
    return check_issued(ca, purpose, certificate, why);
}

enum prober_error pki_ca_issue_server(struct pki_ca *ca, int64_t now_s, int64_t life_s,
                                      struct strbuf *key, struct strbuf *certificate,
                                      struct prober_failure *why)
{
    const struct purpose purpose = {
        .role = PKI_ROLE_SERVER,
        .subject = "O=ProberMesh,CN=" PKI_SERVER_NAME,
        .name_tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME,
        .name = PKI_SERVER_NAME,
        .use = MBEDTLS_OID_SERVER_AUTH,
        .use_len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
    };
    mbedtls_pk_context pair;
    enum prober_error err;

    mbedtls_pk_init(&pair);
    err = pki_make_key(key);
    if (err)
        prober_fail(why, err, "cannot make a key");
    else
        err = pki_x509_read_key(&pair, key->bytes, why);
    if (!err)
        err = issue(ca, &purpose, &pair, now_s, life_s, certificate, why);
    mbedtls_pk_free(&pair);
    return err;
}

/* Reads a request and verifies that who made it holds the private key. */
static enum prober_error read_request(mbedtls_x509_csr *out, const void *request, size_t len,
                                      struct prober_failure *why)
{
    uint8_t digest[DIGEST_SHA256_LEN];
    int rc;

    if (len > PKI_REQUEST_MAX)
        return prober_fail(why, PROBER_ERR_RANGE,
                           "a request for a certificate of more than %d bytes", PKI_REQUEST_MAX);
    rc = mbedtls_x509_csr_parse_der(out, request, len);
    if (rc)
        return prober_fail(why, pki_x509_error(rc, PROBER_ERR_SYNTAX),
                           "not a request for a certificate (error -0x%04x)", (unsigned)-rc);
    if (!pki_x509_is_p256(&out->pk) || out->sig_md != MBEDTLS_MD_SHA256)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "the request is not of a P-256 key with ECDSA and SHA-256");
    digest_sha256(out->cri.p, out->cri.len, digest);
    rc = mbedtls_pk_verify(&out->pk, MBEDTLS_MD_SHA256, digest, sizeof(digest), out->sig.p,
                           out->sig.len);
    if (rc)
        return prober_fail(why, pki_x509_error(rc, PROBER_ERR_DENIED),
                           "the request is not signed by the key that it is for");
    return PROBER_OK;
}

enum prober_error pki_check_request(const void *request, size_t len,
                                    uint8_t key_fingerprint[DIGEST_SHA256_LEN],
                                    struct prober_failure *why)
{
    unsigned char der[256];
    mbedtls_x509_csr read;
    enum prober_error err;

    mbedtls_x509_csr_init(&read);
    err = read_request(&read, request, len, why);
    if (!err) {
        int rc = mbedtls_pk_write_pubkey_der(&read.pk, der, sizeof(der));

        if (rc <= 0)
            err = prober_fail(why, pki_x509_error(rc, PROBER_ERR_IO), "cannot write a public key");
        else
            digest_sha256(der + sizeof(der) - rc, (size_t)rc, key_fingerprint);
    }
    mbedtls_x509_csr_free(&read);
    return err;
}

enum prober_error pki_ca_issue_agent(struct pki_ca *ca, const void *request, size_t len,
                                     const struct prober_id *id, const char *region, int64_t now_s,
                                     int64_t life_s, struct strbuf *certificate,
                                     struct prober_failure *why)
{
    char name[PKI_NAME_MAX + 1], id_text[PROBER_ID_TEXT_MAX], subject[64];
    const struct purpose purpose = {
        .role = PKI_ROLE_AGENT,
        .subject = subject,
        .name_tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER,
        .name = name,
        .use = MBEDTLS_OID_CLIENT_AUTH,
        .use_len = MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
    };
    mbedtls_x509_csr read;
    enum prober_error err;

    if (pki_name_format(id, region, name))
        return prober_fail(why, PROBER_ERR_RANGE,
                           "a region is 1 to %d bytes of UTF-8 without control characters",
                           PKI_REGION_MAX);
    snprintf(subject, sizeof(subject), "O=ProberMesh,CN=%s", prober_id_format(id, id_text));
    mbedtls_x509_csr_init(&read);
    err = read_request(&read, request, len, why);
    if (!err)
        err = issue(ca, &purpose, &read.pk, now_s, life_s, certificate, why);
    mbedtls_x509_csr_free(&read);
    return err;
}
