#include "libprober/http_tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/addr.h"
#include "common/array.h"
#include "common/clock.h"
#include "libprober/http_certificate.h"

struct http_tls_trust {
    X509_STORE *store;
    size_t holders;
};

struct http_tls_roots {
    struct http_tls_trust *trust; /* as last read; NULL: not yet */
    struct stat file;             /* as it was then */
};

static int add_certificates(X509_STORE *store, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;
    int count = 0;

    while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(store, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    return count;
}

enum prober_error http_tls_trust_create(struct http_tls_trust **out, const char *pem,
                                        struct prober_failure *why)
{
    struct http_tls_trust *t = calloc(1, sizeof(*t));
    enum prober_error err = PROBER_OK;

    if (t) {
        t->holders = 1;
        t->store = X509_STORE_new();
    }
    if (!t || !t->store)
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    else if (pem && add_certificates(t->store, pem) == 0)
        err = prober_fail(why, PROBER_ERR_SYNTAX, "there is no certificate in the ca");
    else if (!pem && X509_STORE_set_default_paths(t->store) != 1)
        err = prober_fail(why, PROBER_ERR_NOMEM, "the system's certificates cannot be used");
    if (!err) {
        *out = t;
        t = NULL;
    }
    http_tls_trust_destroy(t);
    return err;
}

static int64_t earliest_expiry(const STACK_OF(X509) * chain)
{
    int64_t earliest = 0;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t at = http_certificate_expiry(sk_X509_value(chain, i));

        if (at && (earliest == 0 || at < earliest))
            earliest = at;
    }
    return earliest;
}

static enum http_reason reason_of(int error)
{
    static const struct {
        int error;
        enum http_reason reason;
    } table[] = {
        {X509_V_ERR_CERT_HAS_EXPIRED, HTTP_FAILED_TLS_VERIFY_EXPIRED},
        {X509_V_ERR_CERT_NOT_YET_VALID, HTTP_FAILED_TLS_VERIFY_EXPIRED},
        {X509_V_ERR_HOSTNAME_MISMATCH, HTTP_FAILED_TLS_VERIFY_HOSTNAME},
        {X509_V_ERR_IP_ADDRESS_MISMATCH, HTTP_FAILED_TLS_VERIFY_HOSTNAME},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].error == error)
            return table[i].reason;
    return HTTP_FAILED_TLS_VERIFY_UNTRUSTED;
}

static bool set_name(X509_VERIFY_PARAM *param, const char *name)
{
    struct prober_addr addr;
    size_t len = strlen(name);

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (prober_addr_parse(name, &addr) == PROBER_OK)
        return X509_VERIFY_PARAM_set1_ip(param, addr.bytes,
                                         addr.family == PROBER_FAMILY_IPV4 ? 4 : 16) == 1;
    if (len > 1 && name[len - 1] == '.') /* the root's dot is no part of a certificate's name */
        len--;
    return X509_VERIFY_PARAM_set1_host(param, name, len) == 1;
}

static int refuse(const struct http_tls_session *s, X509_STORE_CTX *ctx)
{
    int error = X509_STORE_CTX_get_error(ctx);

    http_trace_verdict(s->trace, X509_verify_cert_error_string(error),
                       X509_STORE_CTX_get_error_depth(ctx));
    return error;
}

static void trace_chain(struct http_trace *trace, const STACK_OF(X509) * chain)
{
    for (int i = 0; trace && i < sk_X509_num(chain); i++)
        http_certificate_trace(trace, sk_X509_value(chain, i));
}

static const char *version_of(const SSL *ssl)
{
    static const struct {
        int version;
        const char *text;
    } table[] = {
        {TLS1_VERSION, "TLS 1.0"},
        {TLS1_1_VERSION, "TLS 1.1"},
        {TLS1_2_VERSION, "TLS 1.2"},
        {TLS1_3_VERSION, "TLS 1.3"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (SSL_version(ssl) == table[i].version)
            return table[i].text;
    return NULL;
}

/* OpenSSL asks this instead of its own verification, for each chain that a server sends. */
static int verify(X509_STORE_CTX *ctx, void *context)
{
    struct http_tls_session *s = context;

    s->version = version_of(X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx()));
    s->earliest_expiry = earliest_expiry(X509_STORE_CTX_get0_untrusted(ctx));
    trace_chain(s->trace, X509_STORE_CTX_get0_untrusted(ctx));
    if (s->is_unverified)
        return 1;
    if (!set_name(X509_STORE_CTX_get0_param(ctx), s->name)) {
        s->failure = HTTP_FAILED_LOCAL;
        return 0;
    }
    if (X509_verify_cert(ctx) == 1) {
        s->last_chain_expiry = earliest_expiry(X509_STORE_CTX_get0_chain(ctx));
        http_trace_verdict(s->trace, NULL, 0);
        return 1;
    }
    s->failure = reason_of(refuse(s, ctx));
    return 0;
}

void http_tls_attach(struct http_tls_session *s, void *ssl_ctx)
{
    s->started_ns = clock_monotonic_ns();
    http_trace_begin_tls(s->trace, s->name, s->is_proxy);
    if (s->trust)
        SSL_CTX_set1_cert_store(ssl_ctx, s->trust->store);
    if (s->allows_old)
        SSL_CTX_set_security_level(ssl_ctx, 0);
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ssl_ctx, verify, s);
}

void http_tls_note_version(struct http_tls_session *s, void *ssl)
{
    if (ssl)
        s->version = version_of(ssl);
}

void http_tls_trace(const struct http_tls_session *s, void *ssl)
{
    const unsigned char *protocol = NULL;
    char alpn[256] = "";
    unsigned len = 0;

    if (!ssl || !s->trace)
        return;
    SSL_get0_alpn_selected(ssl, &protocol, &len);
    if (len < sizeof(alpn))
        memcpy(alpn, protocol ? (const char *)protocol : "", len);
    http_trace_tls(s->trace, version_of(ssl), SSL_get_cipher_name(ssl), len ? alpn : NULL);
}

void http_tls_trust_destroy(struct http_tls_trust *t)
{
    if (!t || --t->holders > 0)
        return;
    X509_STORE_free(t->store);
    free(t);
}

enum prober_error http_tls_roots_create(struct http_tls_roots **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? PROBER_OK : PROBER_ERR_NOMEM;
}

static void look_at_file(struct stat *out)
{
    const char *path = getenv(X509_get_default_cert_file_env());

    memset(out, 0, sizeof(*out));
    if (stat(path ? path : X509_get_default_cert_file(), out))
        memset(out, 0, sizeof(*out));
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

enum prober_error http_tls_roots_trust(struct http_tls_roots *r, struct http_tls_trust **out,
                                       struct prober_failure *why)
{
    struct http_tls_trust *fresh = NULL;
    struct stat file;
    enum prober_error err;

    look_at_file(&file);
    if (!r->trust || !is_same_file(&file, &r->file)) {
        err = http_tls_trust_create(&fresh, NULL, why);
        if (err)
            return err;
        http_tls_trust_destroy(r->trust);
        r->trust = fresh;
        r->file = file;
    }
    r->trust->holders++;
    *out = r->trust;
    return PROBER_OK;
}

void http_tls_roots_destroy(struct http_tls_roots *r)
{
    if (!r)
        return;
    http_tls_trust_destroy(r->trust);
    free(r);
}
