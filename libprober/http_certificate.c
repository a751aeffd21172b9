#include "libprober/http_certificate.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/addr.h"
#include "common/strbuf.h"

#define SUBJECT_MAX 512
#define SERIAL_MAX 20 /* bytes (RFC 5280, 4.1.2.2) */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

int64_t http_certificate_expiry(const void *x509)
{
    return seconds_of(X509_get0_notAfter(x509));
}

static void put_name(char out[SUBJECT_MAX], const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len;

    out[0] = 0;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        len = BIO_get_mem_data(bio, &text);
        snprintf(out, SUBJECT_MAX, "%.*s", len < SUBJECT_MAX ? (int)len : SUBJECT_MAX - 1, text);
    }
    BIO_free(bio);
}

static void put_hex(char *out, const unsigned char *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
    out[2 * len] = 0;
}

static void put_serial(char out[2 * SERIAL_MAX + 1], const X509 *x509)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x509);
    int len = ASN1_STRING_length(serial);

    put_hex(out, ASN1_STRING_get0_data(serial), len < SERIAL_MAX ? (unsigned)len : SERIAL_MAX);
}

static void put_key(char *out, size_t room, X509 *x509)
{
    EVP_PKEY *key = X509_get0_pubkey(x509);
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;

    snprintf(out, room, "%s %d", type ? type : "unknown", key ? EVP_PKEY_get_bits(key) : 0);
}

static void trace_address(struct http_trace *t, const ASN1_OCTET_STRING *octets)
{
    struct prober_addr address = {0};
    char text[PROBER_ADDR_TEXT_MAX];
    int len = ASN1_STRING_length(octets);

    if (len != 4 && len != 16)
        return;
    address.family = len == 4 ? PROBER_FAMILY_IPV4 : PROBER_FAMILY_IPV6;
    memcpy(address.bytes, ASN1_STRING_get0_data(octets), (size_t)len);
    prober_addr_format(&address, text);
    http_trace_name(t, text, strlen(text));
}

static void trace_names(struct http_trace *t, const X509 *x509)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            http_trace_name(t, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                            (size_t)ASN1_STRING_length(name->d.dNSName));
        else if (name->type == GEN_IPADD)
            trace_address(t, name->d.iPAddress);
    }
    GENERAL_NAMES_free(names);
}

void http_certificate_trace(struct http_trace *t, void *x509)
{
    char subject[SUBJECT_MAX], issuer[SUBJECT_MAX], serial[2 * SERIAL_MAX + 1], key[64];
    char sha256[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const struct http_trace_certificate certificate = {
        .subject = subject,
        .issuer = issuer,
        .serial = serial,
        .sha256 = sha256,
        .key = key,
        .signature = OBJ_nid2sn(X509_get_signature_nid(x509)),
        .not_before = seconds_of(X509_get0_notBefore(x509)),
        .not_after = seconds_of(X509_get0_notAfter(x509)),
    };

    put_name(subject, X509_get_subject_name(x509));
    put_name(issuer, X509_get_issuer_name(x509));
    put_serial(serial, x509);
    put_key(key, sizeof(key), x509);
    if (X509_digest(x509, EVP_sha256(), digest, &len) == 1)
        put_hex(sha256, digest, len);
    http_trace_certificate(t, &certificate);
    trace_names(t, x509);
}
