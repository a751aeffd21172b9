#include "libprober/http_tls_reuse.h"

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "common/siphash.h"

#define WAYS 4 /* places that one hash leaves to a certificate */
#define SETS (HTTP_TLS_CERTIFICATES_MAX / WAYS)

struct certificate {
    X509 *parsed; /* NULL: the place is free */
    unsigned char *der;
    size_t len;
};

struct http_tls_reuse {
    SSL_CTX *contexts[HTTP_TLS_CONTEXTS_MAX];
    size_t context_count;
    /* as new contexts have it */
    uint64_t options;
    int security_level;
    long min_version, max_version;

    struct siphash_key key;
    struct certificate certificates[SETS][WAYS];
    uint8_t oldest[SETS]; /* the place that is taken next when none is free */
    size_t certificate_count;
};

/* Whose calls this thread is in: the functions of OpenSSL have no argument that could say so. */
static _Thread_local struct http_tls_reuse *current;

/* ---- contexts ---- */

static SSL_CTX *make_context(struct http_tls_reuse *r, const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, NULL, method);

    if (r && ctx) {
        r->options = SSL_CTX_get_options(ctx);
        r->security_level = SSL_CTX_get_security_level(ctx);
        r->min_version = SSL_CTX_get_min_proto_version(ctx);
        r->max_version = SSL_CTX_get_max_proto_version(ctx);
    }
    return ctx;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    struct http_tls_reuse *r = current;

    if (r && r->context_count > 0 &&
        SSL_CTX_get_ssl_method(r->contexts[r->context_count - 1]) == method)
        return r->contexts[--r->context_count];
    return make_context(r, method);
}

/* Takes back what libcurl and http_tls have set. */
static bool make_as_new(const struct http_tls_reuse *r, SSL_CTX *ctx)
{
    X509_STORE *store = X509_STORE_new();

    if (!store)
        return false;
    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_cert_verify_callback(ctx, NULL, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(ctx, r->security_level);
    SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
    SSL_CTX_set_options(ctx, r->options);
    return SSL_CTX_set_alpn_protos(ctx, NULL, 0) == 0 &&
           SSL_CTX_set_min_proto_version(ctx, (int)r->min_version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, (int)r->max_version) == 1;
}

/* OpenSSL calls this when an SSL is freed. A context with a key of its own is for one probe alone. */
static void on_end(void *ssl, void *value, CRYPTO_EX_DATA *data, int index, long number,
                   void *context)
{
    struct http_tls_reuse *r = current;
    SSL_CTX *ctx = r ? SSL_get_SSL_CTX(ssl) : NULL;

    (void)value;
    (void)data;
    (void)index;
    (void)number;
    (void)context;
    if (ctx && r->context_count < HTTP_TLS_CONTEXTS_MAX && !SSL_CTX_get0_certificate(ctx) &&
        make_as_new(r, ctx) && SSL_CTX_up_ref(ctx) == 1)
        r->contexts[r->context_count++] = ctx;
}

/* ---- certificates ---- */

static X509 *(*real_d2i_x509)(X509 **out, const unsigned char **in, long len);
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

static void find_out(void)
{
    *(void **)&real_d2i_x509 = dlsym(RTLD_NEXT, "d2i_X509");
    SSL_get_ex_new_index(0, NULL, NULL, NULL, on_end);
}

static X509 *parse(X509 **out, const unsigned char **in, long len)
{
    if (CRYPTO_THREAD_run_once(&once, find_out) == 1 && real_d2i_x509)
        return real_d2i_x509(out, in, len);
    return (X509 *)ASN1_item_d2i((ASN1_VALUE **)out, in, len, ASN1_ITEM_rptr(X509));
}

static void forget(struct http_tls_reuse *r, struct certificate *c)
{
    if (!c->parsed)
        return;
    X509_free(c->parsed);
    free(c->der);
    memset(c, 0, sizeof(*c));
    r->certificate_count--;
}

static struct certificate *find(struct http_tls_reuse *r, size_t set, const unsigned char *der,
                                size_t len)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct certificate *c = &r->certificates[set][i];

        if (c->parsed && c->len == len && memcmp(c->der, der, len) == 0)
            return c;
    }
    return NULL;
}

static void keep(struct http_tls_reuse *r, size_t set, X509 *parsed, const unsigned char *der,
                 size_t len)
{
    struct certificate *c = &r->certificates[set][r->oldest[set]];
    unsigned char *copy = malloc(len);

    if (!copy || X509_up_ref(parsed) != 1) {
        free(copy);
        return;
    }
    forget(r, c);
    memcpy(copy, der, len);
    *c = (struct certificate){parsed, copy, len};
    r->oldest[set] = (uint8_t)((r->oldest[set] + 1) % WAYS);
    r->certificate_count++;
}

/* The same bytes make the same certificate, and nobody changes one that came from a server. libssl
 * brings an empty one of its own in *out. */
X509 *d2i_X509(X509 **out, const unsigned char **in, long len)
{
    struct http_tls_reuse *r = current;
    const unsigned char *der = *in;
    struct certificate *known;
    X509 *parsed;
    size_t set;

    if (!r || !out || !*out || len <= 0)
        return parse(out, in, len);
    set = siphash24(&r->key, der, (size_t)len) % SETS;
    known = find(r, set, der, (size_t)len);
    if (known && X509_up_ref(known->parsed) == 1) {
        X509_free(*out);
        *out = known->parsed;
        *in += len;
        return *out;
    }
    parsed = parse(out, in, len);
    if (parsed && *in == der + len)
        keep(r, set, parsed, der, (size_t)len);
    return parsed;
}

/* ---- sets ---- */

enum prober_error http_tls_reuse_create(struct http_tls_reuse **out)
{
    struct http_tls_reuse *r;

    if (CRYPTO_THREAD_run_once(&once, find_out) != 1)
        return PROBER_ERR_NOMEM;
    r = calloc(1, sizeof(*r));
    if (!r)
        return PROBER_ERR_NOMEM;
    random_bytes(&r->key, sizeof(r->key));
    *out = r;
    return PROBER_OK;
}

void http_tls_reuse_use(struct http_tls_reuse *r)
{
    current = r;
}

size_t http_tls_reuse_contexts(const struct http_tls_reuse *r)
{
    return r->context_count;
}

size_t http_tls_reuse_certificates(const struct http_tls_reuse *r)
{
    return r->certificate_count;
}

void http_tls_reuse_destroy(struct http_tls_reuse *r)
{
    if (!r)
        return;
    while (r->context_count > 0)
        SSL_CTX_free(r->contexts[--r->context_count]);
    for (size_t set = 0; set < SETS; set++)
        for (size_t i = 0; i < WAYS; i++)
            forget(r, &r->certificates[set][i]);
    free(r);
}
