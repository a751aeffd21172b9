/*
 * tls_server - an HTTPS server of the test's own, on loopback, with certificates made for it.
 *
 * Threads    Has one of its own; start and stop belong to the test.
 */
#ifndef TEST_FAKES_TLS_SERVER_H
#define TEST_FAKES_TLS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum tls_behaviour {
    TLS_ANSWERS,
    TLS_HANGS_UP, /* closes when the handshake begins */
    TLS_IS_SILENT /* says nothing to a handshake */
};

struct tls_server_config {
    const char *names;      /* subject alternative names, "DNS:a.test,IP:127.0.0.1"; NULL: none */
    int leaf_days, ca_days; /* until they expire, from now; 0: 30, 3650 */
    bool is_premature;      /* the leaf holds from tomorrow on only */
    int newest;             /* minor version: 1 for TLS 1.1, …; 0: any */
    bool asks_for_client;   /* and refuses one without a certificate of its authority */
    const char *answer;     /* all of it; NULL: 200 "safe" */
    const char
        *forwards_to; /* a port on loopback: what comes is sent there; NULL: answers itself */
    enum tls_behaviour behaviour;
};

struct tls_server;

/* Starts answering, one connection after the other. Aborts when it cannot. */
struct tls_server *tls_server_start(const struct tls_server_config *config);
const char *tls_server_port(const struct tls_server *s);
/* PEM of the authority that signed its certificate, which it sends too. */
const char *tls_server_ca(const struct tls_server *s);
/* PEM of its own certificate and key: a client may show them too. */
const char *tls_server_cert(const struct tls_server *s);
const char *tls_server_key(const struct tls_server *s);
/* Unix seconds. */
int64_t tls_server_leaf_expiry(const struct tls_server *s);
int64_t tls_server_ca_expiry(const struct tls_server *s);
/* The name that the last client asked for, "" for none; call it when no handshake is under way. */
const char *tls_server_asked_name(const struct tls_server *s);
/* The head of the last request; call it when none is under way. */
const char *tls_server_last(const struct tls_server *s);
void tls_server_stop(struct tls_server *s);

#endif
