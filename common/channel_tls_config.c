#include "common/channel_tls_config.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/platform_util.h>

#include "common/pki_x509.h"

const char channel_protocol_agent[] = "probermesh/1";
const char channel_protocol_join[] = "probermesh-join/1";

static const char *server_protocols[] = {channel_protocol_agent, channel_protocol_join, NULL};
static const char *agent_protocols[] = {channel_protocol_agent, NULL};
static const char *join_protocols[] = {channel_protocol_join, NULL};

static const int suites[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    0,
};
static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
                                              MBEDTLS_ECP_DP_NONE};
static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
                             MBEDTLS_MD_NONE};

/* ---- tickets: mbedtls asks for them in the midst of a handshake ---- */

static int write_ticket(void *context, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *len, uint32_t *lifetime_s)
{
    struct channel_end *e = context;
    const size_t room = (size_t)(end - start);
    const int64_t now_s = atomic_load(&e->now_s);
    struct pki_identity peer;
    int64_t life_s;
    size_t plain_len;

    *len = 0;
    *lifetime_s = 0;
    /* Who comes to join has nothing to resume. */
    if (!session->peer_cert || pki_x509_identity(session->peer_cert, &peer) ||
        room < TICKET_OVERHEAD ||
        mbedtls_ssl_session_save(session, start, room - TICKET_OVERHEAD, &plain_len) ||
        ticket_keys_seal(e->tickets, now_s, peer.not_after_s, e->ticket_context,
                         sizeof(e->ticket_context), start, plain_len, start, room, len))
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    life_s = peer.not_after_s - now_s;
    *lifetime_s = (uint32_t)(life_s < TICKET_LIFE_MAX_S ? life_s : TICKET_LIFE_MAX_S);
    return 0;
}

/* A session whose certificate is not what it was shakes hands anew, and is told why there. */
static int read_ticket(void *context, mbedtls_ssl_session *session, unsigned char *bytes,
                       size_t len)
{
    struct channel_end *e = context;
    const int64_t now_s = atomic_load(&e->now_s);
    struct pki_identity peer;
    unsigned char *plain;
    size_t plain_len;

    if (ticket_keys_unseal(e->tickets, now_s, e->ticket_context, sizeof(e->ticket_context), bytes,
                           len, &plain, &plain_len) ||
        mbedtls_ssl_session_load(session, plain, plain_len) || !session->peer_cert ||
        pki_x509_identity(session->peer_cert, &peer) || peer.role != PKI_ROLE_AGENT ||
        pki_check_time(&peer, now_s, NULL))
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    return 0;
}

/* ---- making an end ---- */

/* mbedtls makes a table of a curve at its first use, in the key that all threads share. */
static int warm(mbedtls_pk_context *key)
{
    mbedtls_ecp_point result;
    mbedtls_mpi two;
    int rc;

    if (mbedtls_pk_get_type(key) != MBEDTLS_PK_ECKEY)
        return 0;
    mbedtls_ecp_point_init(&result);
    mbedtls_mpi_init(&two);
    rc = mbedtls_mpi_lset(&two, 2);
    if (!rc)
        rc = mbedtls_ecp_mul(&mbedtls_pk_ec(*key)->grp, &result, &two, &mbedtls_pk_ec(*key)->grp.G,
                             pki_x509_random, NULL);
    mbedtls_mpi_free(&two);
    mbedtls_ecp_point_free(&result);
    return rc;
}

static int warm_all(struct channel_end *e)
{
    int rc = mbedtls_pk_get_type(&e->key) == MBEDTLS_PK_NONE ? 0 : warm(&e->key);

    for (mbedtls_x509_crt *c = &e->own; c && c->raw.p && !rc; c = c->next)
        rc = warm(&c->pk);
    for (mbedtls_x509_crt *c = &e->ca; c && c->raw.p && !rc; c = c->next)
        rc = warm(&c->pk);
    return rc;
}

static void set_common(struct channel_end *e, const char **protocols)
{
    mbedtls_ssl_config *t = &e->tls;

    mbedtls_ssl_conf_rng(t, pki_x509_random, NULL);
    mbedtls_ssl_conf_min_version(t, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(t, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(t, suites);
    mbedtls_ssl_conf_curves(t, curves);
    mbedtls_ssl_conf_sig_hashes(t, hashes);
    mbedtls_ssl_conf_cert_profile(t, &mbedtls_x509_crt_profile_next);
    mbedtls_ssl_conf_authmode(t, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(t, &e->ca, NULL);
    mbedtls_ssl_conf_renegotiation(t, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_legacy_renegotiation(t, MBEDTLS_SSL_LEGACY_NO_RENEGOTIATION);
    mbedtls_ssl_conf_alpn_protocols(t, protocols);
}

static enum prober_error read_own(struct channel_end *e, const char *certificate, const char *key,
                                  enum pki_role role, struct prober_failure *why)
{
    enum prober_error err =
        pki_x509_read_certificates(&e->own, certificate, strlen(certificate), why);

    if (!err)
        err = pki_x509_read_key(&e->key, key, why);
    if (err)
        return err;
    if (pki_x509_identity(&e->own, &e->identity) || e->identity.role != role)
        return prober_fail(why, PROBER_ERR_STATE, "the certificate is not that of %s",
                           role == PKI_ROLE_SERVER ? "a server (serverAuth, " PKI_SERVER_NAME ")"
                                                   : "an agent");
    if (!pki_x509_is_strong(&e->key))
        return prober_fail(why, PROBER_ERR_STATE,
                           "the key is too weak: elliptic of 256 bits or RSA of 2048 bits is the "
                           "least");
    if (mbedtls_pk_check_pair(&e->own.pk, &e->key))
        return prober_fail(why, PROBER_ERR_STATE, "the private key is not that of the certificate");
    return PROBER_OK;
}

static enum prober_error read_ca(struct channel_end *e, const char *ca, struct prober_failure *why)
{
    enum prober_error err = pki_x509_read_certificates(&e->ca, ca, strlen(ca), why);
    struct {
        uint8_t before[DIGEST_SHA256_LEN], next[DIGEST_SHA256_LEN];
    } chained = {{0}, {0}};

    if (err)
        return err;
    for (const mbedtls_x509_crt *c = &e->ca; c; c = c->next) {
        struct pki_identity identity;

        if (pki_x509_identity(c, &identity) || identity.role != PKI_ROLE_CA)
            return prober_fail(why, PROBER_ERR_STATE,
                               "among the authorities there is a certificate that is of none");
        memcpy(chained.next, identity.fingerprint, sizeof(chained.next));
        digest_sha256(&chained, sizeof(chained), chained.before);
    }
    memcpy(e->ticket_context, chained.before, sizeof(e->ticket_context));
    return PROBER_OK;
}

static enum prober_error fail_tls(int rc, struct prober_failure *why)
{
    return prober_fail(why, pki_x509_error(rc, PROBER_ERR_IO),
                       "TLS cannot be set up (error -0x%04x)", (unsigned)-rc);
}

static void begin(struct channel_end *e, bool is_server)
{
    atomic_init(&e->references, 1);
    atomic_init(&e->now_s, 0);
    e->is_server = is_server;
    mbedtls_ssl_config_init(&e->tls);
    mbedtls_x509_crt_init(&e->own);
    mbedtls_x509_crt_init(&e->ca);
    mbedtls_pk_init(&e->key);
    mbedtls_ssl_session_init(&e->session);
    pthread_mutex_init(&e->lock, NULL);
}

/* What both kinds end with. */
static int set_up(struct channel_end *e, const char **protocols)
{
    int rc = mbedtls_ssl_config_defaults(
        &e->tls, e->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

    if (rc)
        return rc;
    set_common(e, protocols);
    if (mbedtls_pk_get_type(&e->key) != MBEDTLS_PK_NONE)
        rc = mbedtls_ssl_conf_own_cert(&e->tls, &e->own, &e->key);
    return rc ? rc : warm_all(e);
}

enum prober_error channel_server_open(struct channel_server **out,
                                      const struct channel_server_config *config,
                                      struct prober_failure *why)
{
    struct channel_server *server = calloc(1, sizeof(*server));
    struct channel_end *e;
    enum prober_error err;
    int rc;

    if (!server)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for TLS");
    e = &server->end;
    begin(e, true);
    err = read_own(e, config->certificate, config->key, PKI_ROLE_SERVER, why);
    if (!err)
        err = read_ca(e, config->ca, why);
    if (err)
        goto out;
    rc = mbedtls_x509_crt_parse_der(&e->own, e->ca.raw.p, e->ca.raw.len);
    if (!rc)
        rc = set_up(e, server_protocols);
    if (rc) {
        err = fail_tls(rc, why);
        goto out;
    }
    mbedtls_ssl_conf_cert_req_ca_list(&e->tls, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
    e->tickets = config->tickets;
    if (e->tickets)
        mbedtls_ssl_conf_session_tickets_cb(&e->tls, write_ticket, read_ticket, e);
    *out = server;
    server = NULL;
out:
    channel_server_close(server);
    return err;
}

const struct pki_identity *channel_server_identity(const struct channel_server *server)
{
    return &server->end.identity;
}

void channel_server_close(struct channel_server *server)
{
    if (server)
        channel_end_put(&server->end);
}

enum prober_error channel_client_open(struct channel_client **out,
                                      const struct channel_client_config *config,
                                      struct prober_failure *why)
{
    struct channel_client *client = calloc(1, sizeof(*client));
    struct channel_end *e;
    enum prober_error err = PROBER_OK;
    int rc;

    if (!client)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for TLS");
    e = &client->end;
    begin(e, false);
    e->joins = !config->certificate;
    e->pinned = !config->ca;
    memcpy(e->ca_fingerprint, config->ca_fingerprint, sizeof(e->ca_fingerprint));
    if (config->certificate)
        err = read_own(e, config->certificate, config->key, PKI_ROLE_AGENT, why);
    if (!err && config->ca)
        err = read_ca(e, config->ca, why);
    if (err)
        goto out;
    rc = set_up(e, e->joins ? join_protocols : agent_protocols);
    if (rc) {
        err = fail_tls(rc, why);
        goto out;
    }
    mbedtls_ssl_conf_session_tickets(&e->tls, e->joins ? MBEDTLS_SSL_SESSION_TICKETS_DISABLED
                                                       : MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    *out = client;
    client = NULL;
out:
    channel_client_close(client);
    return err;
}

void channel_client_close(struct channel_client *client)
{
    if (client)
        channel_end_put(&client->end);
}

void channel_client_forget(struct channel_client *client)
{
    channel_end_keep_session(&client->end, NULL);
}

/* ---- life ---- */

void channel_end_get(struct channel_end *end)
{
    atomic_fetch_add(&end->references, 1);
}

void channel_end_put(struct channel_end *end)
{
    if (!end || atomic_fetch_sub(&end->references, 1) != 1)
        return;
    mbedtls_ssl_session_free(&end->session);
    mbedtls_ssl_config_free(&end->tls);
    mbedtls_pk_free(&end->key);
    mbedtls_x509_crt_free(&end->own);
    mbedtls_x509_crt_free(&end->ca);
    pthread_mutex_destroy(&end->lock);
    free(end); /* the first member of what was allocated */
}

void channel_end_keep_session(struct channel_end *end, const mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_session kept;
    bool has = false;

    mbedtls_ssl_session_init(&kept);
    if (ssl)
        has = mbedtls_ssl_get_session(ssl, &kept) == 0 && kept.ticket_len > 0;
    pthread_mutex_lock(&end->lock);
    mbedtls_ssl_session_free(&end->session);
    end->session = kept;
    end->has_session = has;
    pthread_mutex_unlock(&end->lock);
}
