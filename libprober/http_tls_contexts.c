#include "libprober/http_tls_contexts.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>

struct http_tls_contexts {
    SSL_CTX *idle[HTTP_TLS_CONTEXTS_MAX];
    size_t count;
    /* as new ones have it */
    uint64_t options;
    int security_level;
    long min_version, max_version;
};

/* Whose calls this thread is in: SSL_CTX_new has no argument that could say so. */
static _Thread_local struct http_tls_contexts *current;

static SSL_CTX *make(struct http_tls_contexts *c, const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, NULL, method);

    if (c && ctx) {
        c->options = SSL_CTX_get_options(ctx);
        c->security_level = SSL_CTX_get_security_level(ctx);
        c->min_version = SSL_CTX_get_min_proto_version(ctx);
        c->max_version = SSL_CTX_get_max_proto_version(ctx);
    }
    return ctx;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    struct http_tls_contexts *c = current;

    if (c && c->count > 0 && SSL_CTX_get_ssl_method(c->idle[c->count - 1]) == method)
        return c->idle[--c->count];
    return make(c, method);
}

/* Takes back what libcurl and http_tls have set. */
static bool make_as_new(const struct http_tls_contexts *c, SSL_CTX *ctx)
{
    X509_STORE *store = X509_STORE_new();

    if (!store)
        return false;
    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_cert_verify_callback(ctx, NULL, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(ctx, c->security_level);
    SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
    SSL_CTX_set_options(ctx, c->options);
    return SSL_CTX_set_alpn_protos(ctx, NULL, 0) == 0 &&
           SSL_CTX_set_min_proto_version(ctx, (int)c->min_version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, (int)c->max_version) == 1;
}

/* OpenSSL calls this when an SSL is freed. A context with a key of its own is for one probe alone. */
static void on_end(void *ssl, void *value, CRYPTO_EX_DATA *data, int index, long number,
                   void *context)
{
    struct http_tls_contexts *c = current;
    SSL_CTX *ctx = c ? SSL_get_SSL_CTX(ssl) : NULL;

    (void)value;
    (void)data;
    (void)index;
    (void)number;
    (void)context;
    if (ctx && c->count < HTTP_TLS_CONTEXTS_MAX && !SSL_CTX_get0_certificate(ctx) &&
        make_as_new(c, ctx) && SSL_CTX_up_ref(ctx) == 1)
        c->idle[c->count++] = ctx;
}

static void watch_ends(void)
{
    SSL_get_ex_new_index(0, NULL, NULL, NULL, on_end);
}

enum prober_error http_tls_contexts_create(struct http_tls_contexts **out)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

    if (CRYPTO_THREAD_run_once(&once, watch_ends) != 1)
        return PROBER_ERR_NOMEM;
    *out = calloc(1, sizeof(**out));
    return *out ? PROBER_OK : PROBER_ERR_NOMEM;
}

void http_tls_contexts_use(struct http_tls_contexts *c)
{
    current = c;
}

size_t http_tls_contexts_idle(const struct http_tls_contexts *c)
{
    return c->count;
}

void http_tls_contexts_destroy(struct http_tls_contexts *c)
{
    if (!c)
        return;
    while (c->count > 0)
        SSL_CTX_free(c->idle[--c->count]);
    free(c);
}
