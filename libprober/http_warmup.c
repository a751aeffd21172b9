#include "libprober/http_warmup.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define FLIGHTS_MAX 4
#define VALID_S 60

/* A certificate that nobody will look at, and its key. */
static bool certify(SSL_CTX *server)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool ok = key && cert && X509_set_pubkey(cert, key) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
              X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) &&
              X509_sign(cert, key, EVP_sha256()) > 0 &&
              SSL_CTX_use_certificate(server, cert) == 1 &&
              SSL_CTX_use_PrivateKey(server, key) == 1;

    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

static bool connect_in_memory(SSL *client, SSL *server)
{
    BIO *near = NULL, *far = NULL;
    int done = 0;

    if (BIO_new_bio_pair(&near, 0, &far, 0) != 1)
        return false;
    SSL_set_bio(client, near, near);
    SSL_set_bio(server, far, far);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (int i = 0; i < FLIGHTS_MAX && done != 1; i++) {
        done = SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    return done == 1;
}

bool http_warm_up(void)
{
    SSL_CTX *contexts[2] = {SSL_CTX_new(TLS_client_method()), SSL_CTX_new(TLS_server_method())};
    SSL *client = contexts[0] ? SSL_new(contexts[0]) : NULL, *server = NULL;
    bool ok = false;

    if (contexts[1] && certify(contexts[1]))
        server = SSL_new(contexts[1]);
    if (client && server)
        ok = connect_in_memory(client, server);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(contexts[0]);
    SSL_CTX_free(contexts[1]);
    return ok;
}
