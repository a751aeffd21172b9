#include "common/channel_tls.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/pem.h>

#include "common/array.h"
#include "common/channel_frame.h"
#include "common/channel_session.h"
#include "common/channel_tls_config.h"
#include "common/pki_x509.h"

#define SERVER_STEPS 2 /* of a handshake: each but a client's first takes a frame */
#define CLIENT_STEPS 3
#define LENGTH_LEN 4 /* of the record that says how long a body is */
#define RECORD_HEADER_LEN 5
#define RECORD_MAX ((16u << 10) + 256) /* what 16 KiB can be sealed to, with room */
#define RECORD_DATA 23                 /* RFC 5246, 6.2.1: application_data */
#define CERTIFICATE_PEM_MAX 16384

enum state { SHAKING, ENDING, READY, FAILED };

struct channel_session {
    struct channel_end *end; /* a reference */
    mbedtls_ssl_context ssl;
    enum state state;
    unsigned steps; /* of the handshake, made */
    bool joins, resumed, authenticated;
    struct pki_identity peer;
    struct strbuf body; /* that was opened last */
    /* During a call only: */
    const unsigned char *in;
    size_t in_len;
    struct strbuf *out;
    int64_t now_s;
    struct prober_failure *why;
    bool refused; /* and *why says why */
    enum channel_trouble trouble;
};

/* ---- bytes in and out of mbedtls ---- */

static int give(void *context, unsigned char *bytes, size_t room)
{
    struct channel_session *s = context;
    size_t len = s->in_len < room ? s->in_len : room;

    if (len == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(bytes, s->in, len);
    s->in += len;
    s->in_len -= len;
    return (int)len;
}

/* What is said when nothing may be said (an alert, while a frame is opened) goes nowhere. */
static int take(void *context, const unsigned char *bytes, size_t len)
{
    struct channel_session *s = context;

    if (s->out) {
        strbuf_put(s->out, bytes, len);
        if (!strbuf_ok(s->out))
            return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    return (int)len;
}

/* ---- certificates ---- */

static const struct reason {
    uint32_t flag;
    enum channel_trouble trouble;
    const char *text;
} reasons[] = {
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED, CHANNEL_PEER_AUTHORITY,
     "it was issued by another authority"},
    {MBEDTLS_X509_BADCERT_BAD_KEY, CHANNEL_PEER_USE, "its key is not accepted"},
    {MBEDTLS_X509_BADCERT_BAD_PK, CHANNEL_PEER_USE, "its key is not accepted"},
    {MBEDTLS_X509_BADCERT_BAD_MD, CHANNEL_PEER_USE, "its signature is not accepted"},
    {MBEDTLS_X509_BADCERT_KEY_USAGE, CHANNEL_PEER_USE, "it is not for this use"},
    {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, CHANNEL_PEER_USE, "it is not for this use"},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, CHANNEL_PEER_USE, "it has another name"},
    {MBEDTLS_X509_BADCERT_MISSING, CHANNEL_PEER_USE, "none was shown"},
    {0, CHANNEL_PEER_USE, "it was not accepted"},
};

static const struct reason *reason_of(uint32_t flags)
{
    const struct reason *reason = reasons;

    while (reason->flag && !(flags & reason->flag))
        reason++;
    return reason;
}

static const char *peer_text(const struct channel_session *s)
{
    return s->end->is_server ? "agent" : "server";
}

static void refuse(struct channel_session *s, enum channel_trouble trouble, const char *reason)
{
    if (s->refused)
        return;
    s->refused = true;
    s->trouble = trouble;
    prober_fail(s->why, PROBER_ERR_DENIED, "the certificate of the %s: %s", peer_text(s), reason);
}

/* Judges the time and the role by what the call was told, where mbedtls has only its own. */
static uint32_t judge(struct channel_session *s, const struct pki_identity *identity, int depth)
{
    const enum pki_role wanted = s->end->is_server ? PKI_ROLE_AGENT : PKI_ROLE_SERVER;
    struct prober_failure time;

    if (pki_check_time(identity, s->now_s, &time)) {
        refuse(s, CHANNEL_PEER_TIME, time.text);
        return s->now_s > identity->not_after_s ? MBEDTLS_X509_BADCERT_EXPIRED
                                                : MBEDTLS_X509_BADCERT_FUTURE;
    }
    if (depth == 0 && identity->role != wanted) {
        refuse(s, CHANNEL_PEER_USE,
               s->end->is_server ? "it is not that of an agent (a name, clientAuth)"
                                 : "it is not that of a server (serverAuth, " PKI_SERVER_NAME ")");
        return MBEDTLS_X509_BADCERT_OTHER;
    }
    return 0;
}

/* mbedtls calls it from the top of a chain down to the peer's own certificate, at 0. */
static int verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct channel_session *s = context;
    struct pki_identity identity;

    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if (pki_x509_identity(certificate, &identity)) {
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
        refuse(s, reason_of(0)->trouble, reason_of(0)->text);
        return 0;
    }
    if (s->end->pinned && depth > 0 &&
        digest_equal(identity.fingerprint, s->end->ca_fingerprint, DIGEST_SHA256_LEN))
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    if (*flags)
        refuse(s, reason_of(*flags)->trouble, reason_of(*flags)->text);
    *flags |= judge(s, &identity, depth);
    return 0;
}

/* ---- handshake ---- */

static const struct {
    unsigned char alert;
    enum channel_trouble trouble;
    const char *text;
} alerts[] = {
    {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, CHANNEL_OWN_TIME,
     "our certificate has expired, or is not valid yet"},
    {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, CHANNEL_OWN_AUTHORITY,
     "our certificate was issued by another authority"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED, CHANNEL_OWN_REVOKED, "our certificate was revoked"},
    {MBEDTLS_SSL_ALERT_MSG_BAD_CERT, CHANNEL_OWN_USE, "our certificate is not accepted"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, CHANNEL_OWN_USE, "our certificate is not accepted"},
    {MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT, CHANNEL_OWN_USE, "our certificate is not accepted"},
    {MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, CHANNEL_OWN_USE, "our certificate is not accepted"},
    {MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL, CHANNEL_TROUBLE_NONE,
     "it has no protocol that we have"},
    {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, CHANNEL_TROUBLE_NONE,
     "it has no version of TLS that we have"},
    {MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, CHANNEL_TROUBLE_NONE,
     "it has no cipher that we have"},
};

static enum prober_error fail_alert(struct channel_session *s)
{
    for (size_t i = 0; i < ARRAY_LEN(alerts); i++) {
        if (s->ssl.in_msg[1] != alerts[i].alert)
            continue;
        s->trouble = alerts[i].trouble;
        return prober_fail(s->why, PROBER_ERR_DENIED, "the %s refused: %s", peer_text(s),
                           alerts[i].text);
    }
    return prober_fail(s->why, PROBER_ERR_DENIED, "the %s refused with TLS alert %d", peer_text(s),
                       s->ssl.in_msg[1]);
}

static enum prober_error fail_tls(struct channel_session *s, int rc)
{
    if (pki_x509_error(rc, PROBER_OK) == PROBER_ERR_NOMEM)
        return prober_fail(s->why, PROBER_ERR_NOMEM, "no memory for a TLS handshake");
    if (s->refused)
        return PROBER_ERR_DENIED;
    if (rc == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        return prober_fail(s->why, PROBER_ERR_DENIED, "the agent showed no certificate");
    if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        return fail_alert(s);
    if (rc == MBEDTLS_ERR_SSL_WANT_READ)
        return prober_fail(s->why, PROBER_ERR_PROTOCOL, "a TLS handshake that was cut short");
    return prober_fail(s->why, PROBER_ERR_PROTOCOL,
                       "not a TLS handshake that we take (error -0x%04x)", (unsigned)-rc);
}

/* A server asks for a certificate from all but those who come for one. */
static int look_at_hello(struct channel_session *s)
{
    const char *protocol = mbedtls_ssl_get_alpn_protocol(&s->ssl);

    if (!protocol) {
        mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                       MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL);
        return MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO;
    }
    s->joins = strcmp(protocol, channel_protocol_join) == 0;
    if (s->joins)
        mbedtls_ssl_set_hs_authmode(&s->ssl, MBEDTLS_SSL_VERIFY_NONE);
    return 0;
}

/* Goes on until the handshake is over or more is to be read. */
static int drive(struct channel_session *s)
{
    while (s->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
        const int before = s->ssl.state;
        int rc = mbedtls_ssl_handshake_step(&s->ssl);

        if (!rc && s->end->is_server && before == MBEDTLS_SSL_CLIENT_HELLO)
            rc = look_at_hello(s);
        if (rc)
            return rc;
    }
    return 0;
}

/* Who is at the other end, now that the handshake is over; in a resumed one it was not verified
 * again. */
static enum prober_error identify(struct channel_session *s)
{
    const char *protocol = mbedtls_ssl_get_alpn_protocol(&s->ssl);
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&s->ssl);

    if (!protocol)
        return prober_fail(s->why, PROBER_ERR_PROTOCOL, "the %s has no protocol that we have",
                           peer_text(s));
    if (s->joins)
        return PROBER_OK;
    if (!certificate || pki_x509_identity(certificate, &s->peer))
        return prober_fail(s->why, PROBER_ERR_DENIED, "the %s showed no certificate", peer_text(s));
    if (judge(s, &s->peer, 0))
        return PROBER_ERR_DENIED;
    s->authenticated = true;
    return PROBER_OK;
}

/* Where a handshake stands after a step, by the rule that a flight is one frame: what must not be is
 * an error. */
static enum prober_error settle_server(struct channel_session *s, bool over, bool says)
{
    if (over != (s->steps == SERVER_STEPS) || (!over && !says))
        return fail_tls(s, MBEDTLS_ERR_SSL_WANT_READ);
    if (!over) {
        s->resumed = s->ssl.state == MBEDTLS_SSL_CLIENT_CHANGE_CIPHER_SPEC;
        return PROBER_OK;
    }
    s->state = READY;
    return identify(s);
}

static enum prober_error settle_client(struct channel_session *s, bool over, bool says)
{
    enum prober_error err;

    if (!over && (!says || s->steps == CLIENT_STEPS))
        return fail_tls(s, MBEDTLS_ERR_SSL_WANT_READ);
    if (!over)
        return PROBER_OK;
    err = identify(s);
    if (err)
        return err;
    /* A resumed session ends with our word: the server's empty frame says that it came. */
    s->resumed = says;
    s->state = says ? ENDING : READY;
    if (!says && !s->end->joins)
        channel_end_keep_session(s->end, &s->ssl);
    return PROBER_OK;
}

static enum prober_error step(struct channel_session *s, struct strbuf *answer)
{
    size_t before = answer->len;
    enum prober_error err;
    int rc;

    if (s->state == ENDING) {
        if (s->in_len)
            return prober_fail(s->why, PROBER_ERR_PROTOCOL,
                               "a TLS handshake that goes on too long");
        s->state = READY;
        return PROBER_OK;
    }
    rc = drive(s);
    if (rc && rc != MBEDTLS_ERR_SSL_WANT_READ)
        return fail_tls(s, rc);
    if (s->in_len || (rc && s->ssl.in_left)) /* or the beginning of another record */
        err = prober_fail(s->why, PROBER_ERR_PROTOCOL,
                          "a TLS handshake with more than there should be");
    else
        err = s->end->is_server ? settle_server(s, rc == 0, answer->len > before)
                                : settle_client(s, rc == 0, answer->len > before);
    if (err)
        answer->len = before; /* half a flight must not look like a whole one */
    return err;
}

static enum prober_error read_frame(struct channel_session *s, const void *frame, size_t frame_len)
{
    enum channel_kind kind;
    const void *body;
    enum prober_error err;

    s->in_len = 0;
    if (!frame)
        return !s->end->is_server && s->steps == 0
                   ? PROBER_OK
                   : prober_fail(s->why, PROBER_ERR_STATE, "a handshake has begun already");
    if (!s->end->is_server && s->steps == 0)
        return prober_fail(s->why, PROBER_ERR_STATE, "the client begins a handshake");
    err = channel_frame_parse(frame, frame_len, &kind, &body, &s->in_len);
    if (err)
        return prober_fail(s->why, err, "%s",
                           err == PROBER_ERR_VERSION ? "a frame of a later version"
                                                     : "not a frame, or a damaged one");
    s->in = body;
    if (kind == CHANNEL_HANDSHAKE_NEEDED)
        return prober_fail(s->why, PROBER_ERR_STATE, "the %s needs a handshake from its beginning",
                           peer_text(s));
    if (kind != CHANNEL_HANDSHAKE)
        return prober_fail(s->why, PROBER_ERR_PROTOCOL, "the %s answered without a handshake",
                           peer_text(s));
    return PROBER_OK;
}

enum prober_error channel_handshake(struct channel *c, const void *frame, size_t frame_len,
                                    int64_t now_s, struct strbuf *answer,
                                    struct prober_failure *why)
{
    struct channel_session *s = channel_session_of(c);
    enum prober_error err;
    size_t said;

    strbuf_clear(answer);
    if (!s || s->state == READY || s->state == FAILED)
        return prober_fail(why, PROBER_ERR_STATE, "there is no handshake to go on with");
    s->why = why;
    s->now_s = now_s;
    atomic_store(&s->end->now_s, now_s);
    channel_frame_begin(answer, 2048);
    err = read_frame(s, frame, frame_len);
    if (!err) {
        s->steps++;
        s->out = answer;
        err = step(s, answer);
        s->out = NULL;
    }
    s->why = NULL;
    if (err) {
        s->state = FAILED;
        s->authenticated = false;
        /* What the session was resumed by may be to blame. */
        if (!s->end->is_server && (err == PROBER_ERR_DENIED || err == PROBER_ERR_PROTOCOL))
            channel_end_keep_session(s->end, NULL);
    }
    said = answer->len - CHANNEL_HEADER_LEN;
    if (!strbuf_ok(answer) || said > CHANNEL_HANDSHAKE_MAX) {
        s->state = FAILED;
        strbuf_clear(answer);
        return err ? err : prober_fail(why, PROBER_ERR_NOMEM, "no memory for a TLS handshake");
    }
    /* A server that has nothing more to say says so. */
    if (said || (!err && s->end->is_server))
        return channel_frame_end(answer, CHANNEL_HANDSHAKE) ? PROBER_ERR_NOMEM : err;
    strbuf_clear(answer);
    return err;
}

bool channel_is_ready(const struct channel *c)
{
    const struct channel_session *s = channel_session_of(c);

    return s && s->state == READY;
}

bool channel_was_resumed(const struct channel *c)
{
    return channel_is_ready(c) && channel_session_of(c)->resumed;
}

enum channel_trouble channel_trouble(const struct channel *c)
{
    const struct channel_session *s = channel_session_of(c);

    return s ? s->trouble : CHANNEL_TROUBLE_NONE;
}

enum prober_error channel_shown_ca(const struct channel *c, struct strbuf *certificate)
{
    const struct channel_session *s = channel_session_of(c);
    unsigned char pem[CERTIFICATE_PEM_MAX];
    size_t len;

    if (!s || s->state != READY || !s->end->pinned)
        return PROBER_ERR_STATE;
    for (const mbedtls_x509_crt *x = mbedtls_ssl_get_peer_cert(&s->ssl); x; x = x->next) {
        uint8_t fingerprint[DIGEST_SHA256_LEN];

        digest_sha256(x->raw.p, x->raw.len, fingerprint);
        if (!digest_equal(fingerprint, s->end->ca_fingerprint, sizeof(fingerprint)))
            continue;
        if (mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                     x->raw.p, x->raw.len, pem, sizeof(pem), &len))
            return PROBER_ERR_STATE;
        strbuf_clear(certificate);
        strbuf_puts(certificate, (const char *)pem);
        return strbuf_ok(certificate) ? PROBER_OK : PROBER_ERR_NOMEM;
    }
    return PROBER_ERR_STATE;
}

/* ---- bodies ---- */

static int write_all(mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        int put = mbedtls_ssl_write(ssl, bytes, len);

        if (put < 0)
            return put;
        bytes += put;
        len -= (size_t)put;
    }
    return 0;
}

static int read_all(mbedtls_ssl_context *ssl, unsigned char *bytes, size_t len)
{
    while (len > 0) {
        int got = mbedtls_ssl_read(ssl, bytes, len);

        if (got <= 0)
            return got ? got : MBEDTLS_ERR_SSL_CONN_EOF;
        bytes += got;
        len -= (size_t)got;
    }
    return 0;
}

enum prober_error channel_session_seal(struct channel_session *s, const void *body, size_t len,
                                       struct strbuf *frame)
{
    const unsigned char length[LENGTH_LEN] = {(unsigned char)(len >> 24),
                                              (unsigned char)(len >> 16), (unsigned char)(len >> 8),
                                              (unsigned char)len};
    int rc;

    if (s->state != READY)
        return PROBER_ERR_STATE;
    channel_frame_begin(frame, len + len / 512 + 64);
    s->out = frame;
    rc = write_all(&s->ssl, length, sizeof(length));
    if (!rc)
        rc = write_all(&s->ssl, body, len);
    s->out = NULL;
    strbuf_free(&s->body);
    if (rc || channel_frame_end(frame, CHANNEL_DATA)) {
        s->state = FAILED; /* the peer would miss a record */
        strbuf_clear(frame);
        return PROBER_ERR_NOMEM;
    }
    return PROBER_OK;
}

/* True when the bytes are whole records of data and nothing else: no alert, no handshake ever comes
 * to mbedtls after the first. */
static bool is_data(const unsigned char *p, size_t len)
{
    while (len > 0) {
        size_t record;

        if (len < RECORD_HEADER_LEN || p[0] != RECORD_DATA || p[1] != MBEDTLS_SSL_MAJOR_VERSION_3 ||
            p[2] != MBEDTLS_SSL_MINOR_VERSION_3)
            return false;
        record = (size_t)p[3] << 8 | p[4];
        if (record == 0 || record > RECORD_MAX || record > len - RECORD_HEADER_LEN)
            return false;
        p += RECORD_HEADER_LEN + record;
        len -= RECORD_HEADER_LEN + record;
    }
    return true;
}

static size_t body_max(const struct channel_session *s)
{
    return s->authenticated ? CHANNEL_BODY_MAX : CHANNEL_JOIN_BODY_MAX;
}

static enum prober_error unseal(struct channel_session *s, const unsigned char *records, size_t len)
{
    unsigned char length[LENGTH_LEN];
    size_t body_len;

    if (!is_data(records, len))
        return PROBER_ERR_PROTOCOL;
    s->in = records;
    s->in_len = len;
    if (read_all(&s->ssl, length, sizeof(length)) || mbedtls_ssl_get_bytes_avail(&s->ssl))
        return PROBER_ERR_PROTOCOL;
    body_len =
        (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
    if (body_len > body_max(s) || body_len > s->in_len)
        return PROBER_ERR_PROTOCOL;
    strbuf_reserve(&s->body, body_len + 1);
    if (!strbuf_ok(&s->body))
        return PROBER_ERR_NOMEM;
    if (read_all(&s->ssl, (unsigned char *)s->body.bytes, body_len) || s->in_len ||
        mbedtls_ssl_get_bytes_avail(&s->ssl))
        return PROBER_ERR_PROTOCOL;
    s->body.len = body_len;
    return PROBER_OK;
}

enum prober_error channel_session_open(struct channel_session *s, const void *frame,
                                       size_t frame_len, const void **body, size_t *body_len)
{
    enum channel_kind kind;
    const void *records;
    size_t len;
    enum prober_error err;

    if (s->state != READY)
        return PROBER_ERR_STATE;
    strbuf_free(&s->body);
    err = channel_frame_parse(frame, frame_len, &kind, &records, &len);
    if (!err && kind == CHANNEL_HANDSHAKE_NEEDED)
        err = PROBER_ERR_STATE;
    else if (!err)
        err = kind == CHANNEL_DATA ? unseal(s, records, len) : PROBER_ERR_PROTOCOL;
    s->in_len = 0;
    if (err) {
        s->state = FAILED;
        strbuf_free(&s->body);
        return err;
    }
    *body = s->body.bytes;
    *body_len = s->body.len;
    return PROBER_OK;
}

/* ---- life ---- */

static enum prober_error create(struct channel_end *end, struct channel **out)
{
    struct channel_session *s = calloc(1, sizeof(*s));
    enum prober_error err = PROBER_OK;
    int rc;

    if (!s)
        return PROBER_ERR_NOMEM;
    s->end = end;
    channel_end_get(end);
    mbedtls_ssl_init(&s->ssl);
    rc = mbedtls_ssl_setup(&s->ssl, &end->tls);
    if (!rc && !end->is_server) {
        rc = mbedtls_ssl_set_hostname(&s->ssl, PKI_SERVER_NAME);
        pthread_mutex_lock(&end->lock);
        if (!rc && end->has_session)
            rc = mbedtls_ssl_set_session(&s->ssl, &end->session);
        pthread_mutex_unlock(&end->lock);
    }
    if (!rc) {
        mbedtls_ssl_set_bio(&s->ssl, s, take, give, NULL);
        mbedtls_ssl_set_verify(&s->ssl, verify, s);
    }
    err = rc ? pki_x509_error(rc, PROBER_ERR_STATE) : channel_of_session(s, out);
    if (err)
        channel_session_destroy(s);
    return err;
}

enum prober_error channel_server_accept(struct channel_server *server, struct channel **out)
{
    return create(&server->end, out);
}

enum prober_error channel_client_connect(struct channel_client *client, struct channel **out)
{
    return create(&client->end, out);
}

const struct pki_identity *channel_session_peer(const struct channel_session *s)
{
    return s->authenticated && s->state == READY ? &s->peer : NULL;
}

void channel_session_destroy(struct channel_session *s)
{
    if (!s)
        return;
    mbedtls_ssl_free(&s->ssl);
    strbuf_free(&s->body);
    channel_end_put(s->end);
    free(s);
}
