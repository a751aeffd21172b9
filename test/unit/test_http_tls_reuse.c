#include "libprober/http_tls_reuse.h"

#include <dlfcn.h>
#include <openssl/ssl.h>

#include "unit.h"

static int set_up(void **state)
{
    struct http_tls_reuse *c = NULL;

    if (http_tls_reuse_create(&c))
        return -1;
    http_tls_reuse_use(c);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    http_tls_reuse_use(NULL);
    http_tls_reuse_destroy(*state);
    return 0;
}

/* Begins a connection as libcurl does. */
static SSL *open_one(SSL_CTX **ctx)
{
    SSL *ssl;

    *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(*ctx);
    ssl = SSL_new(*ctx);
    assert_non_null(ssl);
    return ssl;
}

static void close_one(SSL *ssl, SSL_CTX *ctx)
{
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void libraries_call_these_functions(void **state)
{
    (void)state;
    assert_true((uintptr_t)dlsym(RTLD_DEFAULT, "d2i_X509") == (uintptr_t)d2i_X509);
    assert_true((uintptr_t)dlsym(RTLD_DEFAULT, "SSL_CTX_new") == (uintptr_t)SSL_CTX_new);
}

static int trust_all(X509_STORE_CTX *ctx, void *context)
{
    (void)ctx;
    (void)context;
    return 1;
}

static void the_next_connection_gets_the_context_as_if_it_were_new(void **state)
{
    SSL_CTX *fresh = SSL_CTX_new_ex(NULL, NULL, TLS_client_method()), *ctx, *again;
    X509_STORE *store = X509_STORE_new();
    SSL *ssl = open_one(&ctx);

    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_cert_verify_callback(ctx, trust_all, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TLSv1_3 | SSL_OP_NO_TICKET);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    close_one(ssl, ctx);
    assert_int_equal(http_tls_reuse_contexts(*state), 1);

    ssl = open_one(&again);
    assert_ptr_equal(again, ctx);
    assert_int_equal(http_tls_reuse_contexts(*state), 0);
    assert_ptr_not_equal(SSL_CTX_get_cert_store(again), store);
    assert_int_equal(SSL_CTX_get_verify_mode(again), SSL_CTX_get_verify_mode(fresh));
    assert_int_equal(SSL_CTX_get_security_level(again), SSL_CTX_get_security_level(fresh));
    assert_int_equal(SSL_CTX_get_options(again), SSL_CTX_get_options(fresh));
    assert_int_equal(SSL_CTX_get_min_proto_version(again), SSL_CTX_get_min_proto_version(fresh));
    assert_int_equal(SSL_CTX_get_max_proto_version(again), SSL_CTX_get_max_proto_version(fresh));
    close_one(ssl, again);
    SSL_CTX_free(fresh);
}

static void a_context_serves_one_connection_at_a_time(void **state)
{
    SSL_CTX *first, *second;
    SSL *one = open_one(&first), *two = open_one(&second);

    assert_ptr_not_equal(first, second);
    close_one(one, first);
    close_one(two, second);
    assert_int_equal(http_tls_reuse_contexts(*state), 2);
}

static X509 *given_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();

    assert_int_equal(X509_set_pubkey(cert, key), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 1000);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    EVP_PKEY_free(key);
    return cert;
}

static void a_context_with_a_certificate_of_ours_is_not_kept(void **state)
{
    X509 *cert = given_certificate();
    SSL_CTX *ctx;
    SSL *ssl = open_one(&ctx);

    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    close_one(ssl, ctx);
    assert_int_equal(http_tls_reuse_contexts(*state), 0);
    X509_free(cert);
}

static void no_more_are_kept_than_some(void **state)
{
    SSL_CTX *contexts[HTTP_TLS_CONTEXTS_MAX + 1];
    SSL *connections[HTTP_TLS_CONTEXTS_MAX + 1];

    for (size_t i = 0; i <= HTTP_TLS_CONTEXTS_MAX; i++)
        connections[i] = open_one(&contexts[i]);
    for (size_t i = 0; i <= HTTP_TLS_CONTEXTS_MAX; i++)
        close_one(connections[i], contexts[i]);
    assert_int_equal(http_tls_reuse_contexts(*state), HTTP_TLS_CONTEXTS_MAX);
}

static void who_uses_no_set_gets_new_ones_and_gives_none(void **state)
{
    SSL_CTX *ctx, *other;
    SSL *ssl = open_one(&ctx);

    close_one(ssl, ctx);
    http_tls_reuse_use(NULL);
    ssl = open_one(&other);
    assert_ptr_not_equal(other, ctx);
    close_one(ssl, other);
    assert_int_equal(http_tls_reuse_contexts(*state), 1);
}

struct der {
    unsigned char bytes[1024];
    long len;
};

static struct der given_der(void)
{
    X509 *cert = given_certificate();
    struct der der;
    unsigned char *to = der.bytes;

    assert_in_range(i2d_X509(cert, NULL), 1, sizeof(der.bytes) - 1);
    der.len = i2d_X509(cert, &to);
    X509_free(cert);
    return der;
}

/* Parses as libssl does; NULL when that fails. */
static X509 *parse(const struct der *der, long *used)
{
    const unsigned char *at = der->bytes;
    X509 *cert = X509_new();

    if (!d2i_X509(&cert, &at, der->len)) {
        X509_free(cert);
        cert = NULL;
    }
    *used = at - der->bytes;
    return cert;
}

static void the_same_bytes_are_parsed_once(void **state)
{
    struct der one = given_der(), two = given_der();
    long used;
    X509 *first = parse(&one, &used), *other = parse(&two, &used), *again = parse(&one, &used);

    assert_non_null(first);
    assert_ptr_equal(again, first);
    assert_int_equal(used, one.len);
    assert_non_null(other);
    assert_ptr_not_equal(other, first);
    assert_int_equal(http_tls_reuse_certificates(*state), 2);
    X509_free(first);
    X509_free(other);
    assert_non_null(X509_get0_pubkey(again));
    X509_free(again);
}

static void what_is_no_certificate_is_not_kept(void **state)
{
    struct der der = given_der();
    long used;
    X509 *cert;

    der.bytes[0] ^= 1;
    assert_null(parse(&der, &used));
    der.bytes[0] ^= 1;
    der.bytes[der.len++] = 0; /* one with something after it is, but its caller will refuse it */
    cert = parse(&der, &used);
    assert_int_equal(used, der.len - 1);
    assert_int_equal(http_tls_reuse_certificates(*state), 0);
    X509_free(cert);
}

static void who_uses_no_set_parses_for_himself(void **state)
{
    struct der der = given_der();
    long used;
    X509 *kept = parse(&der, &used), *own;

    http_tls_reuse_use(NULL);
    own = parse(&der, &used);
    assert_non_null(own);
    assert_ptr_not_equal(own, kept);
    assert_int_equal(X509_cmp(own, kept), 0);
    assert_int_equal(http_tls_reuse_certificates(*state), 1);
    X509_free(own);
    X509_free(kept);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(libraries_call_these_functions),
        TEST(the_next_connection_gets_the_context_as_if_it_were_new),
        TEST(a_context_serves_one_connection_at_a_time),
        TEST(a_context_with_a_certificate_of_ours_is_not_kept),
        TEST(no_more_are_kept_than_some),
        TEST(who_uses_no_set_gets_new_ones_and_gives_none),
        TEST(the_same_bytes_are_parsed_once),
        TEST(what_is_no_certificate_is_not_kept),
        TEST(who_uses_no_set_parses_for_himself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
