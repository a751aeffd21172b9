/*
 * channel_tls_config - what the sessions of one server or one client share.
 *
 * Purpose    The part of the adapter that reads certificates and keys, sets mbedtls up, and issues
 *            and takes tickets. Only common/channel_tls*.c include it, as it names mbedtls's types.
 * Threads    Once it is open, any thread may use it: what changes is guarded or atomic, and the
 *            tables that mbedtls makes at the first use of a key are made while opening.
 * Ownership  Counted references: its maker's, and one of each channel.
 */
#ifndef COMMON_CHANNEL_TLS_CONFIG_H
#define COMMON_CHANNEL_TLS_CONFIG_H

#include <pthread.h>
#include <stdatomic.h>

#include <mbedtls/ssl.h>

#include "common/channel_tls.h"

struct channel_end {
    atomic_uint references;
    bool is_server;
    bool joins;  /* a client without a certificate of its own */
    bool pinned; /* a client that knows the authority by ca_fingerprint alone */
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
    mbedtls_ssl_config tls;
    mbedtls_x509_crt own, ca;
    mbedtls_pk_context key;
    struct pki_identity identity;              /* of a server */
    struct ticket_keys *tickets;               /* borrowed */
    uint8_t ticket_context[DIGEST_SHA256_LEN]; /* a ticket is worth what its authorities are */
    atomic_int_fast64_t now_s; /* the last that a handshake was told: mbedtls hands none on */
    pthread_mutex_t lock;
    mbedtls_ssl_session
        session; /* of a client: to be resumed; guarded by lock, as is has_session */
    bool has_session;
};

struct channel_server {
    struct channel_end end;
};
struct channel_client {
    struct channel_end end;
};

/* The protocols (RFC 7301) by which a client says what it comes for. */
extern const char channel_protocol_agent[], channel_protocol_join[];

/* Takes another reference. */
void channel_end_get(struct channel_end *end);
/* Gives one back; the last frees. NULL is fine. */
void channel_end_put(struct channel_end *end);
/* Has a client resume this session next time, or none (NULL). */
void channel_end_keep_session(struct channel_end *end, const mbedtls_ssl_context *ssl);

#endif
