#include "tls_server.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

#define DAY (24 * 60 * 60)

struct tls_server {
    struct tls_server_config config;
    SSL_CTX *ctx;
    EVP_PKEY *key;
    X509 *ca, *leaf;
    int64_t ca_expiry, leaf_expiry;
    int listener, stop, stopped;
    int held; /* the silent connection; -1: none */
    char port[8], ca_pem[4096], leaf_pem[4096], key_pem[4096], asked[256], last[8192];
    pthread_t thread;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(extension && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static X509 *make_cert(struct tls_server *s, const char *name, X509 *issuer, int64_t from,
                       int64_t until)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer ? 2 : 1);
    ASN1_TIME_set(X509_getm_notBefore(cert), from);
    ASN1_TIME_set(X509_getm_notAfter(cert), until);
    X509_set_pubkey(cert, s->key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
    if (!issuer)
        extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    else if (s->config.names)
        extend(cert, issuer, NID_subject_alt_name, s->config.names);
    must(X509_sign(cert, s->key, EVP_sha256()) > 0, "X509_sign");
    return cert;
}

/* Writes a certificate, or the key when there is none. */
static void put_pem(char out[4096], X509 *cert, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int len;

    if (cert)
        must(PEM_write_bio_X509(bio, cert) == 1, "PEM_write_bio_X509");
    else
        must(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
             "PEM_write_bio_PrivateKey");
    len = BIO_read(bio, out, 4095);
    must(len > 0, "BIO_read");
    out[len] = 0;
    BIO_free(bio);
}

static void make_certs(struct tls_server *s)
{
    int64_t now = time(NULL), start = now - 100 * DAY;
    int ca_days = s->config.ca_days ? s->config.ca_days : 3650;
    int leaf_days = s->config.leaf_days ? s->config.leaf_days : 30;

    s->key = EVP_EC_gen("P-256");
    s->ca_expiry = now + (int64_t)ca_days * DAY;
    s->leaf_expiry = now + (int64_t)leaf_days * DAY;
    s->ca = make_cert(s, "test authority", NULL, start, s->ca_expiry);
    s->leaf = make_cert(s, "localhost", s->ca, s->config.is_premature ? now + DAY : start,
                        s->leaf_expiry);
    put_pem(s->ca_pem, s->ca, NULL);
    put_pem(s->leaf_pem, s->leaf, NULL);
    put_pem(s->key_pem, NULL, s->key);
}

static int choose_h1(SSL *ssl, const unsigned char **out, unsigned char *len,
                     const unsigned char *in, unsigned in_len, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)context;
    return SSL_select_next_proto((unsigned char **)out, len, ours, sizeof(ours) - 1, in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static void make_context(struct tls_server *s)
{
    static const int newest[] = {0, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};

    s->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(s->ctx, 0);
    SSL_CTX_set_min_proto_version(s->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(s->ctx, newest[s->config.newest]);
    SSL_CTX_set_alpn_select_cb(s->ctx, choose_h1, NULL);
    must(SSL_CTX_use_certificate(s->ctx, s->leaf) == 1, "leaf");
    must(SSL_CTX_use_PrivateKey(s->ctx, s->key) == 1, "key");
    must(SSL_CTX_add1_chain_cert(s->ctx, s->ca) == 1, "chain");
    must(X509_STORE_add_cert(SSL_CTX_get_cert_store(s->ctx), s->ca) == 1, "store");
    if (s->config.asks_for_client)
        SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static long read_tls(void *ssl, char *bytes, size_t len)
{
    return SSL_read(ssl, bytes, (int)len);
}

static long write_tls(void *ssl, const char *bytes, size_t len)
{
    return SSL_write(ssl, bytes, (int)len);
}

static void forward(struct tls_server *s, SSL *ssl)
{
    int fd = relay_connect(s->config.forwards_to);

    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
    relay_run((struct relay_end){SSL_get_fd(ssl), read_tls, write_tls, ssl}, relay_socket(&fd),
              s->stopped);
    close(fd);
}

static void talk(struct tls_server *s, SSL *ssl)
{
    const char *answer =
        s->config.answer ? s->config.answer : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe";
    const char *asked;
    char request[8192] = "";
    int len = 0, n = 1;

    if (SSL_accept(ssl) != 1) {
        shutdown(SSL_get_fd(ssl), SHUT_WR);
        while (recv(SSL_get_fd(ssl), request, sizeof(request), 0) > 0)
            ; /* else a reset would overtake the alert */
        return;
    }
    asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(s->asked, sizeof(s->asked), "%s", asked ? asked : "");
    if (s->config.forwards_to) {
        forward(s, ssl);
        return;
    }
    while (n > 0 && !strstr(request, "\r\n\r\n")) {
        n = SSL_read(ssl, request + len, (int)sizeof(request) - 1 - len);
        len += n > 0 ? n : 0;
        request[len] = 0;
    }
    memcpy(s->last, request, sizeof(s->last));
    if (n > 0) {
        SSL_write(ssl, answer, (int)strlen(answer));
        SSL_shutdown(ssl);
        recv(SSL_get_fd(ssl), request, sizeof(request), 0); /* the client closes first: no reset */
    }
}

static void serve(struct tls_server *s, int fd)
{
    SSL *ssl = SSL_new(s->ctx);
    char byte;

    if (s->config.behaviour == TLS_ANSWERS) {
        SSL_set_fd(ssl, fd);
        talk(s, ssl);
    } else {
        recv(fd, &byte, 1, 0);
    }
    SSL_free(ssl);
    if (s->config.behaviour == TLS_IS_SILENT && s->held < 0)
        s->held = fd;
    else
        close(fd);
}

static void *run(void *arg)
{
    struct tls_server *s = arg;
    struct pollfd fds[] = {{s->stopped, POLLIN, 0}, {s->listener, POLLIN, 0}};

    while (poll(fds, 2, -1) >= 0 && !fds[0].revents) {
        int fd = accept(s->listener, NULL, NULL);

        if (fd >= 0)
            serve(s, fd);
    }
    return NULL;
}

struct tls_server *tls_server_start(const struct tls_server_config *config)
{
    struct tls_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int ends[2];

    must(s != NULL, "calloc");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    s->config = *config;
    s->held = -1;
    make_certs(s);
    make_context(s);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(s->listener, (struct sockaddr *)&sin, len) == 0 && listen(s->listener, 64) == 0,
         "bind");
    must(getsockname(s->listener, (struct sockaddr *)&sin, &len) == 0, "getsockname");
    snprintf(s->port, sizeof(s->port), "%u", ntohs(sin.sin_port));
    must(pipe(ends) == 0, "pipe");
    s->stopped = ends[0];
    s->stop = ends[1];
    must(pthread_create(&s->thread, NULL, run, s) == 0, "pthread_create");
    return s;
}

const char *tls_server_port(const struct tls_server *s)
{
    return s->port;
}

const char *tls_server_ca(const struct tls_server *s)
{
    return s->ca_pem;
}

const char *tls_server_cert(const struct tls_server *s)
{
    return s->leaf_pem;
}

const char *tls_server_key(const struct tls_server *s)
{
    return s->key_pem;
}

int64_t tls_server_leaf_expiry(const struct tls_server *s)
{
    return s->leaf_expiry;
}

int64_t tls_server_ca_expiry(const struct tls_server *s)
{
    return s->ca_expiry;
}

const char *tls_server_asked_name(const struct tls_server *s)
{
    return s->asked;
}

const char *tls_server_last(const struct tls_server *s)
{
    return s->last;
}

void tls_server_stop(struct tls_server *s)
{
    if (!s)
        return;
    must(write(s->stop, "", 1) == 1, "write");
    pthread_join(s->thread, NULL);
    if (s->held >= 0)
        close(s->held);
    close(s->listener);
    close(s->stop);
    close(s->stopped);
    X509_free(s->ca);
    X509_free(s->leaf);
    EVP_PKEY_free(s->key);
    SSL_CTX_free(s->ctx);
    free(s);
}
